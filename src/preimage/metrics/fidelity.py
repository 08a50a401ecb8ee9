"""Are the samples like real images, and are all kinds of real images among them?

Each real feature vector stands for a ball that reaches to its k-th nearest real neighbour.
Precision and recall: Kynkäänniemi et al., "Improved precision and recall metric for assessing
generative models", 2019, with k = 3. Density and coverage: Naeem et al., "Reliable fidelity and
diversity metrics for generative models", 2020, with k = 5. A point on a ball's edge is inside (≤),
as in the first paper; `strict` leaves it outside (<), as the second's own package does.

All four change with the number of samples, so every value is of its N and M. Intervals are of the
expectation at that size, from random halves, and no narrower than a share of so many could have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from preimage.metrics.distances import Rows, has_bfloat16, neighbours, pairs_within
from preimage.metrics.features import check_rows
from preimage.metrics.measure import Measure, drawn, group_of, of_halves, of_share

HALVED = 4000  # rows whose halves give the intervals, at most

Four = tuple[float, float, float, float]


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
    strict: bool = False,  # whether a point on a ball's edge is outside
    splits: int = 10,  # into random halves, behind the intervals
    seed: int = 0,  # of those
) -> Fidelity:
    """All four with intervals; these from halves of at most 4000 rows, to cost little."""
    return fidelities(
        real, [fake], k=k, coverage_k=coverage_k, strict=strict, splits=splits, seed=seed
    )[0]


def fidelities(
    real: Tensor,  # (N, d) features
    fakes: Sequence[Tensor],  # (M, d) each
    *,
    k: int = 3,
    coverage_k: int = 5,
    strict: bool = False,
    splits: int = 10,
    seed: int = 0,
) -> list[Fidelity]:
    """Those of several sets of samples, for which the real images' neighbours are sought once."""
    least = 2 * (max(k, coverage_k) + 1)
    for fake in fakes:
        check_rows(real, fake, least=least)
    wholes = _counted(real, fakes, k, coverage_k, strict)
    some = max(least, min(HALVED, len(real), *map(len, fakes)))
    x, *sets = (rows[drawn(len(rows), some, seed=seed)] for rows in (real, *fakes))
    sides = [group_of(some, 2, seed=seed + split) for split in range(splits)]
    halves = _counted(x, sets, k, coverage_k, strict, sides)
    return [
        _measured(whole, differences, len(real), len(fake), half=some // 2)
        for fake, (whole, _), (_, differences) in zip(fakes, wholes, halves, strict=True)
    ]


def _measured(whole: Four, differences: np.ndarray, n: int, m: int, *, half: int) -> Fidelity:
    precision, recall, density, coverage = (
        of_halves(value, differing, min(n, m), half=half)
        for value, differing in zip(whole, differences.T, strict=True)
    )
    return Fidelity(
        precision=_share(precision, m),
        recall=_share(recall, n),
        density=density.within(0, math.inf),
        coverage=_share(coverage, n),
    )


def _share(measure: Measure, n: int) -> Measure:
    return measure.around(of_share(measure.value, n)).within(0, 1)


def prdc(
    real: Tensor, fake: Tensor, *, k: int = 3, coverage_k: int = 5, strict: bool = False
) -> Four:
    """Precision, recall, density and coverage of features (N, d) and (M, d), without intervals."""
    check_rows(real, fake, least=max(k, coverage_k) + 1)
    return _counted(real, [fake], k, coverage_k, strict)[0][0]


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Of n real images and m more of the same distribution: Naeem et al., appendix."""
    return 1 - math.prod((n - 1 - i) / (m + n - 1 - i) for i in range(k))


def _counted(
    real: Tensor,
    fakes: Sequence[Tensor],
    k: int,
    coverage_k: int,
    strict: bool,
    sides: Sequence[Tensor] = (),  # of each split: the side (N,) of every row, real or generated
) -> list[tuple[Four, np.ndarray]]:
    """The four of all rows, and for each split the difference of its halves: (splits, 4)."""
    centre = real.double().mean(0)
    rough = has_bfloat16() and not sides  # halves have edges of their own, in single precision
    x = Rows.of(real, centre, bfloat16=rough)
    most = max(k, coverage_k)
    reach = 4 * most + 12 if sides else most  # enough neighbours to have k of either half
    around_x = neighbours(x, min(reach, len(x) - 1), exact=(k, coverage_k))
    found = []
    for fake in fakes:
        y = Rows.of(fake, centre, bfloat16=rough)
        around_y = neighbours(y, min(4 * k + 12 if sides else k, len(y) - 1), exact=(k,))
        counts = [
            Counts(
                around_x.radii(k, side),
                around_x.radii(coverage_k, side),
                around_y.radii(k, side),
                *((_all(x), _all(y)) if side is None else (side, side)),
                strict=strict,
            )
            for side in (None, *sides)
        ]
        whole = counts[0]
        edges = (whole.around_fake[:, None], whole.precise_within, whole.around_real)
        far_y, far_x = around_y.squared[:, -1], around_x.squared[:, -1]
        for rows, cols, squared in pairs_within(y, x, far_y, far_x, edges=edges):
            for count in counts:
                count.add(rows, cols, squared)
        differences = [np.subtract(*count.of_sides(coverage_k)) for count in counts[1:]]
        found.append((whole.of_side(0, coverage_k), np.array(differences)))
    return found


def _all(rows: Rows) -> Tensor:
    """Every row is on the one side there is: (N,)."""
    return torch.zeros(len(rows), dtype=torch.int64)


class Counts:
    """What falls into which balls, for the whole or for two halves of it that never meet."""

    def __init__(
        self,
        precise_within: Tensor,  # (N,) squared radii of real balls, for precision
        around_real: Tensor,  # (N,) for density and coverage
        around_fake: Tensor,  # (M,) of samples' balls, for recall
        side: Tensor,  # (N,) of the real rows
        side_of_fake: Tensor,  # (M,)
        *,
        strict: bool,
    ):
        self.precise_within, self.around_real = precise_within, around_real
        self.around_fake = around_fake
        self.side, self.side_of_fake, self.strict = side, side_of_fake, strict
        self.precise = torch.zeros(len(side_of_fake), dtype=torch.bool)
        self.balls = torch.zeros(len(side_of_fake), dtype=torch.int64)
        self.covered = torch.zeros(len(side), dtype=torch.bool)
        self.recalled = torch.zeros(len(side), dtype=torch.bool)

    def add(self, rows: Tensor, cols: Tensor, squared: Tensor) -> None:
        """Take in pairs of a generated and a real row."""
        met = self.side_of_fake[rows] == self.side[cols]
        rows, cols, squared = rows[met], cols[met], squared[met]
        self.precise[rows[self._inside(squared, self.precise_within[cols])]] = True
        held = self._inside(squared, self.around_real[cols])
        self.balls += torch.bincount(rows[held], minlength=len(self.balls))
        self.covered[cols[held]] = True
        self.recalled[cols[self._inside(squared, self.around_fake[rows])]] = True

    def _inside(self, squared: Tensor, radii: Tensor) -> Tensor:
        return squared < radii if self.strict else squared <= radii

    def of_sides(self, k: int) -> tuple[Four, Four]:
        return self.of_side(0, k), self.of_side(1, k)

    def of_side(self, side: int, k: int) -> Four:
        real, fake = self.side == side, self.side_of_fake == side
        return (
            self.precise[fake].double().mean().item(),
            self.recalled[real].double().mean().item(),
            self.balls[fake].double().mean().item() / k,
            self.covered[real].double().mean().item(),
        )
