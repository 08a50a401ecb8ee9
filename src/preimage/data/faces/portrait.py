"""Faces put together: from factors to pictures, and to a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from preimage.core import InputError
from preimage.data.faces import features, hair
from preimage.data.faces.canvas import Canvas
from preimage.data.faces.factors import BY_NAME, Factors, checked, sample
from preimage.data.faces.geometry import face

if TYPE_CHECKING:
    from preimage.data.dataset import Dataset

_PIXELS = 64 * 64**2  # painted together, so that they stay in the processor's cache


def render(factors: Mapping[str, np.ndarray], size: int = 64) -> np.ndarray:
    """Paint faces: (N, 3, size, size) uint8, a function of their factors and nothing else.

    `factors` holds every one of `FACTORS` as an array (N,), as `sample` returns them. Raises
    InputError where a factor is missing or out of range, or size is not in 16 … 1024.
    """
    if not 16 <= size <= 1024:
        raise InputError(f"size {size} (--size): faces are drawn at 16 to 1024 pixels")
    factors = checked(factors)
    n = len(factors["pose"])
    images = np.empty((n, 3, size, size), np.uint8)
    step = max(1, _PIXELS // size**2)
    for first in range(0, n, step):
        batch = {name: values[first : first + step] for name, values in factors.items()}
        images[first : first + step] = _paint(batch, size)
    return images


def dataset(n: int = 10_000, *, seed: int = 0, correlated: bool = False) -> Dataset:
    """n faces of 64×64 as a data set without classes, every factor among its `attributes`."""
    from preimage.data import from_arrays

    factors = sample(n, seed=seed, correlated=correlated)
    return from_arrays(render(factors), attributes=factors, name="faces")


def _paint(factors: Factors, size: int) -> np.ndarray:
    """One batch, from back to front, rounded to uint8."""
    whole = face(factors)
    canvas = Canvas(len(factors["pose"]), size)
    cuts = {style: _rows(factors, "hair_style", style) for style in hair.STYLES}
    features.paint_background(canvas, whole)
    for style, (behind, _) in hair.STYLES.items():
        if behind is not None and len(rows := cuts[style]):
            behind(canvas, whole.at(rows), rows)
    features.paint_body(canvas, whole)
    features.paint_ears(canvas, whole)
    features.paint_head(canvas, whole)
    features.paint_age(canvas, whole)
    features.paint_nose(canvas, whole)
    for kind, paint in (("moustache", features.paint_moustache), ("beard", features.paint_beard)):
        if len(rows := _rows(factors, "beard", kind)):
            paint(canvas, whole.at(rows), rows)
    features.paint_mouth(canvas, whole)
    features.paint_eyes(canvas, whole)
    features.paint_brows(canvas, whole)
    if len(rows := _rows(factors, "glasses", "yes")):
        features.paint_glasses(canvas, whole.at(rows), rows)
    for style, (_, front) in hair.STYLES.items():
        if len(rows := cuts[style]):
            front(canvas, whole.at(rows), rows)
    return np.clip(canvas.pixels * 255 + 0.5, 0, 255).astype(np.uint8)


def _rows(factors: Factors, name: str, value: str) -> np.ndarray:
    """Which faces of the batch have this value of a discrete factor."""
    return np.flatnonzero(factors[name] == BY_NAME[name].values.index(value))
