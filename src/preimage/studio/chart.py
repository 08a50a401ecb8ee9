"""A map as the page shows it, and the latent behind any point of it.

With two latents the map is the latent space. Above, the latent of a point between images is the
mean of its neighbours', weighted so that at an image it is that image's own (modified Shepard
interpolation: Franke & Nielson, "Smooth interpolation of large sets of scattered data", 1980):

    wᵢ = ((R − dᵢ)₊ / (R dᵢ))²,

with dᵢ the distance to neighbour i and R that to the first one left out, where the weight is 0; so
the latent moves without a jump as the pointer does. Away from all images the mean says nothing, and
the picture fades with the distance to the nearest, in units of its distance to its own neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

LATENT = "latent"  # the map that is the latent space itself
NEIGHBOURS = 8
NEAR, FAR = 1.0, 4.0  # units of distance: from where a picture fades, and where it has gone


@dataclass(frozen=True)
class Chart:
    """Where each of N points lies, by one method."""

    method: str  # "pca", "t-sne", "umap", or "latent"
    positions: np.ndarray  # (N, 2) float32
    trustworthiness: float | None = None

    @cached_property
    def bounds(self) -> list[float]:
        """x0, y0, x1, y1."""
        if not len(self.positions):
            return [-3.0, -3.0, 3.0, 3.0]
        low, high = self.positions.min(0), self.positions.max(0)
        return [*low.tolist(), *high.tolist()]

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.positions)

    @cached_property
    def _typical(self) -> float:
        """The usual distance to the eighth neighbour, below which no place is called dense."""
        some = self.positions[:: max(1, len(self.positions) // 1000)]
        k = min(NEIGHBOURS + 1, len(self.positions))
        return float(np.median(self._tree.query(some, k=k)[0][..., -1])) or 1.0

    def latent(self, x: float, y: float, latents: Tensor) -> tuple[Tensor, float, int]:
        """The latent (1, *shape) behind a point, how well the map knows it, 1 to 0, and the nearest
        of its points.

        latents: (N, *shape), of the points.
        """
        n = len(self.positions)
        d, near = self._tree.query((x, y), k=min(NEIGHBOURS + 1, n))
        d, near = np.atleast_1d(d), np.atleast_1d(near)
        if self.method == LATENT:
            return torch.tensor([[x, y]], dtype=torch.float32), 1.0, int(near[0])
        fade = self._fade(float(d[0]), int(near[0]))
        w = shepard(d)
        z = (torch.from_numpy(w).float() @ latents[near].flatten(1)).reshape(1, *latents.shape[1:])
        return z, fade, int(near[0])

    def _fade(self, distance: float, nearest: int) -> float:
        k = min(NEIGHBOURS + 1, len(self.positions))
        local = float(np.atleast_1d(self._tree.query(self.positions[nearest], k=k)[0])[-1])
        unit = max(local, self._typical, 1e-12)
        share = min(max((distance / unit - NEAR) / (FAR - NEAR), 0.0), 1.0)
        return 0.5 + 0.5 * math.cos(math.pi * share)


def shepard(d: np.ndarray) -> np.ndarray:
    """Weights, of sum 1, for ascending distances (k,) of which the last is R."""
    if d[0] <= 1e-9 * max(float(d[-1]), 1e-300) or len(d) == 1:
        return (np.arange(len(d)) == 0).astype(np.float64)
    R = float(d[-1])
    w = (np.maximum(R - d, 0) / (R * d)) ** 2
    total = w.sum()
    return w / total if total > 0 else np.full(len(d), 1 / len(d))
