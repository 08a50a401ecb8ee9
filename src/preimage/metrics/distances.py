"""Who is near whom, for thousands of rows of a thousand features: fast, and exact all the same.

‖a − b‖² = ‖a‖² + ‖b‖² − 2ab costs one product of matrices, in single precision half of one in
double; within one set of rows only half of that is needed. What single precision leaves open,
whether a distance is within a radius that it nearly equals, is asked again in double.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 2048  # rows of a tile within one set
STRIP = 512  # rows of one set against all of another
SPARE = 3  # candidates beyond those asked for, that rounding may have swapped


@dataclass(frozen=True)
class Rows:
    """Rows centred on a common point, in both precisions: far means would cost all digits."""

    exact: Tensor  # (N, d) float64
    quick: Tensor  # (N, d) float32
    squares: Tensor  # (N,) float32: ‖x‖²

    @classmethod
    def of(cls, x: Tensor, centre: Tensor) -> Rows:
        exact = x.double() - centre
        quick = exact.float()
        return cls(exact, quick, quick.square().sum(1))

    def __len__(self) -> int:
        return len(self.exact)

    @property
    def rounding(self) -> Tensor:
        """Half the error that ‖a‖² + ‖b‖² − 2ab may have from each row: (N,)."""
        d = self.exact.shape[1]
        return (8 + d**0.5 / 2) * torch.finfo(torch.float32).eps * self.squares


@dataclass(frozen=True)
class Neighbours:
    """The K nearest others of every row; distances asked for are exact, others single precision."""

    squared: Tensor  # (N, K) float64, ascending: squared distances
    index: Tensor  # (N, K)

    def radii(self, k: int, side: Tensor | None = None) -> Tensor:
        """Squared distance of each row to its k-th neighbour, or to the k-th on its own side.

        side: (N,) int; where fewer than k of the K are on a row's side, the last stands in.
        """
        if side is None:
            return self.squared[:, k - 1]
        own = side[self.index] == side[:, None]
        kth = (own.cumsum(1) >= k).int().argmax(1)
        kth[own.sum(1) < k] = self.squared.shape[1] - 1
        return self.squared.gather(1, kth[:, None])[:, 0]


def neighbours(x: Rows, k: int, *, exact: tuple[int, ...]) -> Neighbours:
    """The k nearest others of each of more than k rows; exact distances of these k-ths."""
    wanted = min(k + SPARE, len(x) - 1)
    quick, index = _candidates(x, wanted)
    squared = quick.double()
    error = (x.rounding + x.rounding[index].amax(1))[:, None]
    unsettled = torch.zeros_like(index, dtype=torch.bool)  # which could be the k-th
    for kth in exact:
        unsettled |= (quick - quick[:, kth - 1, None]).abs() <= 2 * error
    for rows, places in zip(
        *(i.split(BLOCK) for i in unsettled.nonzero(as_tuple=True)), strict=True
    ):
        others = x.exact[index[rows, places]]
        squared[rows, places] = (others - x.exact[rows]).square().sum(1)
    squared, order = squared.sort(dim=1)
    index = index.gather(1, order)
    if wanted < len(x) - 1:  # more are as near as the last exact one than were kept
        crowded = (unsettled[:, -1]).nonzero()[:, 0]
        for part in crowded.split(STRIP):
            distances = _squared_exactly(x.exact[part], x.exact)
            distances[torch.arange(len(part)), part] = torch.inf
            squared[part], index[part] = distances.topk(wanted, dim=1, largest=False)
    return Neighbours(squared[:, :k], index[:, :k])


def pairs_within(
    a: Rows,
    b: Rows,
    of_a: Tensor,  # (N,) squared radii
    of_b: Tensor,  # (M,)
    *,
    edges: tuple[Tensor, ...],  # radii, (N,) or (M,), that no pair may be on the wrong side of
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Pairs nearer than either's radius: rows of a, rows of b, squared distances, a strip at once.

    Distances are exact where they could be mistaken for those of `edges` (of a where (N, 1), of b
    where (M,)), and good to single precision elsewhere.
    """
    error_b = b.rounding
    columns = b.quick.T.contiguous()
    for part in torch.arange(len(a)).split(STRIP):
        squares, error_a = a.squares[part, None], a.rounding[part, None]
        less = torch.addmm(b.squares, a.quick[part], columns, alpha=-2)  # ‖b‖² − 2ab
        reach = torch.maximum(of_a[part, None].float(), of_b.float()).add_(error_b)
        rows, cols = (less <= reach.add_(error_a - squares)).nonzero(as_tuple=True)
        distances = less[rows, cols].double() + squares[rows, 0]
        error = (error_a[rows, 0] + error_b[cols]).double()
        rows = part[rows]
        unsure = torch.zeros(len(rows), dtype=torch.bool)
        for edge in edges:
            at = edge[rows, 0] if edge.dim() == 2 else edge[cols]
            unsure |= (distances - at).abs() <= error
        distances[unsure] = _exactly(a, b, rows[unsure], cols[unsure], part)
        yield rows, cols, distances.clamp_min_(0)


def _candidates(x: Rows, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest others in single precision: tiles above the diagonal serve both sides."""
    blocks = torch.arange(len(x)).split(BLOCK)
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in blocks]
    for i, rows in enumerate(blocks):
        for j, columns in enumerate(blocks[i:], start=i):
            tile = torch.addmm(x.squares[columns], x.quick[rows], x.quick[columns].T, alpha=-2)
            tile += x.squares[rows, None]
            if i == j:
                tile.fill_diagonal_(torch.inf)
            found[i].append(_nearest(tile, k, columns))
            if i != j:
                found[j].append(_nearest(tile.T.contiguous(), k, rows))
    parts = []
    for of_block in found:
        values, index = (torch.cat(part, dim=1) for part in zip(*of_block, strict=True))
        best, place = values.topk(k, dim=1, largest=False)
        parts.append((best, index.gather(1, place)))
    values, index = (torch.cat(part) for part in zip(*parts, strict=True))
    return values, index


def _nearest(tile: Tensor, k: int, columns: Tensor) -> tuple[Tensor, Tensor]:
    values, place = tile.topk(min(k, len(columns)), dim=1, largest=False)
    return values, columns[place]


def _exactly(a: Rows, b: Rows, rows: Tensor, cols: Tensor, part: Tensor) -> Tensor:
    """Squared distances of pairs in double precision, the way that is quicker for so many."""
    if len(rows) > len(b):
        return _squared_exactly(a.exact[part], b.exact)[rows - part[0], cols]
    return (a.exact[rows] - b.exact[cols]).square().sum(1)


def _squared_exactly(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist").square()
