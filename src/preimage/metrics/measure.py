"""A number with its 95 % interval, and the few ways the numbers of this room get theirs.

Intervals say what another sample of the same size would move the number by; what they are of is
the number's expectation at that size. They do not hold a metric's bias, except those of `unbiased`:
it is seen by measuring two halves of the real data against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from scipy.special import bdtr, ndtri, stdtrit
from torch import Tensor

from preimage.core.seeds import scramble

LEVEL = 0.95
Z = float(ndtri((1 + LEVEL) / 2))  # standard errors to each side of a normal interval


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

    def around(self, other: Measure) -> Measure:
        """The same value, with an interval that holds the other's too."""
        return Measure(self.value, min(self.low, other.low), max(self.high, other.high), other.n)

    def to_json(self) -> dict[str, float | int | None]:
        """Plain JSON values; what is not finite is None."""
        return {k: v if math.isfinite(v) else None for k, v in asdict(self).items()}

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

    The statistic is computed once for all and once without each group. What the interval is of is
    the statistic's expectation at this sample size.
    """
    left_out = [
        statistic(*(rows[group_of(len(rows), groups) != g] for rows in samples))
        for g in range(groups)
    ]
    n = min(len(rows) for rows in samples)
    whole = np.asarray(statistic(*samples), float)
    return [
        from_left_out(float(value), others, n)
        for value, others in zip(whole, np.array(left_out).T, strict=True)
    ]


def from_left_out(value: float, left_out: np.ndarray, n: int) -> Measure:
    """A statistic θ and what it is without each of G groups, θ_g: its jackknife interval.

    σ² = (G − 1)/G Σ_g (θ_g − θ̄)² (Shao & Tu, "The Jackknife and Bootstrap", 1995, §2.3); where
    θ is more curved than sloped, as a distance is near zero, up to twice the variance.
    """
    groups = len(left_out)
    error = _t(groups - 1) * float(np.sqrt((groups - 1) * np.var(left_out)))
    return Measure(value, value - error, value + error, n)


def unbiased(value: float, left_out: np.ndarray, n: int) -> Measure:
    """The same of θ − b, where the bias b falls as 1/N: G θ − (G − 1) θ̄ (Quenouille, 1956).

    That is the line through the statistic at N and at N (G − 1)/G rows, read at 1/N = 0.
    """
    groups = len(left_out)
    raw = from_left_out(value, left_out, n)
    shift = (groups - 1) * (value - float(np.mean(left_out)))
    return Measure(value + shift, raw.low + shift, raw.high + shift, n)


def of_estimate(value: float, error: float, n: int) -> Measure:
    """A number whose standard error is known: normal, where many samples make it."""
    return Measure(value, value - Z * error, value + Z * error, n)


def of_halves(value: float, differences: np.ndarray, n: int, *, half: int) -> Measure:
    """A number made of nearest neighbours, by how it differs between two halves of some rows.

    Rows that are resampled would be their own neighbours, and rows left out a few at a time
    interact, which makes a jackknife up to twice as wide as it should be. Two halves share no
    row: half the mean of (θ_A − θ_B)² over splits is the variance of θ for `half` rows, and it
    falls as 1/N (Politis, Romano & Wolf, "Subsampling", 1999, §2.3).
    """
    variance = np.square(differences).mean() / 2 * half / n
    error = _t(len(differences)) * float(np.sqrt(variance))
    return Measure(value, value - error, value + error, n)


def of_share(share: float, n: int) -> Measure:
    """A share of n, with Wilson's interval, which has a width at 0 and 1 too."""
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * (share * (1 - share) / n + Z**2 / (4 * n**2)) ** 0.5
    return Measure(share, min(share, centre - half), max(share, centre + half), n)


def group_of(n: int, groups: int, *, seed: int = 0, first: int = 0) -> Tensor:
    """Which of equally large groups the rows first … first + n − 1 belong to: (n,) int64.

    Every `groups` rows in turn hold each group once, in an order of their own, so that neither
    sorted rows nor rows whose classes repeat make the groups unlike.
    """
    if n == 0:
        return torch.zeros(0, dtype=torch.int64)
    start = first // groups * groups
    turns = -(-(first + n - start) // groups)
    keys = scramble(np.arange(start, start + turns * groups), seed=seed).reshape(turns, groups)
    return torch.from_numpy(keys.argsort(axis=1).reshape(-1)[first - start :][:n])


def drawn(n: int, some: int, *, seed: int) -> Tensor:
    """Which rows of n are among the `some` that a seed draws, in order: (some,) int64."""
    chosen = np.argsort(scramble(np.arange(n), seed=seed), kind="stable")[:some]
    return torch.from_numpy(np.sort(chosen))


def _t(degrees: int) -> float:
    """The half-width of Student's 95 % interval, in standard errors."""
    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def _median(ordered: Tensor) -> float:
    n = len(ordered)
    return ((ordered[(n - 1) // 2] + ordered[n // 2]) / 2).item()
