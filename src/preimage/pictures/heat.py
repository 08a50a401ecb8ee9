"""Heat over a picture: where something is odd, how odd, and a box around each place."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

HEAT = "inferno"
STRONGEST = 0.65  # of the heat's colour, where it is largest
BOX = "#00e5ff"


def heat(
    picture: np.ndarray,  # (h, w, 3) uint8
    values: np.ndarray,  # (h', w') from 0, nothing, to 1
    *,
    boxes: Sequence[tuple[float, float, float, float]] = (),  # left, top, right, bottom
    scale: int = 1,  # pixels drawn for each of the picture's
) -> Image.Image:
    """The picture under a heat map that lets it through where there is no heat."""
    size = picture.shape[1] * scale, picture.shape[0] * scale
    base = Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)
    clipped = Image.fromarray(np.clip(values, 0, 1).astype(np.float32))
    large = np.asarray(clipped.resize(size, Image.Resampling.BILINEAR)).clip(0, 1)
    colours = matplotlib.colormaps[HEAT](large)[..., :3] * 255
    opacity = STRONGEST * (large * (2 - large))[..., None]  # what is a little warm is seen too
    mixed = np.asarray(base) * (1 - opacity) + colours * opacity
    drawn = Image.fromarray(np.rint(mixed).astype(np.uint8))
    draw = ImageDraw.Draw(drawn)
    for left, top, right, bottom in boxes:
        corners = (left * scale - 1, top * scale - 1, right * scale, bottom * scale)
        draw.rectangle(corners, outline=BOX, width=max(1, min(size) // 200))
    return drawn
