"""Who is near whom, for thousands of rows of a thousand features: fast, and exact all the same.

‖a − b‖² = ‖a‖² + ‖b‖² − 2ab costs one product of matrices: in single precision half of one in
double, in bfloat16 a fifth of that, on processors that have it. What a rough product leaves open
(who is among the nearest, whether a distance is within a radius) is bounded, by Cauchy & Schwarz's
inequality for what rounding took from the rows, and only what is within that bound is asked again:
of differences in single precision, and of what even those leave open, in double.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from preimage.core.neighbours import smallest

STRIP = 512  # rows of one set against all of another
PAIRS = 256  # rows that are subtracted from others at a time: few enough to stay in the cache
FEW = 0.01  # of all pairs, that are looked at one by one


def has_bfloat16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 by units made for it."""
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16", False))


@dataclass(frozen=True)
class Rough:
    """Rows to multiply, and how far a product of them may be off.

    The squared distance of row a of one set and row b of another is v + ‖a‖² + middle up to the
    errors, where v = bias(b) − 2ab and the bias is ‖b‖² − middle − error(b): so it is never less
    than v + ‖a‖² + middle − error(a) − unit |v|, and exceeds that by twice the errors at most.
    """

    rows: Tensor  # (N, d)
    error: Tensor  # (N,) float32
    middle: float  # of ‖x‖², so that v is small and little of it is rounded
    bias: Tensor  # (N,) of the rows' own type
    unit: float  # of rounding v
    spare: int  # candidates beyond those asked for, that the error may have swapped

    @classmethod
    def of(cls, x: Rows, dtype: torch.dtype) -> Rough:
        rows, unit = x.single.to(dtype), torch.finfo(dtype).eps
        lost = (x.single - rows.float()).norm(dim=1).square() / x.squares.clamp_min(1e-30)
        ρ = lost.max().sqrt().item()
        # |2ab − 2âb̂| ≤ (2ρ + ρ²) 2‖a‖‖b‖ ≤ (2ρ + ρ²)(‖a‖² + ‖b‖²)
        error = (2 * ρ + ρ**2) * x.squares + x.rounding
        middle = x.squares.mean().item()
        error += unit * (x.squares - middle - error).abs()
        bias = (x.squares - middle - error).to(dtype)
        return cls(rows, error, middle, bias, unit, spare=3 if dtype == torch.float32 else 12)

    @cached_property
    def columns(self) -> Tensor:
        """(d, N), as a product reads them quickest."""
        return self.rows.T.contiguous()

    def against(self, part: Tensor, other: Rough) -> Tensor:
        """v of some of these rows and all of another set: (B, M)."""
        return torch.addmm(other.bias, self.rows[part], other.columns, alpha=-2)


@dataclass(frozen=True)
class Rows:
    """Rows centred on a common point: far means would cost all digits."""

    exact: Tensor  # (N, d) float64
    bfloat16: bool = False  # whether to look at them in this first

    @classmethod
    def of(cls, x: Tensor, centre: Tensor, *, bfloat16: bool = False) -> Rows:
        return cls(x.double() - centre, bfloat16)

    def __len__(self) -> int:
        return len(self.exact)

    @cached_property
    def single(self) -> Tensor:
        """(N, d) float32."""
        return self.exact.float()

    @cached_property
    def squares(self) -> Tensor:
        """(N,) float32: ‖x‖²."""
        return self.single.square().sum(1)

    @cached_property
    def rounding(self) -> Tensor:
        """Half the error of squared distances in single precision, from each row: (N,)."""
        d = self.exact.shape[1]
        return (8 + d**0.5 / 2) * torch.finfo(torch.float32).eps * self.squares

    @cached_property
    def looks(self) -> list[Rough]:
        """How to look at them, the roughest first."""
        types = [torch.bfloat16] if self.bfloat16 else []
        return [Rough.of(self, dtype) for dtype in (*types, torch.float32)]


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
    squared = torch.empty(len(x), k, dtype=torch.float64)
    index = torch.empty(len(x), k, dtype=torch.int64)
    open_rows = torch.arange(len(x))  # whose neighbours are not certain yet
    for look in x.looks:
        left = []
        for part in open_rows.split(STRIP):
            found, places, certain = _looked(x, part, k, look, exact)
            squared[part[certain]], index[part[certain]] = found[certain], places[certain]
            left.append(part[~certain])
        open_rows = torch.cat(left) if left else open_rows
    for part in open_rows.split(STRIP):  # distances that are equal, or nearly
        distances = _squared_exactly(x.exact[part], x.exact)
        distances[torch.arange(len(part)), part] = torch.inf
        squared[part], index[part] = distances.topk(k, dim=1, largest=False)
    return Neighbours(squared, index)


def _looked(
    x: Rows, part: Tensor, k: int, look: Rough, exact: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Squared distances and places (B, k) of some rows' nearest, and whether they are: (B,)."""
    v = look.against(part, look)
    v[torch.arange(len(part)), part] = torch.inf
    wanted = min(k + look.spare, len(x) - 1)
    least, index = smallest(v, wanted)
    last = least[:, -1].float()  # no row that was not kept is nearer than this bound
    bound = last - look.unit * last.abs() + (x.squares + look.middle - look.error)[part]
    if wanted == len(x) - 1:
        bound.fill_(torch.inf)
    squared = _subtracted(x.single, x.single, part.repeat_interleave(wanted), index.flatten())
    squared, order = squared.view(len(part), wanted).double().sort(dim=1)
    index = index.gather(1, order)
    error = (x.rounding[part] + x.rounding[index].amax(1))[:, None]
    unsettled = torch.zeros_like(index, dtype=torch.bool)  # which could be the k-th
    for kth in exact:
        unsettled |= (squared - squared[:, kth - 1, None]).abs() <= 2 * error
    rows, places = unsettled.nonzero(as_tuple=True)
    squared[rows, places] = _subtracted(x.exact, x.exact, part[rows], index[rows, places])
    squared, order = squared.sort(dim=1)
    certain = squared[:, k - 1] + 2 * error[:, 0] <= bound.double()
    return squared[:, :k], index.gather(1, order)[:, :k], certain


def pairs_within(
    a: Rows,
    b: Rows,
    of_a: Tensor,  # (N,) squared radii
    of_b: Tensor,  # (M,)
    *,
    edges: tuple[Tensor, ...],  # radii, (N, 1) or (M,), that no pair may be on the wrong side of
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Pairs nearer than either's radius: rows of a, rows of b, squared distances, a strip at once.

    Distances are exact where they could be mistaken for those of `edges`, and elsewhere as good as
    the first look at the rows: single precision, or on the right side of every edge.
    """
    for part in torch.arange(len(a)).split(STRIP):
        which, rows, cols, least = _near(a, b, part, of_a, of_b)
        of_rows, of_columns = a.looks[which], b.looks[which]
        rows = part[rows]
        error = of_rows.error[rows] + of_columns.error[cols] + of_rows.unit * least.abs()
        distances = (least + of_columns.error[cols] + of_columns.middle + a.squares[rows]).double()
        if of_rows.unit > torch.finfo(torch.float32).eps:
            unsure = _unsure(distances, error.double(), rows, cols, edges)
            distances[unsure] = _subtracted(a.single, b.single, rows[unsure], cols[unsure]).double()
            error[unsure] = (a.rounding[rows] + b.rounding[cols])[unsure]
        unsure = _unsure(distances, error.double(), rows, cols, edges)
        distances[unsure] = _exactly(a, b, rows[unsure], cols[unsure], part)
        yield rows, cols, distances.clamp_min_(0)


def _near(
    a: Rows, b: Rows, part: Tensor, of_a: Tensor, of_b: Tensor
) -> tuple[int, Tensor, Tensor, Tensor]:
    """The pairs of some rows that may be nearer than either radius: look, rows, columns, and v."""
    which = 0
    while True:
        of_rows, of_columns = a.looks[which], b.looks[which]
        v = of_rows.against(part, of_columns)  # more than reach: farther than either radius
        offset = (of_rows.error - a.squares - of_columns.middle)[part, None]
        reach = torch.maximum(of_a[part, None].float() + offset, of_b.float() + offset)
        near = v <= reach.add_(reach.abs(), alpha=2 * of_rows.unit)
        rows, cols = near.nonzero(as_tuple=True)
        if which + 1 == len(a.looks) or len(rows) < FEW * near.numel():
            return which, rows, cols, v[rows, cols].float()
        which += 1  # a finer look costs less than subtracting all of these


def _unsure(
    distances: Tensor, error: Tensor, rows: Tensor, cols: Tensor, edges: tuple[Tensor, ...]
) -> Tensor:
    """Which pairs are as near to an edge as the error is large: (P,)."""
    unsure = torch.zeros(len(rows), dtype=torch.bool)
    for edge in edges:
        at = edge[rows, 0] if edge.dim() == 2 else edge[cols]
        unsure |= (distances - at).abs() <= error
    return unsure


def _subtracted(a: Tensor, b: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """‖aᵢ − bⱼ‖² of pairs (P,), in the precision that the rows have."""
    parts = [
        a.index_select(0, i).sub_(b.index_select(0, j)).square_().sum(1)
        for i, j in zip(rows.split(PAIRS), cols.split(PAIRS), strict=True)
    ]
    return torch.cat(parts) if parts else a.new_empty(0)


def _exactly(a: Rows, b: Rows, rows: Tensor, cols: Tensor, part: Tensor) -> Tensor:
    """Squared distances of pairs in double precision, the way that is quicker for so many."""
    if len(rows) > len(b):
        return _squared_exactly(a.exact[part], b.exact)[rows - part[0], cols]
    return _subtracted(a.exact, b.exact, rows, cols)


def _squared_exactly(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist").square()
