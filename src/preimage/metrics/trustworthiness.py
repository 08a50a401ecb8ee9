"""How far a map of points can be believed: whether who is near on it is near in truth.

Trustworthiness (Venna & Kaski, "Neighborhood preservation in nonlinear projection methods", 2001):

    T(k) = 1 − 2 / (N k (2N − 3k − 1)) Σᵢ Σ_{j ∈ map neighbours of i} max(0, r(i, j) − k)

where j is the r(i, j)-th nearest of i in truth. It is a mean over points i, so a random choice of
them, each held against all N points, estimates that of all without a bias.
"""

from __future__ import annotations

import torch
from torch import Tensor

from preimage.core import seeds
from preimage.core.neighbours import squared_distances
from preimage.metrics.measure import Measure, of_mean

NUMBERS = 1 << 22  # distances held at a time: 32 MiB


def trustworthiness(
    points: Tensor,  # (N, d), as they are
    positions: Tensor,  # (N, 2), as the map has them
    *,
    k: int = 5,
    judged: int | None = None,  # points to take the mean over; all of them where None
    seed: int = 0,
) -> tuple[Measure, Measure]:
    """Trustworthiness, and the share of the k nearest points that the map keeps so: both in [0, 1].

    Raises ValueError where k is not below half the number of points.
    """
    N = len(points)
    if not 1 <= k < N / 2:
        raise ValueError(f"{N} points have no {k} neighbours to be judged by")
    points, positions = (
        x.flatten(1).double() - x.flatten(1).double().mean(0) for x in (points, positions)
    )
    rows = torch.arange(N)
    if judged is not None and judged < N:
        chosen = torch.randperm(N, generator=seeds.generator(seed, "trustworthiness"))[:judged]
        rows = chosen.sort().values
    ranks = torch.empty(len(rows), k, dtype=torch.int64)  # r(i, j) of the neighbours on the map
    block = max(1, NUMBERS // N)
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        on_map = _to_others(positions, part).topk(k, dim=1, largest=False).indices
        truly = _to_others(points, part)
        for j, distance in enumerate(truly.gather(1, on_map).split(1, dim=1)):
            ranks[start : start + block, j] = 1 + (truly < distance).sum(1)
    penalty = 2 / (k * (2 * N - 3 * k - 1)) * (ranks - k).clamp_min(0).sum(1).double()
    kept = (ranks <= k).double().mean(1)
    return of_mean(1 - penalty).within(0, 1), of_mean(kept).within(0, 1)


def _to_others(points: Tensor, rows: Tensor) -> Tensor:
    """Squared distances (block, N) of some points to all; a point is not its own neighbour."""
    distances = squared_distances(points[rows], points)
    distances[torch.arange(len(rows)), rows] = torch.inf
    return distances
