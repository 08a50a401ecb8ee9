"""A model as shapes only: nothing is drawn and nothing takes memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from preimage.core import InputError

FILLING = (Tensor.normal_, Tensor.uniform_)


class _Unfilled(TorchFunctionMode):
    """Weights stay as they are. On "meta", filling them would import torch's compiler: a second."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in FILLING or getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        if func is torch.eye:
            return torch.empty(args[0], args[-1])
        return func(*args, **(kwargs or {}))


@contextmanager
def shapes_only() -> Iterator[None]:
    """Tensors that are made in here have a shape and a type, and no values."""
    with torch.device("meta"), _Unfilled():
        yield


def check_memory(model: nn.Module) -> None:
    """Raises InputError where the weights of a model, given as shapes, are more than a machine has.

    Asked for nevertheless, they end in an error of torch's, or in the process being killed.
    """
    needed = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if needed > (there := memory()):
        raise InputError(
            f"the model's weights need {needed / 2**30:,.0f} GiB, and this machine has "
            f"{there / 2**30:,.0f}; lower --latent, or the widths of its net"
        )


def memory() -> float:
    """Bytes of memory this machine has; without end where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return float("inf")
