"""What a generator leaves of real images, as a Gaussian: x = G(z) + δ, δ ~ N(m, W Wᵀ + Ψ).

Kennedy & O'Hagan 2001, "Bayesian calibration of computer models": a model that is not the truth is
calibrated together with its discrepancy, or what it cannot draw passes for something that it can.
The covariance is that of factor analysis, from principal components of the residuals x − G(z) of
training images (Tipping & Bishop 1999, "Probabilistic principal component analysis", equation 7),
with a variance of its own for each pixel:

    W = V (Λ − σ² I)^½,        Ψ = diag(S − W Wᵀ),

V and Λ the leading eigenvectors and values of the residuals' covariance S, σ² the mean of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError
from preimage.inversion.posterior import ROUNDING

RANK = 128  # principal components at most
EXAMPLES = 4  # residuals that there must be for each of them
FEWEST = 16  # residuals from which anything is learned


@dataclass(frozen=True)
class Discrepancy:
    """N(m, W Wᵀ + Ψ) over flat images of D values; all in float64."""

    mean: Tensor  # m: (D,)
    factors: Tensor  # W: (D, k)
    variances: Tensor  # diagonal of Ψ: (D,)

    @property
    def mean_square(self) -> float:
        """Of a value: E[δ²], averaged over all of them."""
        spread = self.factors.square().sum(1) + self.variances
        return float((self.mean.square() + spread).mean())

    @staticmethod
    def none(values: int, noise: float) -> Discrepancy:
        """Of a generator that leaves nothing but noise of this standard deviation."""
        zero = torch.zeros(values, dtype=torch.float64)
        return Discrepancy(zero, zero[:, None][:, :0], zero + max(noise, ROUNDING) ** 2)

    def scaled_to(self, residuals: Tensor) -> Discrepancy:
        """The same, as large as residuals (N, C, H, W) of images that the model has not seen.

        A model that has learned its training images by heart leaves less of these.
        """
        r = residuals.flatten(1).double() - self.mean
        expected = self.factors.square().sum() + self.variances.sum()
        ratio = (r.square().sum(1).mean() / expected).clamp_min(1)
        return Discrepancy(self.mean, self.factors * ratio.sqrt(), self.variances * ratio)

    @staticmethod
    def of(residuals: Tensor, *, rank: int = RANK) -> Discrepancy:
        """Learned from residuals (N, C, H, W) of images that are like those to come.

        Raises InputError for fewer than 16.
        """
        r = residuals.flatten(1).double()
        if len(r) < FEWEST:
            raise InputError(
                f"{len(r)} examples are too few to learn what the model leaves; "
                f"give at least {FEWEST}"
            )
        mean = r.mean(0)
        r = r - mean
        N, D = r.shape
        k = max(1, min(rank, N // EXAMPLES, D - 1))
        if N < D:  # the eigenvectors of r rᵀ are those of rᵀ r, multiplied by rᵀ
            Λ, V = torch.linalg.eigh(r @ r.T / N)
            V = r.T @ V[:, -k:] / (N * Λ[-k:].clamp_min(1e-300)).sqrt()
        else:
            Λ, V = torch.linalg.eigh(r.T @ r / N)
            V = V[:, -k:]
        total = r.square().mean(0)
        σ2 = (total.sum() - Λ[-k:].sum()).clamp_min(0) / (D - k)
        W = V * (Λ[-k:] - σ2).clamp_min(0).sqrt()
        rest = total - W.square().sum(1)
        return Discrepancy(mean, W, rest.clamp_min(ROUNDING**2))
