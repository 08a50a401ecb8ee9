"""The photographs of magnetic tiles, and which of them are of one tile.

Six exposures were made of each tile, with ids of their own, so a split by photograph would learn
the tiles it is tested on. Photographs whose high-pass thumbnails correlate above 0.8, at some shift
of up to two pixels, are of one tile, and so are those above 0.5 with ids less than 200 apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components
from torch import Tensor

SIDE, MARGIN, SHIFTS = 96, 4, 2


@dataclass(frozen=True)
class Photograph:
    path: Path

    @property
    def image(self) -> Tensor:
        """(1, H, W) in [−1, 1]."""
        pixels = np.asarray(Image.open(self.path).convert("L"), np.float32)
        return torch.from_numpy(pixels)[None] / 127.5 - 1

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool."""
        return np.asarray(Image.open(self.path.with_suffix(".png")).convert("L")) > 127


def photographs(folder: Path, kind: str) -> list[Photograph]:
    """Of a kind: Free, Blowhole or Crack."""
    paths = sorted((folder / "magnetic-tile" / f"MT_{kind}" / "Imgs").glob("*.jpg"))
    if not paths:
        raise SystemExit(f"no photographs of magnetic tiles in {folder}")
    return [Photograph(path) for path in paths]


def tiles(photos: list[Photograph]) -> np.ndarray:
    """Which tile each photograph is of: (N,)."""
    thumbnails, aspect = [], []
    for photo in photos:
        image = Image.open(photo.path).convert("L")
        aspect.append(np.log(image.size[0] / image.size[1]))
        thumbnails.append(_high_pass(image))
    T, a = np.array(thumbnails, np.float32), np.array(aspect)
    n = len(T)
    correlation = np.full((n, n), -1.0, np.float32)
    for dy in range(-SHIFTS, SHIFTS + 1):
        for dx in range(-SHIFTS, SHIFTS + 1):
            moved = np.roll(T, (dy, dx), (1, 2)).reshape(n, -1)
            np.maximum(correlation, moved @ T.reshape(n, -1).T, out=correlation)
    correlation = np.maximum(correlation, correlation.T)
    correlation[np.abs(a[:, None] - a) > 0.08] = -1
    ids = np.array([int(photo.path.stem.split("_")[-1]) for photo in photos])
    near = np.abs(ids[:, None] - ids) < 200
    return connected_components((correlation > 0.8) | ((correlation > 0.5) & near))[1]


def _high_pass(image: Image.Image) -> np.ndarray:
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), float)
    a = np.log(small + 8)
    a -= gaussian_filter(a, 3)
    a = np.clip((a - a.mean()) / a.std(), -4, 4)
    inside = np.zeros_like(a)
    inner = slice(MARGIN, -MARGIN)
    inside[inner, inner] = a[inner, inner]
    smooth = gaussian_filter(inside, 1.2)
    return smooth / np.linalg.norm(smooth)


def halves(tile: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two halves of the photographs, every tile in one of them."""
    kinds, sizes = np.unique(tile, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(kinds))
    first = kinds[order[np.cumsum(sizes[order]) <= len(tile) / 2]]
    inside = np.isin(tile, first)
    return np.flatnonzero(inside), np.flatnonzero(~inside)
