"""Do the numbers of one group lie above those of another?

The area under the ROC curve is P(a > b) + ½ P(a = b), the statistic of Mann & Whitney ("On a test
of whether one of two random variables is stochastically larger than the other", 1947). Its
interval is that of DeLong, DeLong & Clarke-Pearson ("Comparing the areas under two or more
correlated receiver operating characteristic curves", 1988).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, betaincinv
from torch import Tensor

from preimage.core import InputError
from preimage.metrics.measure import LEVEL, Measure, Z


@dataclass(frozen=True)
class Ranks:
    """How often a number of the first group lies above one of the second."""

    probability: Measure  # P(a > b) + ½ P(a = b), of fresh numbers of both groups
    z: float  # of Mann & Whitney's test, standard normal where both groups are alike
    deviation: float  # of z, by DeLong, whatever the groups are


def ranks(a: Tensor, b: Tensor) -> Ranks:
    """Of independent numbers (N,) and (M,).

    The interval of the probability is DeLong's on the logit, so it stays within 0 and 1; where the
    groups do not overlap at all, it is the one of Clopper & Pearson for the smaller group.
    """
    x, y = (np.asarray(values, np.float64) for values in (a, b))
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise InputError(f"two groups to compare need 2 numbers each, not {n} and {m}")
    from scipy.stats import rankdata  # not before: training imports this room as well

    together = rankdata(np.concatenate([x, y]))
    # The placements of each number in the other group (DeLong et al., eq. 4 and 5).
    above = (together[:n] - rankdata(x)) / m
    below = 1 - (together[n:] - rankdata(y)) / n
    probability = float(above.mean())
    variance = above.var(ddof=1) / n + below.var(ddof=1) / m
    scale = math.sqrt(12 * n * m / (n + m + 1))
    return Ranks(
        _on_the_logit(probability, math.sqrt(variance), min(n, m)),
        (probability - 0.5) * scale,
        math.sqrt(variance) * scale,
    )


def _on_the_logit(probability: float, error: float, n: int) -> Measure:
    if not 0 < probability < 1:
        edge = ((1 - LEVEL) / 2) ** (1 / n)
        low, high = (edge, 1.0) if probability == 1 else (0.0, 1 - edge)
        return Measure(probability, low, high, n)
    logit = math.log(probability / (1 - probability))
    half = Z * error / (probability * (1 - probability))
    low, high = (1 / (1 + math.exp(-min(max(x, -700), 700))) for x in (logit - half, logit + half))
    return Measure(probability, low, high, n)


def share(hits: int, n: int, *, level: float = LEVEL) -> Measure:
    """A share of n independent trials, with the exact interval of Clopper & Pearson (1934)."""
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1 - tail))
    return Measure(hits / n, low, high, n)


def detection(positives: Tensor, negatives: Tensor, *, rate: float = 0.01) -> Measure:
    """The share of positives above the threshold that a `rate` of all negatives exceed.

    The threshold is itself estimated. Order statistics of the negatives bracket the true one, and
    the interval is from the share above the upper to that above the lower bracket, each with
    Clopper & Pearson's; both steps at 97.5 %, so together at 95 % at least.
    """
    x, y = (np.sort(np.asarray(values, np.float64)) for values in (positives, negatives))
    n, m = len(x), len(y)
    level = 1 - (1 - LEVEL) / 2
    tail = (1 - level) / 2
    found = share(_above(x, _nth_largest(y, math.floor(rate * m) + 1)), n)
    # How many of m negatives may exceed the true threshold: Bin(m, rate), between its quantiles.
    cumulative = bdtr(np.arange(m + 1), m, rate)
    fewest = int(np.searchsorted(cumulative, tail, side="right"))
    most = int(np.searchsorted(cumulative, 1 - tail))
    low = share(_above(x, _nth_largest(y, fewest)), n, level=level).low
    high = share(_above(x, _nth_largest(y, most + 1)), n, level=level).high
    return Measure(found.value, low, high, n)


def _nth_largest(ordered: np.ndarray, k: int) -> float:
    """The k-th largest of ascending numbers; ∞ before the first, −∞ after the last."""
    if k < 1:
        return math.inf
    return float(ordered[-k]) if k <= len(ordered) else -math.inf


def _above(ordered: np.ndarray, threshold: float) -> int:
    return len(ordered) - int(np.searchsorted(ordered, threshold, side="right"))
