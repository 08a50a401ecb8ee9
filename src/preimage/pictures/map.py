"""A map drawn: points coloured by what is known of them, and as many images as fit between.

Images are placed greedily, in the order of the points: one goes where its point is unless it would
lie over another that stands already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from preimage.pictures.plots import INK, PALETTE, STYLE, Plot, blank, finished, plain
from preimage.pictures.sheet import pixels

if TYPE_CHECKING:
    from torch import Tensor

    Images = Tensor | np.ndarray

SIDE = 1600  # pixels of the square that images are drawn into
MARGIN = 0.04  # of the square, beyond the outermost points
THUMBNAIL = 58  # pixels of an image on the square, about
FRAME = 3  # pixels around an image, in its point's colour
NAMED = 10  # classes up to which each has its name in the legend
SHADES = "viridis"  # of numbers, from low to high
UNKNOWN = "#94a4a2"
TILE = 2048  # pixels, the largest side of an atlas's pages


def thumbnail_places(
    positions: ArrayLike,  # (N, 2)
    *,
    cell: float,  # side of an image, as a share of the square's
) -> np.ndarray:
    """Which points show their image, (M,): no two of these squares overlap."""
    xy = square(positions)
    taken: dict[tuple[int, int], list[int]] = {}
    chosen = []
    for i, (x, y) in enumerate(xy):
        column, row = int(x / cell), int(y / cell)
        around = ((column + a, row + b) for a in (-1, 0, 1) for b in (-1, 0, 1))
        others = [j for place in around for j in taken.get(place, ())]
        if all(np.abs(xy[j] - (x, y)).max() >= cell for j in others):
            chosen.append(i)
            taken.setdefault((column, row), []).append(i)
    return np.array(chosen, np.int64)


def square(positions: ArrayLike) -> np.ndarray:
    """Positions (N, 2) brought into the unit square, the same scale both ways."""
    xy = np.asarray(positions, np.float64)
    low, high = xy.min(0), xy.max(0)
    span = max(float((high - low).max()), 1e-12)
    return MARGIN + (1 - 2 * MARGIN) * ((xy - (low + high) / 2) / span + 0.5)


def thumbnail_side(shape: Sequence[int]) -> int:
    """Pixels of a framed image (C, H, W) on the square; small ones grow by whole multiples."""
    longest = max(shape[-2:])
    enlarged = longest * max(1, round(THUMBNAIL / longest))
    return (enlarged if longest <= THUMBNAIL else THUMBNAIL) + 2 * FRAME


def drawn_map(
    positions: ArrayLike,  # (N, 2)
    *,
    labels: ArrayLike | None = None,  # (N,) indices into `classes`
    classes: Sequence[str] = (),
    values: ArrayLike | None = None,  # (N,) numbers to colour by, where there are no labels
    named: str = "",  # what the values or labels are of
    chosen: ArrayLike = (),  # (M,) points whose images are shown, as `thumbnail_places` has them
    thumbnails: Images | None = None,  # their images (M, C, H, W) in [−1, 1]
    side: int = 64,  # pixels of each on the square
    title: str = "",
) -> Plot:
    """The map, with a legend of classes or a colour bar of values."""
    xy = square(positions)
    colours, numbers = _colours(len(xy), labels, values)
    with matplotlib.rc_context(STYLE):
        beside = 1.3 if numbers is not None or (labels is not None and classes) else 0.0
        canvas, axes = blank("", "", title or None, size=(7.2 + beside, 7.2))
        axes.scatter(
            *xy.T,
            s=float(np.clip(20000 / len(xy), 1.5, 22)),
            c=colours,
            alpha=0.55 if len(xy) > 1000 else 0.8,
            linewidths=0,
            rasterized=len(xy) > 500,
        )
        if thumbnails is not None and len(np.asarray(chosen)):
            points = np.asarray(chosen, np.int64)
            layer = _layer(xy[points], pixels(thumbnails), colours[points], side)
            axes.imshow(layer, extent=(0, 1, 0, 1), zorder=3, interpolation="none")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        _legend(axes, labels, classes, numbers, named)
    of = f", coloured by {named}" if named else ""
    return finished(canvas, f"A map of {len(xy):,} images{of}")


def shaded(maps: Images) -> np.ndarray:
    """Non-negative maps (N, H, W), each over its own largest value, as colours (N, 3, H, W)."""
    array = np.asarray(maps, np.float32)
    top = array.reshape(len(array), -1).max(1).clip(1e-12)
    colours = colormaps["inferno"](array / top[:, None, None])[..., :3]
    return (2 * colours - 1).transpose(0, 3, 1, 2).astype(np.float32)


def atlas(images: Iterator[Images], n: int, *, side: int) -> Iterator[Image.Image]:
    """Pages of small images for a browser's graphics memory, row by row, at most 2048 pixels wide.

    images: batches of (B, C, H, W) in [−1, 1], n in all; each becomes `side` pixels square.
    """
    columns = TILE // side
    page, filled, left = None, 0, n
    for batch in images:
        for tile in pixels(batch):
            if page is None:
                rows = min(columns, -(-left // columns))
                page = Image.new("RGB", (columns * side, rows * side))
            row, column = divmod(filled, columns)
            page.paste(_fitted(tile, side), (column * side, row * side))
            filled, left = filled + 1, left - 1
            if filled == columns * columns or not left:
                yield page
                page, filled = None, 0


def _layer(xy: np.ndarray, tiles: np.ndarray, colours: np.ndarray, side: int) -> np.ndarray:
    """Images (M, H, W, 3) with frames in their colours, on a transparent square."""
    layer = Image.new("RGBA", (SIDE, SIDE))
    draw = ImageDraw.Draw(layer)
    half = side // 2
    for (x, y), tile, colour in zip(xy, tiles, colours, strict=True):
        left, top = round(x * SIDE) - half, round((1 - y) * SIDE) - half
        rgb = tuple(int(255 * c) for c in colour)
        draw.rectangle((left, top, left + side - 1, top + side - 1), fill=(*rgb, 255))
        layer.paste(_fitted(tile, side - 2 * FRAME), (left + FRAME, top + FRAME))
    return np.asarray(layer)


def _fitted(tile: np.ndarray, side: int) -> Image.Image:
    """An image (H, W, 3) within a square, sharp where it is enlarged."""
    image = Image.fromarray(tile)
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    how = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    made = image.resize(size, how)
    if made.width == made.height:
        return made
    whole = Image.new("RGB", (side, side))
    whole.paste(made, ((side - made.width) // 2, (side - made.height) // 2))
    return whole


def _colours(
    n: int, labels: ArrayLike | None, values: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """A colour (N, 3) for each point, and the values that the colours stand for."""
    if labels is not None:
        palette = np.array([to_rgb(colour) for colour in PALETTE])
        codes = np.asarray(labels)
        found = palette[codes % len(PALETTE)]
        found[codes < 0] = to_rgb(UNKNOWN)
        return found, None
    if values is None:
        return np.tile(to_rgb(PALETTE[0]), (n, 1)), None
    numbers = np.asarray(values, np.float64)
    low, high = np.nanquantile(numbers, (0.01, 0.99))
    shaded = colormaps[SHADES](np.nan_to_num((numbers - low) / max(high - low, 1e-12)))[:, :3]
    shaded[~np.isfinite(numbers)] = to_rgb(UNKNOWN)
    return shaded, np.array([low, high])


def _legend(
    axes: Axes,
    labels: ArrayLike | None,
    classes: Sequence[str],
    span: np.ndarray | None,
    named: str,
) -> None:
    if span is not None:
        shades = ScalarMappable(Normalize(*span), SHADES)
        bar = axes.figure.colorbar(shades, ax=axes, shrink=0.5, aspect=28, pad=0.01)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        bar.ax.tick_params(length=0, labelsize=8)
        bar.set_label(plain(named))
    elif labels is not None and classes:
        present = [int(k) for k in np.unique(np.asarray(labels)) if k >= 0]
        for k in present[:NAMED]:
            axes.scatter([], [], color=PALETTE[k % len(PALETTE)], s=36, label=plain(classes[k]))
        if len(present) > NAMED:
            axes.scatter([], [], color=INK, s=0, label=f"and {len(present) - NAMED} more")
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            title=plain(named) or None,
            handletextpad=0.2,
            fontsize=9,
        )
