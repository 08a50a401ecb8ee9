"""Grids of images: samples, originals over reconstructions, the manifold of a two-number latent.

Images come as float arrays (N, C, H, W) in [−1, 1], torch or numpy; PIL images go out. Small
images are enlarged by whole pixels, so that an 8×8 digit can be seen and stays what it is.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

if TYPE_CHECKING:
    from torch import Tensor

    Images = Tensor | np.ndarray

WIDTH = 800  # pixels, the total width that small images are enlarged towards
LARGEST_SCALE = 16
TINY = 16  # pixels of an image that a manifold shows apart from its neighbours
CAPTION_SIZE = 15  # pixels
LONGEST = 40  # characters of a caption, which may be the name of a file
UNDER_SIZE = 11  # pixels, of the texts below columns


def pixels(images: Images) -> np.ndarray:
    """Images (N, C, H, W) in [−1, 1] → (N, H, W, 3) uint8.

    One channel is grey; of more than three the first three are shown, of two the first. Values
    outside the range are clipped and NaN is shown as mid grey.
    """
    array: Any = images
    if hasattr(array, "detach"):
        array = array.detach().cpu().float().numpy()
    array = np.asarray(array, dtype=np.float32)
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(f"expected images (N, C, H, W), not of shape {array.shape}")
    array = array[:, :3] if array.shape[1] >= 3 else np.repeat(array[:, :1], 3, axis=1)
    array = np.nan_to_num((array + 1) * 127.5, nan=127.5).clip(0, 255)
    return (array + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)


def sheet(
    images: Images,  # (N, C, H, W) in [−1, 1]
    *,
    columns: int | None = None,  # as square as divides evenly, where not given
    scale: int | None = None,  # pixels on the sheet for each pixel of an image
    padding: int = 2,  # between images, in pixels of the sheet
    background: str | None = "white",  # a colour, or None for transparent
) -> Image.Image:
    """A grid of images, left to right and top to bottom."""
    tiles = pixels(images)
    n, height, width = tiles.shape[:3]
    columns = _columns(n) if columns is None else min(columns, n)
    scale = scale or _scale(columns * width)
    rows = math.ceil(n / columns)
    step_x, step_y = width * scale + padding, height * scale + padding
    canvas = _canvas((columns * step_x - padding, rows * step_y - padding), background)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        canvas.paste(_enlarged(tile, scale), (column * step_x, row * step_y))
    return canvas


def manifold(images: Images, *, scale: int | None = None) -> Image.Image:
    """n² images (n², C, H, W) as an n×n grid on black: a map of a plane of latents.

    Images stand without gaps, so that one is seen to turn into the next; those of a few pixels,
    which could then not be told apart, with gaps of one of their own.
    """
    n = math.isqrt(len(images))
    if n * n != len(images):
        raise ValueError(f"a manifold is a square of images; {len(images)} is not a square number")
    width = images.shape[-1]
    scale = scale or _scale(n * (width + (width < TINY)))
    gap = scale if width < TINY else 0
    return sheet(images, columns=n, scale=scale, padding=gap, background="black")


def pairs(
    rows: Mapping[str, Images],  # caption → (N, C, H, W) in [−1, 1]
    *,
    under: Sequence[str] = (),  # a text below each column, of one line or more
    scale: int | None = None,
    padding: int = 2,
    background: str | None = "white",
) -> Image.Image:
    """Rows of images under one another, each with its caption to the left.

    Rows may differ in their number of images. Columns are as wide as the largest image and the
    texts below them; smaller images are enlarged by whole pixels as far as they fit, and centred.
    """
    if not rows:
        raise ValueError("no rows to show")
    tiles = {caption: pixels(images) for caption, images in rows.items()}
    tallest, widest = (max(row.shape[axis] for row in tiles.values()) for axis in (1, 2))
    columns = max(map(len, tiles.values()))
    scale = scale or _scale(columns * widest)
    scales = {c: scale * _fits(row, tallest, widest) for c, row in tiles.items()}
    font = ImageFont.load_default(CAPTION_SIZE)
    small = ImageFont.load_default(UNDER_SIZE)
    lines = [line for text in under for line in text.split("\n")]
    text_width = math.ceil(max((small.getlength(line) for line in lines), default=0)) + UNDER_SIZE
    step = max(widest * scale + padding, text_width)
    captions = {caption: _one_line(caption) for caption in rows}
    margin = 3 * CAPTION_SIZE // 2 + math.ceil(max(map(font.getlength, captions.values())))
    heights = [max(row.shape[1] * scales[c], CAPTION_SIZE + 4) for c, row in tiles.items()]
    width = columns * step - padding
    below = max((text.count("\n") + 1 for text in under), default=0) * (UNDER_SIZE + 4)
    below += padding if under else 0
    size = (margin + width, sum(heights) + padding * (len(heights) - 1) + below)
    canvas = _canvas(size, background)
    draw = ImageDraw.Draw(canvas)
    top = 0
    for (caption, row), height in zip(tiles.items(), heights, strict=True):
        draw.text(
            (CAPTION_SIZE // 2, top + height / 2),
            captions[caption],
            fill=_ink(background),
            font=font,
            anchor="lm",
        )
        down = (height - row.shape[1] * scales[caption]) // 2
        right = (widest * scale - row.shape[2] * scales[caption]) // 2
        for i, tile in enumerate(row):
            at = (margin + i * step + right, top + down)
            canvas.paste(_enlarged(tile, scales[caption]), at)
        top += height + padding
    for i, text in enumerate(under):
        at = (margin + i * step, top + 2)
        draw.multiline_text(at, text, fill=_ink(background), font=small, spacing=3)
    return canvas


def png(image: Image.Image, *, quick: bool = False) -> bytes:
    """The bytes of a PNG file: as few as can be, or in a tenth of the time."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=not quick, compress_level=1 if quick else 9)
    return buffer.getvalue()


def data_uri(image: Image.Image) -> str:
    """The image as a `data:` address, to stand inside an HTML page."""
    return "data:image/png;base64," + base64.b64encode(png(image)).decode("ascii")


def _one_line(caption: str) -> str:
    """A caption as it fits beside its row: a line, its middle left out where it is long."""
    text = " ".join("".join(c if c.isprintable() else " " for c in caption).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 + 1 :]}"


def _columns(n: int) -> int:
    """All in one row up to ten; then the squarest grid without an unfinished row, if any is."""
    if n <= 10:
        return n
    side = math.ceil(math.sqrt(n))
    return next((c for c in range(side, 2 * side) if n % c == 0), side)


def _scale(width: int) -> int:
    return max(1, min(LARGEST_SCALE, WIDTH // width))


def _fits(row: np.ndarray, height: int, width: int) -> int:
    """How many times images (N, H, W, 3) can be enlarged within a size."""
    return min(height // row.shape[1], width // row.shape[2])


def _enlarged(tile: np.ndarray, scale: int) -> Image.Image:
    """A tile (H, W, 3), each of its pixels repeated `scale` times both ways."""
    return Image.fromarray(tile.repeat(scale, axis=0).repeat(scale, axis=1))


def _canvas(size: tuple[int, int], background: str | None) -> Image.Image:
    if background is None:
        return Image.new("RGBA", size, (0, 0, 0, 0))
    return Image.new("RGB", size, background)


def _ink(background: str | None) -> tuple[int, int, int]:
    """A text colour to read on the background; mid grey where that is not known."""
    if background is None:
        return (128, 128, 128)
    red, green, blue = ImageColor.getrgb(background)[:3]
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return (55, 60, 70) if light else (225, 228, 232)
