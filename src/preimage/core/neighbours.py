"""Exact nearest neighbours by blocks of matrix products, in flat memory."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

GROUPED = 16  # numbers of a row that `smallest` looks at as one


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖aᵢ − bⱼ‖² for rows of a (N, d) and b (M, d): (N, M), clamped at zero."""
    products = a @ b.T
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * products).clamp_min_(0)


def nearest(
    queries: Tensor, points: Tensor, *, k: int = 1, block: int = 512
) -> tuple[Tensor, Tensor]:
    """Distances (N, k), ascending, and indices (N, k) of the k nearest points of each query."""
    k = min(k, len(points))
    centre = points.mean(0)  # centring keeps the cancellation in ‖a‖² + ‖b‖² − 2ab small
    queries, points = queries - centre, points - centre
    squares = points.square().sum(1)
    distances, indices = [], []
    for part in queries.split(block):
        less, i = smallest(torch.addmm(squares, part, points.T, alpha=-2), k)  # ‖b‖² − 2ab
        distances.append((less + part.square().sum(1, keepdim=True)).clamp_min_(0).sqrt())
        indices.append(i)
    return torch.cat(distances), torch.cat(indices)


def smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row (N, M), ascending, and their columns: a faster `topk`.

    Columns are taken as M/16 groups. The k groups of the smallest minima hold the k smallest
    numbers, since each of these is no less than the minimum of its own group.
    """
    N, M = values.shape
    groups = M // GROUPED  # of columns j, j + groups, j + 2·groups, …: minima by whole rows
    if groups < 2 * k:
        return values.topk(k, dim=1, largest=False)
    table = values[:, : groups * GROUPED].view(N, GROUPED, groups)
    chosen = table.amin(1).topk(k, dim=1, largest=False, sorted=False).indices  # (N, k)
    columns = chosen[:, None] + groups * torch.arange(GROUPED, device=values.device)[:, None]
    rest = torch.arange(groups * GROUPED, M, device=values.device).expand(N, -1)
    columns = torch.cat([columns.flatten(1), rest], dim=1)
    found, place = values.gather(1, columns).topk(k, dim=1, largest=False)
    return found, columns.gather(1, place)


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
