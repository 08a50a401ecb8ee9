"""The kernel distance between two sets of features: unbiased at any number of samples.

KID is the squared maximum mean discrepancy, Gretton et al., "A kernel two-sample test", 2012,
eq. 3, under the kernel (x·y/d + 1)³: Bińkowski et al., "Demystifying MMD GANs", 2018, §4. As an
unbiased estimate of a distance it falls below zero about half the time where the sets are alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from preimage.metrics.features import check_rows
from preimage.metrics.measure import Measure, of_estimate

BLOCK = 1024  # rows at a time


def kernel_distance(real: Tensor, fake: Tensor) -> Measure:
    """KID of features (N, d) and (M, d), every pair of rows once, in flat memory."""
    return kernel_distances(real, [fake])[0]


def kernel_distances(real: Tensor, fakes: Sequence[Tensor]) -> list[Measure]:
    """KID of several sets of features (M, d) from one (N, d), whose own pairs are taken once."""
    for fake in fakes:
        check_rows(real, fake)
    x = real.double()
    xx = _Products(x, x)
    return [_distance(x, xx, fake.double()) for fake in fakes]


def _distance(x: Tensor, xx: _Products, y: Tensor) -> Measure:
    """One of them, with its interval.

    The interval is of the distance of the two populations. Write k̄ for the kernel centred on both
    sides. To first order a row x moves the distance by 2 (E k(x, x') − E k(x, y)), as its row sums
    tell: that is the delete-one jackknife, v. Where the sets are alike nothing is left of it but
    the second order, 2 E k̄²/N² and so on, which v counts twice (Efron & Stein, "The jackknife
    estimate of variance", 1981, eq. 2.5): one of the two is taken off, and the other is the least.
    """
    n, m = len(x), len(y)
    yy, xy = _Products(y, y), _Products(x, y)
    within_x, within_y = (p.total / (k * (k - 1)) for p, k in ((xx, n), (yy, m)))
    across = xy.total / (n * m)
    value = (within_x + within_y - 2 * across).item()
    # what the distance would be without each row, over the rows
    of_x = 2 * (xx.rows / (n - 1) - xy.rows / m)
    of_y = 2 * (yy.rows / (m - 1) - xy.columns / n)
    jackknife = of_x.var() / n + of_y.var() / m
    second = 2 * xx.interaction() / (n * (n - 1)) + 2 * yy.interaction() / (m * (m - 1))
    second = second + 4 * xy.interaction() / (n * m)
    variance = torch.maximum(jackknife - second, second)
    return of_estimate(value, variance.sqrt().item(), min(n, m))


class _Products:
    """Sums of the kernel between all rows of two sets, a row's product with itself left out."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.same = a is b  # then each pair is multiplied once, and counts twice
        self.rows = torch.zeros(len(a), dtype=torch.float64)
        self.columns = self.rows if self.same else torch.zeros(len(b), dtype=torch.float64)
        self.squares = 0.0
        for part in torch.arange(len(a)).split(BLOCK):
            first = int(part[0]) if self.same else 0
            k = (a[part] @ b[first:].T).div_(a.shape[1]).add_(1).pow_(3)
            if self.same:
                k[torch.arange(len(part)), torch.arange(len(part))] = 0
            self.rows[part] += k.sum(1)
            later = len(part) if self.same else 0
            self.columns[first + later :] += k[:, later:].sum(0)
            k.square_()
            self.squares += k.sum().item()
            if self.same:
                self.squares += k[:, later:].sum().item()

    @property
    def total(self) -> Tensor:
        return self.rows.sum()

    def interaction(self) -> Tensor:
        """E k̄²: the mean square that is left of the kernel without its row and column means."""
        n, m = len(self.rows), len(self.columns)
        if self.same:  # there are n − 1 products in a row
            m = n - 1
            mean = self.total / (n * m)
            of_rows = (self.rows / m).var() * (n - 1) / n
            spread = self.squares / (n * m) - mean.square()
            # row means hold 1/m of the interaction themselves
            return ((spread - 2 * of_rows) / (1 - 2 / m)).clamp_min(0)
        mean = self.total / (n * m)
        of_rows = (self.rows / m - mean).square().mean()
        of_columns = (self.columns / n - mean).square().mean()
        spread = self.squares / (n * m) - mean.square()
        return ((spread - of_rows - of_columns) / (1 - 1 / n - 1 / m)).clamp_min(0)
