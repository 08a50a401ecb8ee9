"""Are the samples like real images, and are all kinds of real images among them?

Each real feature vector stands for a ball that reaches to its k-th nearest real neighbour.
Precision and recall: Kynkäänniemi et al., "Improved precision and recall metric for assessing
generative models", 2019, with k = 3. Density and coverage: Naeem et al., "Reliable fidelity and
diversity metrics for generative models", 2020, with k = 5. A point on a ball's edge is inside (≤).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core.neighbours import nearest, squared_distances
from preimage.metrics.measure import Measure, jackknife

BLOCK = 1024  # rows at a time


@dataclass(frozen=True)
class Fidelity:
    """How real the samples are (precision, density) and how various (recall, coverage)."""

    precision: Measure  # share of samples within some real ball
    recall: Measure  # share of real images within some sample's ball
    density: Measure  # real balls around a sample, over k; 1 for the real distribution itself
    coverage: Measure  # share of real balls that hold a sample


def fidelity(
    real: Tensor,  # (N, d) features
    fake: Tensor,  # (M, d) features
    *,
    k: int = 3,  # of precision and recall
    coverage_k: int = 5,  # of density and coverage
    groups: int = 10,  # of the jackknife behind the intervals
) -> Fidelity:
    """All four, exactly, in the features' own precision; intervals from leaving out tenths."""
    most = max(k, coverage_k) + 1
    if min(len(real), len(fake)) * (groups - 1) // groups < most:
        needed = -(-most * groups // (groups - 1))
        raise ValueError(f"at least {needed} real and {needed} sampled feature rows are needed")

    def statistic(real: Tensor, fake: Tensor) -> tuple[float, float, float, float]:
        return prdc(real, fake, k=k, coverage_k=coverage_k)

    precision, recall, density, coverage = jackknife(statistic, real, fake, groups=groups)
    return Fidelity(
        precision.within(0, 1),
        recall.within(0, 1),
        density.within(0, float("inf")),
        coverage.within(0, 1),
    )


def prdc(
    real: Tensor, fake: Tensor, *, k: int = 3, coverage_k: int = 5
) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage of features (N, d) and (M, d), without intervals."""
    centre = real.mean(0)  # against cancellation in ‖a‖² + ‖b‖² − 2ab
    real, fake = real - centre, fake - centre
    # A point is its own nearest neighbour, so its k-th other one is the (k + 1)-th.
    around_real = nearest(real, real, k=max(k, coverage_k) + 1)[0].square()
    around_fake = nearest(fake, fake, k=k + 1)[0][:, k].square()
    recalled = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    precise = balls = 0
    for i, part in enumerate(fake.split(BLOCK)):
        distances = squared_distances(part, real)  # (block, N)
        precise += (distances <= around_real[:, k]).any(1).sum().item()
        inside = distances <= around_real[:, coverage_k]
        balls += inside.sum().item()
        covered |= inside.any(0)
        radii = around_fake[i * BLOCK : i * BLOCK + len(part)]
        recalled |= (distances <= radii[:, None]).any(0)
    return (
        precise / len(fake),
        recalled.double().mean().item(),
        balls / (coverage_k * len(fake)),
        covered.double().mean().item(),
    )
