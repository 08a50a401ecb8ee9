"""A generator for one image at a time, as quick as a processor can.

At one image a batch, much of the time goes into calling operations and bringing weights into the
order that the processor's kernels like. So the generator is traced and folded (a norm goes into
the convolution before it), and then frozen by TorchScript, which packs the weights once. The result
is held against the model and given up where it differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from preimage.core import LatentModel
from preimage.inversion.graph.fold import fold
from preimage.inversion.graph.trace import SIZES, example, trace

DIFFERENCE = 1 / 255  # of values in [−1, 1]: half a level of eight bits
RUNS = 4  # after which TorchScript has done its optimising

Decode = Callable[[Tensor, Tensor | None], Tensor]  # z (1, *shape), label (1,) → (1, C, H, W)


def plain(model: LatentModel) -> Decode:
    """The model as it is."""

    def decode(z: Tensor, label: Tensor | None) -> Tensor:
        with torch.inference_mode():
            return model.decode(z.to(model.device), label)

    return decode


def quick(model: LatentModel) -> Decode | None:
    """The same, quicker, on a processor; None where the model bears no such treatment."""
    if model.device.type != "cpu":
        return None
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # TorchScript's of its own future, and of tracing
            return _frozen(model)
    except Exception:  # a stranger's module may hold anything; the model itself does as well
        return None


def _frozen(model: LatentModel) -> Decode | None:
    graph = trace(model)
    fold(graph, example(model, SIZES[0]))
    inputs = example(model, 1, seed=1)
    traced: Any = torch.jit.trace(graph.eval(), inputs, check_trace=False)
    frozen = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    for seed in range(2, 2 + RUNS):
        inputs = example(model, 1, seed=seed)
        with torch.inference_mode():
            found, expected = frozen(*inputs), model.decode(*inputs)
        if found.shape != expected.shape or not (found - expected).abs().max() <= DIFFERENCE:
            return None

    def decode(z: Tensor, label: Tensor | None) -> Tensor:
        with torch.inference_mode():
            return frozen(z) if label is None else frozen(z, label)

    return decode
