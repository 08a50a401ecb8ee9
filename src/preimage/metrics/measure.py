"""A number with its 95 % interval, and the few ways the numbers of this room get theirs.

Intervals say what another sample of the same size would move the number by. They do not hold a
metric's bias: that is seen by measuring two halves of the real data against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import bdtr, stdtrit
from torch import Tensor

LEVEL = 0.95


@dataclass(frozen=True)
class Measure:
    """A value, the ends of its 95 % interval, and how many samples it rests on."""

    value: float
    low: float
    high: float
    n: int

    def within(self, least: float, most: float) -> Measure:
        """The same, with an interval that does not leave the possible values."""
        return Measure(self.value, max(self.low, least), min(self.high, most), self.n)

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


def of_mean(values: Tensor) -> Measure:
    """The mean of independent values (N,), with Student's interval."""
    values = values.double()
    n = len(values)
    mean = values.mean().item()
    error = _t(n - 1) * values.std().item() / n**0.5 if n > 1 else float("inf")
    return Measure(mean, mean - error, mean + error, n)


def of_median(values: Tensor) -> Measure:
    """The median of independent values (N,), with the interval of order statistics.

    P(X₍ₖ₊₁₎ ≤ median ≤ X₍ₙ₋ₖ₎) = 1 − 2 P(Bin(N, ½) ≤ k), whatever the distribution.
    """
    ordered = values.double().sort().values
    n = len(ordered)
    below = bdtr(np.arange(n), n, 0.5)  # P(Bin(N, ½) ≤ k) for k = 0 … N − 1
    k = int((below <= (1 - LEVEL) / 2).sum())  # how many values may be cut off at each end
    if k == 0:
        return Measure(_median(ordered), float("-inf"), float("inf"), n)
    return Measure(_median(ordered), ordered[k - 1].item(), ordered[n - k].item(), n)


def of_ratio(numerator: Tensor, denominator: Tensor) -> Measure:
    """mean(numerator) / mean(denominator) of two independent samples of positive values.

    The interval is that of the logarithm, by the delta method, so it stays positive.
    """
    a, b = numerator.double(), denominator.double()
    ratio = (a.mean() / b.mean()).item()
    variance = a.var() / a.mean().square() / len(a) + b.var() / b.mean().square() / len(b)
    factor = float(np.exp(_t(min(len(a), len(b)) - 1) * variance.sqrt().item()))
    return Measure(ratio, ratio / factor, ratio * factor, len(a))


def jackknife(
    statistic: Callable[..., Sequence[float]], *samples: Tensor, groups: int = 10
) -> list[Measure]:
    """Numbers computed from whole samples, with the delete-a-group jackknife's intervals.

    The statistic is computed once for all and once without each group, and
    σ² = (G − 1)/G Σ_g (θ_g − θ̄)² (Shao & Tu, "The Jackknife and Bootstrap", 1995, §2.3). Every
    tenth row is one group, so the rows must not be in an order that repeats.
    """
    values = np.asarray(statistic(*samples), float)
    left_out = np.array(
        [
            statistic(*(rows[torch.arange(len(rows)) % groups != g] for rows in samples))
            for g in range(groups)
        ]
    )
    variance = (groups - 1) * left_out.var(axis=0)
    error = _t(groups - 1) * np.sqrt(variance)
    n = min(len(rows) for rows in samples)
    return [
        Measure(float(v), float(v - e), float(v + e), n) for v, e in zip(values, error, strict=True)
    ]


def _t(degrees: int) -> float:
    """The half-width of Student's 95 % interval, in standard errors."""
    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def _median(ordered: Tensor) -> float:
    n = len(ordered)
    return ((ordered[(n - 1) // 2] + ordered[n // 2]) / 2).item()
