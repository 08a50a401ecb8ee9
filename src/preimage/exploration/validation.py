"""How well directions read their attributes: on examples that were not fitted, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import sqrt
from typing import Any

import numpy as np
import torch

from preimage.exploration.attributes import LEAST, Attribute
from preimage.metrics.measure import Measure, jackknife

FOLDS = LEAST
Z = 1.959964  # the normal distribution's 97.5 % quantile


def folds(a: np.ndarray, *, k: int = FOLDS, seed: int = 0) -> Iterator[tuple[np.ndarray, ...]]:
    """Indices to fit and to judge on, k times; every part has all values of a (N,) alike."""
    order = np.lexsort((np.random.default_rng(seed).permutation(len(a)), a))
    part = np.empty(len(a), int)
    part[order] = np.arange(len(a)) % k
    for i in range(k):
        yield np.flatnonzero(part != i), np.flatnonzero(part == i)


def quality(attribute: Attribute, readings: np.ndarray) -> dict[str, Any]:
    """Examples, and accuracy or R² of readings (M,) of the images where the attribute is known.

    Readings are in standard deviations above the mean. The class of two is the one whose mean
    reading is nearer; of a continuous attribute the reading's best multiple is the prediction.
    """
    a = attribute.values[attribute.known].numpy()
    counted = {"examples": len(a), "left_out": len(attribute.values) - len(a)}
    if not attribute.binary:
        return counted | {"r_squared": asdict(r_squared(a, readings))}
    middle = (0.5 - a.mean()) / a.std()
    right = (readings > middle) == (a > 0.5)
    sides = [right[a < 0.5], right[a > 0.5]]
    counted |= {"negative": len(sides[0]), "positive": len(sides[1])}
    return counted | {"accuracy": asdict(balanced(*sides))}


def balanced(*right: np.ndarray) -> Measure:
    """The mean over classes of the share that is right, whatever the classes' sizes.

    The interval is put together of Wilson's for each class as Newcombe, "Interval estimation for
    the difference between independent proportions", 1998, does, and stays within [0, 1].
    """
    shares, below, above = [], 0.0, 0.0
    for side in right:
        p, n = float(side.mean()), len(side)
        centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z * sqrt(p * (1 - p) / n + Z**2 / (4 * n * n)) / (1 + Z**2 / n)
        shares.append(p)
        below, above = below + (p - centre + half) ** 2, above + (centre + half - p) ** 2
    k, mean = len(right), sum(shares) / len(right)
    n = sum(map(len, right))
    return Measure(mean, mean - sqrt(below) / k, mean + sqrt(above) / k, n).within(0, 1)


def r_squared(a: np.ndarray, readings: np.ndarray) -> Measure:
    """The squared correlation of attribute and reading, with its sign; at best 1."""

    def statistic(a: torch.Tensor, r: torch.Tensor) -> list[float]:
        ρ = _correlation(a.numpy(), r.numpy())
        return [ρ * abs(ρ)]

    # The jackknife's groups are every tenth row, so rows must not be in an order of their own.
    shuffled = np.random.default_rng(0).permutation(len(a))
    rows = (torch.from_numpy(a[shuffled]), torch.from_numpy(readings[shuffled]))
    return jackknife(statistic, *rows)[0].within(-1, 1)


def correlations(
    attribute: Attribute, readings: np.ndarray, others: Mapping[str, Attribute]
) -> dict[str, float]:
    """The correlation of readings (M,) with every other attribute; its own stands first."""
    found = {}
    everything = {attribute.name: attribute} | dict(others)
    for name, other in everything.items():
        values = other.values[attribute.known].numpy()
        both = np.isfinite(values)
        if both.sum() > 2 and values[both].std() > 0:
            found[name] = round(_correlation(values[both], readings[both]), 4)
    return found


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(np.sqrt((a @ a) * (b @ b)), 1e-300))
