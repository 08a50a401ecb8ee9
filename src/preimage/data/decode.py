"""One image file → a small array of integers, whatever its size, mode, depth and orientation.

This module and `worker` run in processes of their own, below hostile files: they import Pillow and
NumPy and nothing else. Every failure is an exception whose text is the reason a person reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 64_000_000  # more than that is refused from the header, before anything is decoded
FITS = ("crop", "pad", "stretch")
DRAFT = 512  # JPEGs are decoded no larger than needed for this many pixels on the short side
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in Pillow's mode L
# Formats that run another program, or are only the stub of one.
UNSAFE = {"EPS", "WMF", "PDF", "BUFR", "GRIB", "HDF5"}


class Unusable(Exception):
    """The file holds no usable image; the text says why."""


@dataclass(frozen=True)
class Target:
    """What every image is made into."""

    height: int
    width: int
    channels: int  # 1 or 3
    fit: str = "crop"
    background: tuple[int, int, int] = (255, 255, 255)  # below transparency, and around padding
    range: tuple[float, float] | None = None  # of 16-bit and float images; set: the map is uint16

    @staticmethod
    def from_json(value: dict[str, Any]) -> Target:
        """The target that `dataclasses.asdict` was written from; JSON has no tuples."""
        tuples = {k: tuple(v) for k, v in value.items() if isinstance(v, list)}
        return Target(**{**value, **tuples})

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.range is None else np.uint16)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width


@dataclass(frozen=True)
class Placement:
    """Where an image lies in what it was made into; both as left, top, right, bottom."""

    box: tuple[float, float, float, float]  # the part of it that is there, in its own pixels
    inside: tuple[int, int, int, int]  # the part of the target that it fills, in the target's


@dataclass(frozen=True)
class Header:
    """What must be known of every image before the first is decoded."""

    width: int
    height: int
    grey: bool  # certainly grey, by its mode
    low: float | None = None  # of a 16-bit or float image: its smallest and largest finite value
    high: float | None = None
    alpha: bool = False  # whether it may be transparent in places
    cut: bool = False  # whether its 16-bit channels are read at 8 bits


def open_image(path: str, offset: int = 0, length: int = -1, *, max_pixels: int) -> Image.Image:
    """The image in a file, or in `length` bytes of it, with nothing decoded yet.

    Raises Unusable where it is no image, or has more than `max_pixels`.
    """
    source: str | io.BytesIO = path
    if length >= 0:
        with open(path, "rb") as file:
            file.seek(offset)
            source = io.BytesIO(file.read(length))
    try:
        image = Image.open(source, formats=_formats())
    except Image.UnidentifiedImageError:
        raise Unusable("not an image") from None
    width, height = image.size
    if width * height > max_pixels:
        raise Unusable(f"more pixels than the cap of {max_pixels}")
    if width < 1 or height < 1:
        raise Unusable("no pixels")
    return image


def header(image: Image.Image) -> Header:
    """Size and kind of an opened image; a deep one is decoded, for its range."""
    width, height = image.size
    grey = image.mode in ("1", "L") or is_deep(image)
    if not is_deep(image):
        alpha = image.has_transparency_data
        return Header(width, height, grey, alpha=alpha, cut=_is_cut(image))
    values = np.asarray(image, dtype=np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise Unusable("no finite pixel value")
    return Header(width, height, grey, float(finite.min()), float(finite.max()))


def is_deep(image: Image.Image) -> bool:
    """Whether the image has one channel of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def _is_cut(image: Image.Image) -> bool:
    """Whether an image has several 16-bit channels, of which Pillow keeps the upper 8 bits."""
    tiles = getattr(image, "tile", ())  # how the file is to be decoded, as in "RGB;16B"
    return not is_deep(image) and any(";16" in str(tile) for tile in tiles)


def flatten(
    image: Image.Image,
    background: tuple[int, int, int] = (255, 255, 255),
    *,
    whole: bool = False,  # decode every pixel of a large JPEG
) -> Image.Image:
    """Decode the frame at hand, turn it upright and put it on the background: mode L, RGB or F."""
    if image.format == "JPEG" and not whole:
        image.draft(None, (DRAFT, DRAFT))
    image.load()
    with contextlib.suppress(Exception):  # a broken orientation tag leaves a readable image
        image = ImageOps.exif_transpose(image)
    if is_deep(image):
        return Image.fromarray(np.asarray(image, dtype=np.float32))
    if image.has_transparency_data:
        on = Image.new("RGBA", image.size, (*background, 255))
        on.alpha_composite(image.convert("RGBA"))
        image = on
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def content_hash(pixels: np.ndarray) -> int:
    """64 bits of the pixels and their shape: equal for equal images, whatever the file format."""
    digest = hashlib.blake2b(repr((pixels.shape, pixels.dtype.str)).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(digest.digest(), "little")


def render(image: Image.Image | np.ndarray, target: Target) -> np.ndarray:
    """A flat image (mode L, RGB or F; or float planes (C, H, W)) → (channels, height, width).

    Whole numbers: uint8, or uint16 where the target has a range. Planes and mode F are scaled by
    that range; values outside it, or not finite, are clipped to its ends.
    """
    if isinstance(image, np.ndarray):
        planes = [Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in image]
    elif image.mode == "F" or target.range is not None:
        planes = list(image.split())
    else:
        image = image.convert("L" if target.channels == 1 else "RGB")
        pixels = np.asarray(_fit(image, target, target.background))
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    deep = isinstance(image, np.ndarray) or image.mode == "F"
    low, high = target.range if deep and target.range is not None else (0.0, 255.0)
    unit = []
    papers = target.background if len(planes) == 3 else (_grey(target.background),)
    for plane, paper in zip(planes, papers, strict=True):
        values = np.nan_to_num(np.asarray(plane, np.float32), nan=low, posinf=high, neginf=low)
        scaled = np.clip((values - low) / max(high - low, 1e-30), 0, 1)
        unit.append(np.asarray(_fit(Image.fromarray(scaled), target, paper / 255)))
    stacked = np.clip(np.stack(unit), 0, 1)  # the filter may overshoot at edges
    if len(stacked) < target.channels:
        stacked = stacked.repeat(target.channels, 0)
    elif len(stacked) > target.channels:
        stacked = np.tensordot(LUMA, stacked, 1)[None]
    return np.rint(stacked * np.iinfo(target.dtype).max).astype(target.dtype)


def placement(size: tuple[int, int], target: Target) -> Placement:
    """Where an image of this size (width, height) lies in the target, by the target's fit."""
    width, height = size
    whole, inside = (0.0, 0.0, float(width), float(height)), (0, 0, target.width, target.height)
    if target.fit == "stretch":
        return Placement(whole, inside)
    if target.fit == "pad":
        scale = min(target.width / width, target.height / height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        left, top = (target.width - inner[0]) // 2, (target.height - inner[1]) // 2
        return Placement(whole, (left, top, left + inner[0], top + inner[1]))
    ratio = target.width / target.height
    if width / height == ratio:
        return Placement(whole, inside)
    if width / height > ratio:
        cut = (width - ratio * height) / 2
        return Placement((cut, 0.0, cut + ratio * height, float(height)), inside)
    cut = (height - width / ratio) / 2
    return Placement((0.0, cut, float(width), cut + width / ratio), inside)


def _fit(image: Image.Image, target: Target, paper: float | tuple[int, int, int]) -> Image.Image:
    """Resize to the target, antialiased: cut to its shape, padded to it, or stretched."""
    size = (target.width, target.height)
    if image.size == size:
        return image
    place = placement(image.size, target)
    left, top, right, bottom = place.inside
    inner = image.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=place.box)
    if inner.size == size:
        return inner
    if image.mode == "L" and isinstance(paper, tuple):
        paper = round(_grey(paper))
    sheet = Image.new(image.mode, size, paper)
    sheet.paste(inner, (left, top))
    return sheet


def _grey(colour: tuple[int, int, int]) -> float:
    return float(np.dot(LUMA, colour))


def reason(error: BaseException) -> str:
    """Why an image could not be used, in one line."""
    if isinstance(error, MemoryError):
        return "needs more memory than a decoder may use"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more pixels than the cap of {Image.MAX_IMAGE_PIXELS}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__


def strict_pillow(max_pixels: int) -> None:
    """Let Pillow's own checks, made where formats nest images, know the cap as well."""
    Image.MAX_IMAGE_PIXELS = max_pixels
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


_allowed: list[str] = []


def _formats() -> list[str]:
    if not _allowed:
        Image.init()
        _allowed.extend(sorted(set(Image.OPEN) - UNSAFE))
    return _allowed
