"""A photograph edited at its full size: only what the model changed is changed in it.

A model sees a part of a photograph, at a small size. What an edit did there, x' − x, is brought to
the photograph's size and added to it, so that detail that no model of this size could draw stays,
and so do the parts it never saw, the mode, the transparency, the orientation, EXIF and the colour
profile. A photograph in which nothing changed is its own file again, byte for byte.
"""

from __future__ import annotations

import contextlib
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFilter, ImageOps, JpegImagePlugin, PngImagePlugin
from torch import Tensor

from preimage.applications.editing import Change
from preimage.core import InputError
from preimage.data.archives import Item
from preimage.data.arrays import natural_range
from preimage.data.decode import (
    LUMA,
    MAX_PIXELS,
    Placement,
    Target,
    Unusable,
    flatten,
    is_deep,
    open_image,
    placement,
    reason,
    render,
)

FEATHER = 1 / 12  # of the part that the model saw, over which a change fades out towards its edges
SOFT = 1 / 100  # of a photograph's shorter side: the soft edge of a mask
ROWS = 256  # of pixels worked on at a time, so that large photographs take little memory
FORMATS = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "WEBP": "WEBP", "TIFF": "TIFF"}
"""Formats that are written as they were read; others become PNG."""
LOSSLESS = ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma")
"""Compressions of TIFF that lose nothing; photographs of others are written by the usual one."""
DESCRIPTIONS = {269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 700, 33432, 33723}
DESCRIPTIONS |= {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}
"""Tags of TIFF: names, makers, dates, resolution, XMP, IPTC, copyright."""
EXIF_ORIENTATION = ExifTags.Base.Orientation
BACK = {  # from the picture as it is shown to the picture as it is stored, by the orientation tag
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Photograph:
    """One image file, decoded whole; `pixels` are as it is shown, upright."""

    name: str
    pixels: np.ndarray  # (h, w, K): 1 or 3 colours and perhaps alpha, in the file's own numbers
    mode: str  # of Pillow: what `pixels` are written as
    range: tuple[float, float]  # the numbers that mean black and white
    target: Target  # what a model takes it as
    seen: np.ndarray  # (C, H, W) whole numbers: what the model sees
    orientation: int  # the tag in the file, which stays there
    source: Image.Image  # as it was opened, for all that is not pixels
    content: bytes  # of the file
    frames: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as it is shown."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def place(self) -> Placement:
        """Where it lies in what the model sees."""
        return placement(self.size, self.target)

    @property
    def covered(self) -> tuple[int, int, int, int]:
        """The whole pixels that the model sees: left, top, right, bottom."""
        left, top, right, bottom = self.place.box
        return math.ceil(left), math.ceil(top), math.floor(right), math.floor(bottom)

    @property
    def x(self) -> Tensor:
        """What the model sees: (C, H, W) in [−1, 1]."""
        values = torch.from_numpy(self.seen.astype(np.float32))
        return values * (2 / np.iinfo(self.seen.dtype).max) - 1

    @property
    def colours(self) -> int:
        """Channels without alpha."""
        return self.pixels.shape[2] - (self.mode in ("LA", "RGBA"))

    @property
    def rounds(self) -> bool:
        """Whether its format does not keep pixels exactly."""
        format = FORMATS.get(self.source.format or "")
        return format == "JPEG" or (format == "WEBP" and b"VP8L" not in self.content[:64])

    @property
    def file_name(self) -> str:
        """The name it is written under: its own, or with `.png` where its format is not written."""
        if self.source.format in FORMATS:
            return self.name
        return f"{self.name}.png"


def opened(item: Item, target: Target, *, max_pixels: int = MAX_PIXELS) -> Photograph:
    """The photograph in a file. Raises InputError where it holds no usable image."""
    try:
        with open(item.path, "rb") as file:
            file.seek(item.offset)
            content = file.read(item.length)
        with open_image(item.path, item.offset, item.length, max_pixels=max_pixels) as source:
            return _decoded(item.name, source, content, target)
    except (Exception, MemoryError) as error:
        raise InputError(f"{item.name} cannot be used: {reason(error)}") from None


def in_memory(name: str, x: Tensor, target: Target) -> Photograph:
    """An image (C, H, W) in [−1, 1] that is no file, as if it was a PNG."""
    values = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values).save(buffer, "PNG")
    with Image.open(buffer) as source:
        return _decoded(name, source, buffer.getvalue(), target)


def _decoded(name: str, source: Image.Image, content: bytes, target: Target) -> Photograph:
    source.load()
    orientation, shown = 1, source
    with contextlib.suppress(Exception):  # a broken tag leaves a readable image, as the loader's
        shown = ImageOps.exif_transpose(source)
        orientation = source.getexif().get(EXIF_ORIENTATION, 1)
    own = shown.convert(_mode(shown))
    values = np.asarray(own)
    span = (0.0, 255.0)
    if is_deep(own):
        if not np.isfinite(values).any():
            raise Unusable("no finite pixel value")
        span = target.range or natural_range([values]) or span
        target = Target(target.height, target.width, target.channels, target.fit,
                        target.background, span)  # fmt: skip
    return Photograph(
        name=name,
        pixels=values[:, :, None] if values.ndim == 2 else values,
        mode=own.mode,
        range=span,
        target=target,
        seen=render(flatten(shown.copy(), target.background), target),
        orientation=orientation if orientation in BACK else 1,
        source=source,
        content=content,
        frames=getattr(source, "n_frames", 1),
    )


def _mode(image: Image.Image) -> str:
    """The mode in which an image of this mode can be changed by small amounts."""
    if is_deep(image):
        return "I;16" if image.mode.startswith("I;16") else image.mode
    grey = image.mode in ("1", "L", "LA", "La")
    return ("L" if grey else "RGB") + ("A" if image.has_transparency_data else "")


def carried(
    photo: Photograph,
    change: Change,  # of this one image, (1, …)
    mask: np.ndarray | None = None,  # (h, w) uint8 of the photograph, or (H, W) of the model's size
) -> np.ndarray:
    """The photograph's pixels with the change in them, as they are shown: like `photo.pixels`.

    Where the model did not see the photograph, where the change is nothing, and where the mask is
    0, every pixel is as it was.
    """
    left, top, right, bottom = photo.place.box
    x0, y0, x1, y1 = photo.covered
    planes = _planes(change, photo.place)
    result = photo.pixels.copy()
    low, high = photo.range
    bounds = bounds_of(photo)
    weight = None if mask is None else _weight(photo, mask)
    across = _fade(x0, x1, left, right, photo.size[0])
    for first in range(y0, y1, ROWS):
        rows = slice(first, min(first + ROWS, y1))
        old = photo.pixels[rows, x0:x1]
        δ, reconstruction, lost = (enlarged(p, photo.place, (x0, x1), rows) for p in planes)
        λ = lost.clip(0, 1)
        if λ.any():
            δ = δ - λ * (_as_seen(photo, old, δ.shape[2]) - reconstruction)
        down = _fade(rows.start, rows.stop, top, bottom, photo.size[1])
        δ = δ * (down[:, None, None] * across[None, :, None])
        if weight is not None:
            δ = δ * weight[rows, x0:x1, None]
        k = photo.colours
        new = old[..., :k] + in_channels(δ, k) * ((high - low) / 2)
        if photo.pixels.dtype.kind != "f":
            new = np.rint(new)
        new = np.where(np.isfinite(old[..., :k]), new.clip(*bounds), old[..., :k])
        result[rows, x0:x1, :k] = new.astype(result.dtype)
    return result


def written(photo: Photograph, pixels: np.ndarray, *, exactly: bool = False) -> bytes:
    """A file like the photograph's own, of other pixels: its format, EXIF, profile, orientation.

    exactly: as PNG where its own format would round the pixels.
    """
    if np.array_equal(pixels, photo.pixels) and not (exactly and photo.rounds):
        return photo.content
    image = Image.fromarray(
        np.ascontiguousarray(pixels[:, :, 0] if photo.mode in _PLAIN else pixels)
    )
    if photo.orientation in BACK:
        image = image.transpose(BACK[photo.orientation])
    buffer = io.BytesIO()
    image.save(buffer, **_options(photo, "PNG" if exactly and photo.rounds else None))
    return buffer.getvalue()


_PLAIN = ("L", "I", "F", "I;16")  # modes of one channel, which Pillow takes as (h, w)


def _options(photo: Photograph, format: str | None = None) -> dict[str, Any]:
    """What Pillow has to be told, so that the file is like the one that was read."""
    source = photo.source
    format = format or FORMATS.get(source.format or "", "PNG")
    options: dict[str, Any] = {"format": format}
    options |= {name: source.info[name] for name in ("exif", "dpi") if name in source.info}
    if (profile := source.info.get("icc_profile")) and source.mode not in ("CMYK", "LAB"):
        options["icc_profile"] = profile  # one of other colours would be a wrong one
    if format in ("JPEG", "WEBP") and "xmp" in source.info:
        options["xmp"] = source.info["xmp"]
    if format == "JPEG":
        options |= _quality(source)
    elif format == "WEBP":
        options |= {"lossless": b"VP8L" in photo.content[:64], "quality": 95, "method": 4}
    elif format == "TIFF":
        packed = source.info.get("compression")
        packed = packed if packed in LOSSLESS else "tiff_adobe_deflate"
        options |= {"exif": _described(source), "compression": packed}
    elif source.format == "PNG":
        text = PngImagePlugin.PngInfo()
        for key, value in getattr(source, "text", {}).items():
            text.add_itxt(key, str(value))
        options["pnginfo"] = text
    return options


def _described(source: Image.Image) -> Image.Exif:
    """The tags of a TIFF that say something of the picture; the others say how it is stored."""
    tags = source.getexif()
    for tag in set(tags) - DESCRIPTIONS:
        del tags[tag]
    return tags


def _quality(source: Image.Image) -> dict[str, Any]:
    """The tables that a JPEG was rounded by: by the same, what is unchanged hardly changes."""
    tables = getattr(source, "quantization", None)
    options: dict[str, Any] = {"progressive": bool(source.info.get("progressive"))}
    if not tables or source.mode not in ("L", "RGB"):
        return options | {"quality": 95, "subsampling": 0}
    sampling = JpegImagePlugin.get_sampling(source) if source.mode == "RGB" else -1
    return options | {"qtables": tables} | ({"subsampling": sampling} if sampling >= 0 else {})


def _planes(change: Change, place: Placement) -> list[np.ndarray]:
    """δ, G(z) and λ, of the part of the model's image that the photograph fills: (H', W', C)."""
    left, top, right, bottom = place.inside
    parts = (change.difference, change.reconstruction, change.lost)
    return [
        np.ascontiguousarray(p[0, :, top:bottom, left:right].permute(1, 2, 0).numpy())
        for p in parts
    ]


def enlarged(
    planes: np.ndarray,
    place: Placement,
    columns: tuple[int, int],
    rows: slice,
    filter: Image.Resampling = Image.Resampling.BICUBIC,
) -> np.ndarray:
    """Planes (H', W', C) at the photograph's size: whole pixels of these rows and columns."""
    height, width, _ = planes.shape
    left, top, right, bottom = place.box
    sx, sy = width / (right - left), height / (bottom - top)
    box = (
        max(0.0, (columns[0] - left) * sx),
        max(0.0, (rows.start - top) * sy),
        min(float(width), (columns[1] - left) * sx),
        min(float(height), (rows.stop - top) * sy),
    )
    size = (columns[1] - columns[0], rows.stop - rows.start)
    channels = (Image.fromarray(planes[:, :, c]) for c in range(planes.shape[2]))
    return np.stack([np.asarray(c.resize(size, filter, box=box)) for c in channels], 2)


def _fade(first: int, last: int, low: float, high: float, length: int) -> np.ndarray:
    """1 inside the box and 0 at its edges, where the photograph goes on beyond: (last − first,)."""
    at = np.arange(first, last, dtype=np.float32) + 0.5
    width = FEATHER * (high - low)
    one = np.ones_like(at)
    before = (at - low) / width if low > 0.5 else one
    after = (high - at) / width if high < length - 0.5 else one
    t = np.minimum(before, after).clip(0, 1)
    return t * t * (3 - 2 * t)


def _as_seen(photo: Photograph, values: np.ndarray, channels: int) -> np.ndarray:
    """Pixels (h, w, K) of the photograph in the model's channels, in [−1, 1]."""
    low, high = photo.range
    colours = photo.colours
    x = (values[..., :colours].astype(np.float32) - low) * (2 / (high - low)) - 1
    if values.shape[2] > colours:
        paper = np.array(photo.target.background, np.float32) / 127.5 - 1
        paper = paper if colours == 3 else np.array([paper @ LUMA])
        alpha = values[..., colours:].astype(np.float32) / 255
        x = alpha * x + (1 - alpha) * paper
    return in_channels(x.clip(-1, 1), channels)


def in_channels(x: np.ndarray, channels: int) -> np.ndarray:
    """(h, w, 1 or 3) in so many channels."""
    if x.shape[2] == channels:
        return x
    return (x @ LUMA)[..., None] if channels == 1 else x.repeat(3, 2)


def bounds_of(photo: Photograph) -> tuple[float, float]:
    """What a pixel may be: the range of the numbers, and what the photograph holds already."""
    values = photo.pixels
    if values.dtype == np.uint8:
        return 0.0, 255.0
    values = values[np.isfinite(values)]
    return min(photo.range[0], float(values.min())), max(photo.range[1], float(values.max()))


def _weight(photo: Photograph, mask: np.ndarray) -> np.ndarray:
    """How much of a change a mask lets through: (h, w) in [0, 1]."""
    width, height = photo.size
    soft = SOFT * min(width, height)
    if mask.shape != (height, width):
        mask, pixel = _mask_enlarged(photo, mask)
        soft = max(soft, pixel)
    return softened(mask, soft)


def _mask_enlarged(photo: Photograph, mask: np.ndarray) -> tuple[np.ndarray, float]:
    """A mask of the model's size at the photograph's; and how large a pixel of it has become."""
    (width, height), small = photo.size, (photo.target.height, photo.target.width)
    if mask.shape != small:
        raise InputError(
            f"--mask is of {mask.shape[1]}×{mask.shape[0]} pixels; give one of {photo.name}'s "
            f"{width}×{height}, or of the model's {small[1]}×{small[0]}"
        )
    x0, y0, x1, y1 = photo.covered
    left, top, right, bottom = photo.place.inside
    part = mask[top:bottom, left:right, None].astype(np.float32)
    whole = np.zeros((height, width), np.uint8)
    bilinear = Image.Resampling.BILINEAR
    large = enlarged(part, photo.place, (x0, x1), slice(y0, y1), bilinear)[..., 0]
    whole[y0:y1, x0:x1] = np.rint(large)
    return whole, (x1 - x0) / (right - left)


def softened(mask: np.ndarray, width: float) -> np.ndarray:
    """A mask (H, W) uint8 with a soft edge inside it: float32 in [0, 1], 0 wherever the mask is.

    2 Φ(d / σ) − 1 at a distance d from a straight edge, with σ = `width` pixels.
    """
    blurred = Image.fromarray(mask).filter(ImageFilter.GaussianBlur(width))
    ramp = (np.asarray(blurred, np.float32) * (2 / 255) - 1).clip(0, 1)
    return ramp * (mask.astype(np.float32) / 255)
