"""Statistics of streams too long to hold, taken in by many processes and put together after.

A row's place in the stream decides what becomes of it: which group it counts to, whether it is
drawn. So the batches it came in, the process that saw it, and the order of merging change nothing.
Moments by group are in `frechet.py`; here are the drawn rows that metrics of nearest neighbours
need, histograms, and all of them in one pass.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError
from preimage.core.seeds import scramble
from preimage.metrics.frechet import GroupedMoments


class Reservoir:
    """`size` rows drawn without replacement from a stream of unknown length, by seed.

    Every place in the stream has a number of its own, uniform and fixed by the seed; kept are the
    rows of the smallest (Cohen & Kaplan, "Summarizing data using bottom-k sketches", 2007), which
    those of two parts of the stream tell as well as the stream itself.
    """

    def __init__(self, size: int, *, seed: int = 0) -> None:
        self.size, self.seed = size, seed
        self.places = np.zeros(0, dtype=np.int64)  # (n,) in the stream, ascending
        self.rows = torch.zeros(0)  # (n, d)
        self.seen = 0
        self.next = 0

    def update(self, features: Tensor, *, first: int | None = None) -> None:
        """Take in rows (B, d): those that follow the last, or from place `first` on."""
        start = self.next if first is None else first
        places = np.arange(start, start + len(features))
        self._keep(places, features.detach().cpu())
        self.seen += len(features)
        self.next = start + len(features)

    def merge(self, other: Reservoir) -> Reservoir:
        """What would have been drawn from both parts of the stream as one."""
        if (self.size, self.seed) != (other.size, other.seed):
            raise ValueError("only draws of one size and seed can be merged")
        both = Reservoir(self.size, seed=self.seed)
        both._keep(self.places, self.rows)
        both._keep(other.places, other.rows)
        both.seen, both.next = self.seen + other.seen, max(self.next, other.next)
        return both

    def _keep(self, places: np.ndarray, rows: Tensor) -> None:
        if not len(places):
            return
        if len(self.places) == self.size:  # most of a long stream is passed over here
            limit = scramble(self.places, seed=self.seed).max()
            chosen = scramble(places, seed=self.seed) < limit
            places, rows = places[chosen], rows[torch.from_numpy(chosen)]
            if not len(places):
                return
        places = np.concatenate([self.places, places])
        rows = torch.cat([self.rows, rows]) if len(self.rows) else rows
        kept = np.sort(np.argsort(scramble(places, seed=self.seed))[: self.size])
        kept = kept[np.argsort(places[kept])]
        self.places, self.rows = places[kept], rows[torch.from_numpy(kept)].clone()


class Histogram:
    """How many values of each column fall between the edges, below the first, above the last."""

    def __init__(self, edges: Tensor) -> None:  # (K + 1,) ascending
        self.edges = edges.double()
        self.counts = torch.zeros(0, len(edges) + 1, dtype=torch.int64)  # (d, K + 2)

    def update(self, values: Tensor) -> None:
        """Take in rows (B, d). A value on an edge counts to what lies above it."""
        x = values.detach().to("cpu", torch.float64)
        if bad := int((~x.isfinite()).any(1).sum()):
            raise InputError(f"a histogram cannot hold {bad} rows of NaN or infinite values")
        d, bins = x.shape[1], len(self.edges) + 1
        if not len(self.counts):
            self.counts = torch.zeros(d, bins, dtype=torch.int64)
        place = torch.searchsorted(self.edges, x.contiguous(), right=True)  # (B, d)
        flat = (place + torch.arange(d) * bins).flatten()
        self.counts += torch.bincount(flat, minlength=d * bins).view(d, bins)

    def merge(self, other: Histogram) -> Histogram:
        """The histogram of both sets of rows."""
        both = Histogram(self.edges)
        both.counts = self.counts + other.counts if len(self.counts) else other.counts
        if not len(other.counts):
            both.counts = self.counts
        return both

    @property
    def shares(self) -> Tensor:
        """(d, K + 2), each row summing to one."""
        return self.counts / self.counts.sum(1, keepdim=True)


class FeatureStatistics:
    """All that scores of two sets of features need of one: its moments, and some of its rows."""

    def __init__(self, *, rows: int = 10_000, groups: int = 10, seed: int = 0) -> None:
        self.moments = GroupedMoments(groups=groups)
        self.drawn = Reservoir(rows, seed=seed)

    @property
    def n(self) -> int:
        return self.moments.n

    def update(self, features: Tensor | np.ndarray, *, first: int | None = None) -> None:
        """Take in rows (B, d): those that follow the last, or from place `first` on."""
        features = torch.as_tensor(features)
        if bad := int((~features.isfinite()).any(1).sum()):
            raise InputError(f"{bad} of {len(features)} feature rows hold NaN or infinite values")
        self.moments.update(features, first=first)
        self.drawn.update(features, first=first)

    def merge(self, other: FeatureStatistics) -> FeatureStatistics:
        """The statistics of both parts of a stream."""
        both = FeatureStatistics(groups=len(self.moments.parts))
        both.moments = self.moments.merge(other.moments)
        both.drawn = self.drawn.merge(other.drawn)
        return both

    def to_tensors(self) -> dict[str, Tensor]:
        """All that is known, to be written down."""
        drawn = self.drawn
        known = torch.tensor([drawn.size, drawn.seed, drawn.seen, drawn.next])
        kept = {"drawn": known, "places": torch.from_numpy(drawn.places), "rows": drawn.rows}
        return self.moments.to_tensors() | kept

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> FeatureStatistics:
        size, seed, seen, following = tensors["drawn"].tolist()
        found = cls(rows=size, seed=seed)
        found.moments = GroupedMoments.from_tensors(tensors)
        found.drawn.places, found.drawn.rows = tensors["places"].numpy(), tensors["rows"]
        found.drawn.seen, found.drawn.next = seen, following
        return found


def statistics_of(
    batches: Iterable[Tensor | np.ndarray], *, rows: int = 10_000, groups: int = 10, seed: int = 0
) -> FeatureStatistics:
    """The statistics of feature rows that come in batches (B, d)."""
    found = FeatureStatistics(rows=rows, groups=groups, seed=seed)
    for batch in batches:
        found.update(batch)
    return found
