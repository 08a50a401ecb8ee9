"""Masks from files."""

from __future__ import annotations

import os

import numpy as np

from preimage.core import InputError
from preimage.data.decode import MAX_PIXELS, open_image, reason


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """A mask from an image file, as it is: (H, W) uint8. Raises InputError that names the file."""
    try:
        with open_image(os.fspath(path), max_pixels=MAX_PIXELS) as image:
            return np.asarray(image.convert("L"))
    except (Exception, MemoryError) as error:
        raise InputError(f"{path} cannot be used: {reason(error)}") from None
