"""The first affine map that a latent meets in a generator, whatever the generator is made of.

The decoder is run once while every product with weights is watched: linear layers, convolutions
and matrix products. The first ones on each path are those whose input depends on the latent, but
on no other such product; what comes out of them is cut off from the latent, so that nothing
further on counts. The map's matrix is the derivative of what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from preimage.core import LatentModel, Unsupported
from preimage.exploration.direction import bare

AFFINE: tuple[Callable[..., Any], ...] = (
    F.linear,
    F.conv1d,
    F.conv2d,
    F.conv3d,
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
    torch.mm,
    torch.addmm,
)
BLOCK = 1 << 24  # numbers that a block of rows may take


class _Watched(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.first: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in AFFINE and isinstance(out, Tensor) and out.requires_grad:
            self.first.append(out)
            return out.detach()
        return out


def rows(
    model: LatentModel,
    z: Tensor,  # (1, *space.shape): where the map is linearised, if it must be
    labels: Tensor | None = None,
    *,
    space: str | None = None,
) -> Iterator[Tensor]:
    """The matrix of the first affine maps, (m, d), in blocks of rows.

    Raises Unsupported where the latent meets none.
    """
    decoding = _Decoding(bare(model), space)
    tensors = {**dict(decoding.named_parameters()), **dict(decoding.named_buffers())}
    weights = {name: tensor.detach() for name, tensor in tensors.items()}
    with torch.enable_grad(), _Watched() as watched:
        z = z.detach().requires_grad_()
        functional_call(decoding, weights, (z, labels))
    if not watched.first:
        raise Unsupported("no linear layer or convolution takes the latent; use --unlabelled pca")
    for out in watched.first:
        size = max(1, BLOCK // max(z.numel(), out.numel()))
        for part in torch.arange(out.numel(), device=out.device).split(size):
            picks = torch.zeros(len(part), out.numel(), device=out.device, dtype=out.dtype)
            picks[torch.arange(len(part)), part] = 1
            (block,) = torch.autograd.grad(
                out, z, picks.reshape(-1, *out.shape), retain_graph=True, is_grads_batched=True
            )
            yield block.flatten(1)


class _Decoding(torch.nn.Module):
    """`decode` as `forward`, so that weights can be put in their place."""

    def __init__(self, model: LatentModel, space: str | None):
        super().__init__()
        self.model, self.space = model, space

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return self.model.decode(z, labels, space=self.space)
