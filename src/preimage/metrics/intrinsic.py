"""On how many numbers do points depend that are written with many more?

Two estimates from distances to nearest neighbours, which need the points to be spread evenly only
within a neighbourhood. Both rest on the same law: among points of a d-dimensional sheet, the
distance T_k to the k-th neighbour over a nearer one's, T_k / T_j, has a logarithm of mean 1/d.

TwoNN: Facco et al., "Estimating the intrinsic dimension of datasets by a minimal neighborhood
information", 2017. MLE: Levina & Bickel, "Maximum likelihood estimation of intrinsic dimension",
2004, averaged as MacKay & Ghahramani's comment on it (2005) has it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from preimage.core.neighbours import nearest
from preimage.metrics.measure import Measure, group_of, jackknife

DISCARDED = 0.1  # of the largest ratios, where the sheet's bends and edges tell most
NEIGHBOURS = 20  # of the MLE
GROUPS = 10  # of points, each left out once for the interval


def two_nn(points: Tensor | np.ndarray, *, discard: float = DISCARDED) -> Measure:
    """TwoNN of points (N, d): the slope of −log(1 − F(μ)) over log μ, with μ = T₂/T₁.

    discard: the share of the largest μ that the line is not fitted to.

    Raises ValueError where fewer than 30 of the points are different.
    """
    return _estimated(points, 2, lambda distances: _two_nn(distances, discard))


def levina_bickel(points: Tensor | np.ndarray, *, k: int = NEIGHBOURS) -> Measure:
    """MLE of points (N, d): the inverse of the mean over points and j < k of log T_k/T_j.

    Raises ValueError where there are too few points for k neighbours.
    """
    return _estimated(points, k, _levina_bickel)


def least_points(k: int) -> int:
    """How many different points an estimate from k neighbours needs."""
    return max(30, 2 * (k + 1))


def _two_nn(distances: Tensor, discard: float) -> float:
    """Facco et al., the algorithm of the section "The TWO-NN estimator"."""
    μ = (distances[:, 1] / distances[:, 0]).sort().values
    kept = int(len(μ) * (1 - discard))
    F = torch.arange(1, kept + 1, dtype=μ.dtype) / len(μ)
    x, y = μ[:kept].log(), -(1 - F).log()
    return ((x * y).sum() / x.square().sum()).item()


def _levina_bickel(distances: Tensor) -> float:
    """m̂ = [1/(N (k − 1)) Σᵢ Σ_{j<k} log(T_k(xᵢ)/T_j(xᵢ))]⁻¹: MacKay & Ghahramani's average."""
    ratios = distances[:, -1:] / distances[:, :-1]
    return 1 / ratios.log().mean().item()


def _estimated(points: Tensor | np.ndarray, k: int, estimate: Callable[[Tensor], float]) -> Measure:
    """The estimate from distances (N, k) to the others, its interval by leaving out tenths.

    Neighbours are looked for once, and more of them than are needed: who lacks a tenth of them
    still has k.
    """
    rows = torch.as_tensor(points).flatten(1).double()
    rows = torch.unique(rows, dim=0)  # equal points have no ratio
    if len(rows) < (least := least_points(k)):
        raise ValueError(f"{len(rows)} different points; at least {least} are needed")
    distances, others = nearest(rows, rows, k=2 * k + 11)
    groups = group_of(len(rows), GROUPS)

    def statistic(distances: Tensor, theirs: Tensor, left: Tensor) -> list[float]:
        gone = ~torch.isin(theirs, left)
        order = gone.int().argsort(dim=1, stable=True)[:, :k]  # who is left, the nearest first
        return [estimate(distances.gather(1, order))]

    theirs = groups[others[:, 1:]]
    found = jackknife(statistic, distances[:, 1:], theirs, groups, groups=GROUPS)[0]
    return found.within(0, float("inf"))
