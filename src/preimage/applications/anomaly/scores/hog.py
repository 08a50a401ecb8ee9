"""How unusual an image's edges are: histograms of oriented gradients, held against good images'.

Dalal & Triggs, "Histograms of Oriented Gradients for Human Detection", 2005: which way brightness
rises, and how steeply, counted by cell. What a thing looks like is mostly where its edges run; how
strong they are is mostly light and the thickness of strokes, so counts are compressed and each
image's are scaled to length 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.applications.anomaly.images import Images, batches
from preimage.applications.anomaly.scores.score import Reading
from preimage.core.neighbours import nearest
from preimage.inversion.operators import Blur

CELLS = 7  # to the shorter side, about
SMOOTH = 0.18  # of a cell: the blur before gradients are taken
BINS = 8  # directions, around the whole circle
COMPRESSED = 0.25  # the power of counts


def hog(x: Tensor) -> Tensor:
    """Images (B, C, H, W) → histograms (B, BINS, rows, columns), each image's of length 1.

    Each pixel's gradient, that of its steepest channel, is shared between the two directions and
    the cells that it lies between.
    """
    cell = max(4, round(min(x.shape[2:]) / CELLS))
    u = Blur(SMOOTH * cell)(x)
    dx = F.pad(u, (1, 1, 0, 0), mode="replicate")
    dy = F.pad(u, (0, 0, 1, 1), mode="replicate")
    dx, dy = dx[..., 2:] - dx[..., :-2], dy[:, :, 2:] - dy[:, :, :-2]
    steep, channel = (dx.square() + dy.square()).sqrt().max(1, keepdim=True)
    dx, dy = dx.gather(1, channel), dy.gather(1, channel)
    place = torch.atan2(dy, dx) * (BINS / (2 * math.pi)) % BINS  # (B, 1, H, W)
    apart = (place - torch.arange(BINS, device=x.device)[:, None, None]).abs()
    share = (1 - torch.minimum(apart, BINS - apart)).clamp_min(0)  # (B, BINS, H, W)
    rise = torch.arange(1, cell, dtype=x.dtype, device=x.device)
    window = torch.cat([rise, rise.new_tensor([cell]), rise.flip(0)]) / cell**2
    kernel = (window[:, None] * window).expand(BINS, 1, -1, -1)
    counts = F.conv2d(share * steep, kernel, stride=cell, padding=cell - 1, groups=BINS)
    compressed = (counts + 1e-6).pow(COMPRESSED)
    return compressed / compressed.square().sum((1, 2, 3), keepdim=True).sqrt()


class HogNeighbours:
    """The distance to the nearest good images, along axes whitened where good ones vary most."""

    def __init__(self, *, k: int = 3, ridge: float = 10.0):
        """ridge: added to every eigenvalue before whitening, in mean eigenvalues."""
        self.k, self.ridge = k, ridge
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        rows = _of_all(images)
        mean, axes = _whitening(rows, self.ridge)
        self.state = {"mean": mean, "axes": axes, "good": (rows - mean) @ axes}

    def read(self, x: Tensor) -> Reading:
        rows = (hog(x).flatten(1) - self.state["mean"]) @ self.state["axes"]
        distances, _ = nearest(rows, self.state["good"], k=self.k)
        return Reading(scores=distances.mean(1).clamp_min(1e-6).log())


class HogDistance:
    """The Mahalanobis distance to good images (Mahalanobis 1936)."""

    def __init__(self, *, ridge: float = 0.3):
        """ridge: as above."""
        self.ridge = ridge
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        mean, axes = _whitening(_of_all(images), self.ridge)
        self.state = {"mean": mean, "axes": axes}

    def read(self, x: Tensor) -> Reading:
        squared = ((hog(x).flatten(1) - self.state["mean"]) @ self.state["axes"]).square().sum(1)
        return Reading(scores=squared.clamp_min(1e-6).log())


class HogResidual:
    """What the leading principal components of good images leave of an image, cell by cell.

    A linear autoencoder of features (Ndiour, Ahuja & Tickoo, "FRE: A Fast Method For Anomaly
    Detection And Segmentation", 2022): it says where, and costs one matrix product.
    """

    def __init__(self, *, kept: float = 0.9):
        """kept: the share of the variance that components are kept for."""
        self.kept = kept
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        rows = _of_all(images)
        mean = rows.mean(0)
        λ, V = torch.linalg.eigh((rows - mean).double().T.cov(correction=0))
        left = λ.clamp_min(0).cumsum(0) / λ.clamp_min(0).sum()  # ascending: the smallest first
        self.state = {"mean": mean, "axes": V[:, left > 1 - self.kept].float().contiguous()}

    def read(self, x: Tensor) -> Reading:
        cells, V = hog(x), self.state["axes"]
        δ = cells.flatten(1) - self.state["mean"]
        residual = (δ - δ @ V @ V.T).reshape(cells.shape).square().sum(1)
        whole = residual.sum((1, 2)).clamp_min(1e-9).log()
        return Reading(whole, residual.clamp_min(1e-9).log())


def _of_all(images: Images) -> Tensor:
    return torch.cat([hog(x).flatten(1) for _, x in batches(images)])


def _whitening(rows: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The mean (F,) of rows (N, F), and axes (F, F) along which they have unit variance."""
    mean = rows.mean(0)
    λ, V = torch.linalg.eigh((rows - mean).double().T.cov(correction=0))
    axes = V / (λ.clamp_min(0) + ridge * λ.mean()).clamp_min(1e-12).sqrt()
    return mean, axes.float().contiguous()
