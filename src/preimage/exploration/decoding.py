"""Latents to images, so many at a time, and no more than memory holds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel

AT_ONCE = 256  # images
ROOM = 1 << 33  # bytes of images that are held together


@torch.no_grad()
def decoded(
    model: LatentModel,
    z: Tensor,  # (N, *space.shape)
    labels: Tensor | None = None,  # (N,) classes, of a conditional model
    *,
    space: str | None = None,  # the latents' own, of a model with several
    batch_size: int = AT_ONCE,
) -> Tensor:
    """Images (N, C, H, W) float32, on the model's device."""
    batches = [images.float() for images in _batches(model, z, labels, space, batch_size)]
    return batches[0] if len(batches) == 1 else torch.cat(batches)  # cat of one would copy it


def check_room(model: LatentModel, images: int) -> None:
    """Raises InputError for more images at once than memory is meant to hold."""
    most = ROOM // (4 * model.data.size)
    if images > most:
        raise InputError(f"{images:,} images at once do not fit in memory; at most {most:,} do")


def _batches(
    model: LatentModel, z: Tensor, labels: Tensor | None, space: str | None, batch_size: int
) -> Iterator[Tensor]:
    for rows in torch.arange(len(z)).split(batch_size):
        y = None if labels is None else labels[rows].to(model.device)
        yield model.decode(z[rows].to(model.device), y, space=space)
