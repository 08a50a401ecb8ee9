"""Latents to images, so many at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from preimage.core import LatentModel

AT_ONCE = 256  # images


@torch.no_grad()
def decoded(
    model: LatentModel,
    z: Tensor,  # (N, *space.shape)
    labels: Tensor | None = None,  # (N,) classes, of a conditional model
    *,
    batch_size: int = AT_ONCE,
) -> Tensor:
    """Images (N, C, H, W) float32, on the model's device."""
    return torch.cat([images.float() for images in _batches(model, z, labels, batch_size)])


def _batches(
    model: LatentModel, z: Tensor, labels: Tensor | None, batch_size: int
) -> Iterator[Tensor]:
    for rows in torch.arange(len(z)).split(batch_size):
        y = None if labels is None else labels[rows].to(model.device)
        yield model.decode(z[rows].to(model.device), y)
