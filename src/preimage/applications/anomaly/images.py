"""Images of one size or of many, in batches that are alike in size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from preimage.core import InputError

Images = Tensor | Sequence[Tensor]
"""(N, C, H, W) in [−1, 1], or N images (C, H, W) that may differ in size."""

PIXELS = 1 << 18  # in a batch


def batches(images: Images) -> Iterator[tuple[Tensor, Tensor]]:
    """Indices (B,) and the images (B, C, H, W) at these; each index once."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for i in range(len(images)):
        by_size.setdefault(tuple(images[i].shape), []).append(i)
    for (_, height, width), rows in by_size.items():
        for index in torch.tensor(rows).split(max(1, PIXELS // (height * width))):
            yield index, chosen(images, index, stacked=True)  # type: ignore[misc]


def chosen(images: Images, index: Tensor, *, stacked: bool = False) -> Images:
    """The images at an index (M,)."""
    if isinstance(images, Tensor):
        return images[index]
    some = [images[i] for i in index.tolist()]
    return torch.stack(some) if stacked else some


def one_size(images: Images) -> bool:
    """Whether all images have the same height and width."""
    return isinstance(images, Tensor) or len({tuple(x.shape) for x in images}) < 2


def checked(images: Images, *, channels: int | None = None) -> Images:
    """The images, if they can be used.

    Raises InputError where there are none, where one has another form or other channels than the
    rest, or where a value is not finite.
    """
    if isinstance(images, Tensor) and images.ndim != 4:
        raise InputError(f"images of shape {tuple(images.shape)}; give (N, C, H, W)")
    if len(images) == 0:
        raise InputError("no images were given; give at least one")
    for i, x in enumerate(images):
        if x.ndim != 3 or x.shape[0] != (channels or images[0].shape[0]):
            wanted = f"({channels or images[0].shape[0]}, H, W)"
            raise InputError(f"image {i} has the shape {tuple(x.shape)}; give {wanted}")
        if not x.isfinite().all():
            raise InputError(f"image {i} holds values that are not finite (NaN or ∞); mend it")
    return images
