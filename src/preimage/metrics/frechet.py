"""The Fréchet distance between two sets of features, each taken for a Gaussian.

‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½): Dowson & Landau, "The Fréchet distance between multivariate
normal distributions", 1982; on Inception features, Heusel et al., 2017, eq. 6. It is biased
upwards, by about (d + d(d + 1)/4)/N for N samples of d features: compare only equal N.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor

from preimage.metrics.measure import Measure, jackknife


class Moments:
    """Mean and covariance of rows that come in batches, in float64 and independent of batching."""

    def __init__(self, features: Tensor | None = None) -> None:
        self.n = 0
        self.mean = torch.zeros(0, dtype=torch.float64)  # (d,)
        self.scatter = torch.zeros(0, 0, dtype=torch.float64)  # (d, d): Σ (x − mean)(x − mean)ᵀ
        if features is not None:
            self.update(features)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (d, d), with N − 1; at least two rows are needed."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 rows, not {self.n}")
        return self.scatter / (self.n - 1)

    def update(self, features: Tensor) -> None:
        """Take in rows (B, d)."""
        x = features.detach().to("cpu", torch.float64)
        batch = Moments()
        batch.n, batch.mean = len(x), x.mean(0)
        centred = x - batch.mean
        batch.scatter = centred.T @ centred
        total = self.merge(batch) if len(x) else self
        self.n, self.mean, self.scatter = total.n, total.mean, total.scatter

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of rows together.

        Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979, eq. 2.1.
        """
        if self.n == 0 or other.n == 0:
            return copy(self if other.n == 0 else other)
        both = Moments()
        both.n = self.n + other.n
        δ = other.mean - self.mean
        both.mean = self.mean + δ * (other.n / both.n)
        between = torch.outer(δ, δ) * (self.n * other.n / both.n)
        both.scatter = self.scatter + other.scatter + between
        return both


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Fréchet (Wasserstein-2) distance of the two Gaussians; ranks may be deficient.

    With Σ₁ = F Fᵀ the eigenvalues of Σ₁Σ₂ are those of the symmetric FᵀΣ₂F, so
    tr (Σ₁Σ₂)^½ = Σ √λ(FᵀΣ₂F), without a matrix square root and without imaginary parts.
    """
    Σ1, Σ2 = a.covariance, b.covariance
    F = _factor(Σ1)
    λ = torch.linalg.eigvalsh(F.T @ Σ2 @ F)
    cross = _positive(λ).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + Σ1.trace() + Σ2.trace() - 2 * cross
    return distance.clamp_min(0).item()


def frechet(real: Tensor, fake: Tensor, *, groups: int = 10) -> Measure:
    """The distance of features (N, d) and (M, d), with an interval that holds no bias."""

    def statistic(real: Tensor, fake: Tensor) -> Sequence[float]:
        return [frechet_distance(Moments(real), Moments(fake))]

    return jackknife(statistic, real, fake, groups=groups)[0].within(0, float("inf"))


def _factor(Σ: Tensor) -> Tensor:
    """F (d, r) with F Fᵀ = Σ: Cholesky's where Σ has full rank, else from its eigenvectors."""
    L, failed = torch.linalg.cholesky_ex(Σ)
    if not failed:
        return L
    λ, V = torch.linalg.eigh(Σ)
    kept = _positive(λ) > 0
    return V[:, kept] * λ[kept].sqrt()


def _positive(λ: Tensor) -> Tensor:
    """Eigenvalues with those that are only round-off set to zero."""
    floor = len(λ) * torch.finfo(λ.dtype).eps * λ.abs().max() if len(λ) else 0.0
    return torch.where(λ > floor, λ, 0.0)
