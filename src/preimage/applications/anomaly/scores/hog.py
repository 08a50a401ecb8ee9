"""How unusual an image's edges are: histograms of oriented gradients, held against good images'.

Dalal & Triggs, "Histograms of Oriented Gradients for Human Detection", 2005: which way brightness
rises, and how steeply, counted by cell; square roots keep a few steep edges from outweighing all
others. What a thing looks like is mostly where its edges run.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.applications.anomaly.images import Images, batches
from preimage.applications.anomaly.scores.score import Reading
from preimage.core.neighbours import nearest

CELLS = 7  # to a side of the shorter side, about


def hog(x: Tensor, *, bins: int = 8) -> Tensor:
    """Images (B, C, H, W) → square-rooted histograms (B, bins · rows · columns).

    Each pixel's gradient, that of its steepest channel, is shared between the two directions it
    lies between, of `bins` around the whole circle.
    """
    cell = max(4, round(min(x.shape[2:]) / CELLS))
    dx = F.pad(x, (1, 1, 0, 0), mode="replicate")
    dy = F.pad(x, (0, 0, 1, 1), mode="replicate")
    dx, dy = (dx[..., 2:] - dx[..., :-2]) / 2, (dy[:, :, 2:] - dy[:, :, :-2]) / 2
    steep, channel = (dx.square() + dy.square()).sqrt().max(1, keepdim=True)
    dx, dy = dx.gather(1, channel), dy.gather(1, channel)
    place = torch.atan2(dy, dx) * (bins / (2 * math.pi)) % bins  # (B, 1, H, W)
    centres = torch.arange(bins, device=x.device)[:, None, None]
    apart = (place - centres).abs()
    share = (1 - torch.minimum(apart, bins - apart)).clamp_min(0)  # (B, bins, H, W)
    histograms = F.avg_pool2d(share * steep, cell, ceil_mode=True, count_include_pad=False)
    return histograms.flatten(1).sqrt()


class HogNeighbours:
    """The distance to the k nearest good images, along half-whitened principal axes."""

    def __init__(self, *, bins: int = 8, k: int = 3):
        self.bins, self.k = bins, k
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        features = _of_all(images, self.bins)
        mean, λ, V = _spectrum(features)
        axes = V / (λ + 1e-2 * λ.mean()).pow(0.25)
        good = (features - mean) @ axes
        self.state = {"mean": mean, "axes": axes, "good": good}

    def read(self, x: Tensor) -> Reading:
        s = self.state
        distances, _ = nearest(
            (hog(x, bins=self.bins) - s["mean"]) @ s["axes"], s["good"], k=self.k
        )
        return Reading(scores=distances.mean(1).clamp_min(1e-6).log())


class HogDistance:
    """The Mahalanobis distance to good images."""

    def __init__(self, *, bins: int = 12):
        self.bins = bins
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        mean, λ, V = _spectrum(_of_all(images, self.bins))
        self.state = {"mean": mean, "axes": V / (λ + 5e-2 * λ.mean()).sqrt()}

    def read(self, x: Tensor) -> Reading:
        w = (hog(x, bins=self.bins) - self.state["mean"]) @ self.state["axes"]
        return Reading(scores=w.square().sum(1).clamp_min(1e-6).log())


def _of_all(images: Images, bins: int) -> Tensor:
    parts = list(batches(images))
    rows = torch.cat([hog(x, bins=bins) for _, x in parts])
    return rows[torch.cat([index for index, _ in parts]).argsort()]


def _spectrum(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (F,), eigenvalues (F,) and eigenvectors (F, F) of rows (N, F)."""
    mean = rows.mean(0)
    λ, V = torch.linalg.eigh((rows - mean).double().T.cov(correction=0))
    return mean, λ.clamp_min(0).float(), V.float()
