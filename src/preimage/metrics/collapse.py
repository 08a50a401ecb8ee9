"""Does the generator draw all there is, or only some of it?

Modes are counted with a classifier (Stacked MNIST: Metz et al., "Unrolled generative adversarial
networks", 2017, §3.3.1; the divergence, Lin et al., "PacGAN", 2018, §4.2). The birthday test of
Arora, Risteski & Zhang ("Do GANs learn the distribution? Some theory and empirics", 2018, §3) needs
none: among N draws from S equally likely pictures about N²/2S pairs are the same one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import rel_entr
from torch import Tensor

from preimage.core import InputError
from preimage.core.neighbours import nearest, squared_distances
from preimage.metrics.measure import LEVEL, Measure, Z, from_left_out, group_of

BLOCK = 1024  # rows at a time
GROUPS = 20  # of the jackknife
HEAVY = 4.74386  # x with (1 + x) exp(−x) = 5 %


@dataclass(frozen=True)
class Modes:
    """Which classes a classifier finds among samples."""

    found: Measure  # estimand: the number that a fresh draw of as many samples would show
    classes: int
    missing: tuple[int, ...]
    rarest: float  # 95 % bound: a missing class makes up no more of the samples than this
    shares: np.ndarray  # (K,) of the samples, by class
    divergence: Measure  # KL(samples ‖ real) of the shares, in nats; 0 is the same


def mode_count(
    predicted: Tensor,  # (N,) classes of samples
    classes: int,
    *,
    real: Tensor | None = None,  # (M,) classes of real images; unset, all are equally frequent
) -> Modes:
    """Modes by a classifier's word; what it gets wrong makes modes appear that are not there.

    The variance of the number of modes is the number that N more samples would add to them
    (exactly so for Poisson counts), and that is at most how many were seen just once.

    Raises InputError for fewer than 2 classes or samples, and classes out of range.
    """
    counts = _counts(predicted, classes)
    n = int(counts.sum())
    if n < 2:
        raise InputError(f"counting modes needs 2 samples, not {n}")
    expected = np.full(classes, 1.0) if real is None else _counts(real, classes) + 0.5
    expected = expected / expected.sum()
    seen = int((counts > 0).sum())
    error = Z * math.sqrt(int((counts == 1).sum()))
    group = group_of(n, GROUPS).numpy()
    rows = predicted.numpy()
    left_out = np.array(
        [
            _divergence(np.bincount(rows[group != g], minlength=classes), expected)
            for g in range(GROUPS)
        ]
    )
    divergence = from_left_out(_divergence(counts, expected), left_out, n)
    return Modes(
        Measure(seen, seen - error, seen + error, n).within(1, classes),
        classes,
        tuple(np.flatnonzero(counts == 0).tolist()),
        1 - (1 - LEVEL) ** (1 / n),
        counts / n,
        divergence.within(0, float("inf")),
    )


def _counts(predicted: Tensor, classes: int) -> np.ndarray:
    if classes < 2:
        raise InputError("one class has no modes to count; give a classifier of 2 at least")
    if len(predicted) and not 0 <= int(predicted.min()) <= int(predicted.max()) < classes:
        raise InputError(f"predicted classes must be whole numbers from 0 to {classes - 1}")
    return np.bincount(predicted.numpy(), minlength=classes)


def _divergence(counts: np.ndarray, expected: np.ndarray) -> float:
    return float(rel_entr(counts / max(counts.sum(), 1), expected).sum())


@dataclass(frozen=True)
class Birthday:
    """How often two samples are the same picture, and how many pictures that makes.

    Estimands: the probability, and its inverse: the number of pictures where all are equally
    likely, and else less than that number.
    """

    collision: Measure  # P(two samples are nearer to each other than `radius`)
    support: Measure  # 1 / that; with no collision, infinite and bounded below
    radius: float
    pairs: int  # that collided
    real: Measure | None  # the same probability of real images
    likeliest: tuple[int, int]  # the two samples that are nearest to each other


def collision_radius(real: Tensor, *, share: float = 0.01) -> float:
    """The rule: two samples are one picture if nearer to each other than this.

    It is the distance below which a share of the real images (N, …) have another one: hardly
    two of them are the same picture, so what is nearer is. Samples and real images have to be
    equally many, for neighbours come nearer as they become more.
    """
    rows = _rows(real)
    if len(rows) < 2:
        raise InputError("the rule of collision needs 2 real images at least")
    distances = nearest(rows, rows, k=2)[0][:, 1]
    return distances.double().quantile(share).item()


def birthday(
    samples: Tensor,  # (N, …) images or features
    real: Tensor | None = None,  # (N, …) as many real ones, none twice
    *,
    radius: float | None = None,  # unset, `collision_radius` of the real ones
) -> Birthday:
    """All pairs of samples are held against each other, a block at a time.

    The share of them that collide is a U-statistic, unbiased for the probability; its interval is
    from a jackknife over samples. Where none collides, the bound is of the worst case, in which
    one picture is frequent and all others are new.

    Raises InputError for fewer than 20 samples, values not finite, and no rule of collision.
    """
    rows = _rows(samples)
    if len(rows) < GROUPS:
        raise InputError(f"the birthday test needs {GROUPS} samples, not {len(rows)}")
    if radius is None:
        if real is None:
            raise InputError("the birthday test needs real images, or radius=, for its rule")
        if len(real) < 2 or abs(len(real) - len(rows)) > 0.1 * len(rows):
            raise InputError(f"give as many real images as samples: {len(rows)}, not {len(real)}")
        radius = collision_radius(real)
    collision, pairs, likeliest = _collisions(rows, radius)
    support = [1 / p if p else math.inf for p in (collision.value, collision.high, collision.low)]
    return Birthday(
        collision,
        Measure(support[0], support[1], support[2], collision.n),
        radius,
        pairs,
        None if real is None else _collisions(_rows(real), radius)[0],
        likeliest,
    )


def _collisions(rows: Tensor, radius: float) -> tuple[Measure, int, tuple[int, int]]:
    """The probability of a collision, the pairs that did, and the nearest pair."""
    n = len(rows)
    rows = rows - rows.mean(0)  # against cancellation in ‖a‖² + ‖b‖² − 2ab
    group = group_of(n, GROUPS)
    between = torch.zeros(GROUPS, GROUPS, dtype=torch.float64)  # collisions of ordered pairs
    nearest_pair, smallest = (0, 1), float("inf")
    for first in range(0, n, BLOCK):
        part = rows[first : first + BLOCK]
        distances = squared_distances(part, rows)
        own = torch.arange(len(part))
        distances[own, first + own] = float("inf")
        least = distances.min(1)
        if (best := least.values.min().item()) < smallest:
            i = int(least.values.argmin())
            smallest, nearest_pair = best, (first + i, int(least.indices[i]))
        i, j = (distances < radius**2).nonzero(as_tuple=True)
        between.index_put_((group[first + i], group[j]), torch.ones(len(i)).double(), True)
    pairs = between.sum().item()
    sizes = torch.bincount(group, minlength=GROUPS).double()
    without = pairs - between.sum(0) - between.sum(1) + between.diagonal()
    left = n - sizes
    value = pairs / (n * (n - 1))
    if not pairs:
        # A picture of probability √p among new ones: P(at most one such in N) = (1 + x) exp(−x)
        # with x = N √p, which is 5 % at x = 4.74.
        return Measure(0.0, 0.0, min((HEAVY / n) ** 2, 1.0), n), 0, nearest_pair
    left_out = (without / (left * (left - 1))).numpy()
    found = _positive(from_left_out(value, left_out, n), pairs / 2)
    return found, int(pairs) // 2, nearest_pair


def _positive(found: Measure, pairs: float) -> Measure:
    """The interval on the logarithm, no narrower than that of a Poisson count of pairs."""
    error = max((found.high - found.low) / 2 / found.value, Z / math.sqrt(pairs))
    factor = math.exp(min(error, 700.0))
    return Measure(found.value, found.value / factor, min(found.value * factor, 1.0), found.n)


def _rows(x: Tensor) -> Tensor:
    rows = x.flatten(1).to("cpu", torch.float64)
    if not rows.isfinite().all():
        raise InputError("samples or images hold values that are not finite numbers")
    return rows
