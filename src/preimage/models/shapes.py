"""A model as shapes only: nothing is drawn and nothing takes memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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
