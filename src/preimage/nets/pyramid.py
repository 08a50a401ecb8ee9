"""How an image is halved down to a base of a few pixels, and grown from it."""

from __future__ import annotations

from dataclasses import dataclass

from preimage.core import DataSpec, InputError

LARGEST = 256
LARGEST_BASE = 8


@dataclass(frozen=True)
class Pyramid:
    """height × width = (base_height × base_width) · 2^levels."""

    base_height: int
    base_width: int
    levels: int


def pyramid(data: DataSpec) -> Pyramid:
    """Halve while both sides are even and stay at least 4: 32 → 4·2³, 28 → 7·2².

    Raises InputError where the base would be larger than 8 (an odd size), or the image too large.
    """
    if data.kind != "image":
        raise InputError(f"a convolutional net needs images, not {data}; use an mlp recipe")
    height, width, levels = data.height, data.width, 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 8:
        height, width, levels = height // 2, width // 2, levels + 1
    too_small = levels == 0
    if too_small or max(height, width) > LARGEST_BASE or max(data.height, data.width) > LARGEST:
        raise InputError(
            f"no convolutional net takes {data.height}×{data.width} images; "
            f"set the size to {_nearest_size(max(data.height, data.width))}, or use an mlp recipe"
        )
    return Pyramid(height, width, levels)


def _nearest_size(size: int) -> int:
    return min((8, 16, 28, 32, 64, 128, 256), key=lambda candidate: abs(candidate - size))
