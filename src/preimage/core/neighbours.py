"""Exact nearest neighbours by blocks of matrix products, in flat memory."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖aᵢ − bⱼ‖² for rows of a (N, d) and b (M, d): (N, M), clamped at zero."""
    products = a @ b.T
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * products).clamp_min_(0)


def nearest(
    queries: Tensor, points: Tensor, *, k: int = 1, block: int = 1024
) -> tuple[Tensor, Tensor]:
    """Distances (N, k), ascending, and indices (N, k) of the k nearest points of each query."""
    k = min(k, len(points))
    centre = points.mean(0)  # centring keeps the cancellation in ‖a‖² + ‖b‖² − 2ab small
    queries, points = queries - centre, points - centre
    distances, indices = [], []
    for part in queries.split(block):
        d, i = squared_distances(part, points).topk(k, dim=1, largest=False)
        distances.append(d.sqrt())
        indices.append(i)
    return torch.cat(distances), torch.cat(indices)


def nearest_of_batches(
    queries: Tensor, batches: Iterable[Tensor], *, k: int = 1
) -> tuple[Tensor, Tensor]:
    """`nearest` of points (B, d) that come a batch at a time; indices count through all of them."""
    distances, indices = queries.new_empty(len(queries), 0), torch.empty(len(queries), 0).long()
    first = 0
    for points in batches:
        d, i = nearest(queries, points, k=k)
        distances = torch.cat([distances, d], 1)
        indices = torch.cat([indices, i + first], 1)
        distances, order = distances.topk(min(k, distances.shape[1]), dim=1, largest=False)
        indices = indices.gather(1, order)
        first += len(points)
    return distances, indices
