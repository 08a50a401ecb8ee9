"""Pictures of the tests' own."""

from __future__ import annotations

import numpy as np
from PIL import Image


def picture(seed: int, size: int = 32, channels: int = 3) -> np.ndarray:
    """A smooth random picture (size, size, 3) or (size, size), unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, channels), np.uint8)
    image = Image.fromarray(coarse[:, :, 0] if channels == 1 else coarse)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
