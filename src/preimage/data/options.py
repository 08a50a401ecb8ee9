"""What a person may ask of a source, checked, and what is chosen where they did not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from PIL import ImageColor

from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.data.decode import FITS, MAX_PIXELS, Header, Target

SIZES = (8, 16, 28, 32, 64, 128, 256)  # that the nets can take
USUAL = 64  # the largest size chosen where none is asked for and images differ

Size = int | tuple[int, int]
Colour = str | tuple[int, int, int]


@dataclass(frozen=True)
class Options:
    """How images are to be read; None is "as suits the data"."""

    size: tuple[int, int] | None = None  # height, width
    channels: int | None = None
    fit: str = "crop"
    background: tuple[int, int, int] = (255, 255, 255)
    range: tuple[float, float] | None = None
    max_pixels: int = MAX_PIXELS
    split: str | None = None

    def target(self, size: tuple[int, int], channels: int, range: tuple | None) -> Target:
        return Target(*size, channels, self.fit, self.background, range)


def checked(
    *,
    size: Size | None = None,
    channels: int | None = None,
    fit: str = "crop",
    background: Colour = "white",
    range: tuple[float, float] | None = None,
    max_pixels: int = MAX_PIXELS,
    split: str | None = None,
) -> Options:
    """The options, or an InputError that names the one that is wrong."""
    if fit not in FITS:
        raise InputError(f"no fit '{fit}'; {nearest_name(fit, FITS)}")
    if channels not in (None, 1, 3):
        raise InputError(
            f"channels {channels} (--channels) is not possible; choose 1 (grey) or 3 (colour)"
        )
    if split not in (None, "train", "test"):
        raise InputError(f"no split '{split}'; {nearest_name(split, ('train', 'test'))}")
    if max_pixels < 1:
        raise InputError(f"max_pixels={max_pixels} leaves no image; give a positive number")
    if range is not None:
        low, high = float(range[0]), float(range[1])
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InputError(
                f"range {low:g},{high:g} (--range) is empty; give a low end below a high end"
            )
        range = (low, high)
    return Options(_checked_size(size), channels, fit, _rgb(background), range, max_pixels, split)


def _checked_size(size: Size | None) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    for side in (height, width):
        if side not in SIZES:
            nearest = min(SIZES, key=lambda s: abs(s - side))
            known = ", ".join(map(str, SIZES))
            raise InputError(
                f"size {side} (--size) is one no net takes; nearest: {nearest} (of {known})"
            )
    return height, width


def _rgb(colour: Colour) -> tuple[int, int, int]:
    if isinstance(colour, str):
        try:
            colour = ImageColor.getrgb(colour)[:3]
        except ValueError:
            example = "'white' or '#ffcc00'"
            raise InputError(f"no background colour '{colour}'; give one like {example}") from None
    if len(colour) != 3 or not all(0 <= c <= 255 for c in colour):
        raise InputError(
            f"background {colour} (--background) is no colour; give three numbers from 0 to 255"
        )
    red, green, blue = (int(c) for c in colour)
    return red, green, blue


def choose_size(sizes: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], str]:
    """Height and width for images of these (width, height), and a sentence that says why.

    Equal square images keep their size where a net takes it; others go to the power of two nearest
    to the median of their shorter sides, at most 64.
    """
    first = sizes[0]
    if first[0] == first[1] and first[0] in SIZES and all(size == first for size in sizes):
        return (first[0], first[0]), ""
    middle = median(min(size) for size in sizes)
    side = min(USUAL, max(8, 2 ** round(math.log2(max(middle, 1)))))
    came = f"{first[0]}×{first[1]}" if all(s == first for s in sizes) else "of many sizes"
    return (side, side), f"Images {came} are fitted to {side}×{side}; size (--size) sets another."


def choose_range(headers: Sequence[Header]) -> tuple[float, float] | None:
    """One range for all 16-bit and float images: their smallest and largest value, or [0, 1]."""
    low = min((h.low for h in headers if h.low is not None), default=None)
    high = max((h.high for h in headers if h.high is not None), default=None)
    if low is None or high is None:
        return None
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if high > low else (low, low + 1)


def range_note(range: tuple[float, float]) -> str:
    low, high = range
    span = f"{low:g} … {high:g}"
    what = f"Values {span} of 16-bit or float images mean black … white"
    return f"{what}; range (train --range) sets others."
