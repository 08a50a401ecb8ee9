"""What edits did: slopes of factors on strength, classes reached, and nearness to the truth.

The strength of an edit is in standard deviations σ of its factor. Of a discrete factor the
variance is 1 − Σ p², that of its one-hot class, in which two classes are √2 apart: a change of
class is an edit of strength √2/σ (for two classes 1/√(pq), the usual thing). How a discrete factor
moves is read off the probabilities of its classes, in the same units, so that one that changes its
class with certainty moves by √2/σ.

A factor's slope is that of its mean reading on the strength, the unedited reconstruction being
strength 0. What other factors do is the root mean square of their slopes; where the edited factor
is discrete, slopes are those of each target class by itself, so that what one class does and
another undoes counts. An edit is nearer to the truth where its pixels are, in root mean square,
than those of the unedited reconstruction; a face is where its edits are, taken together.
Intervals are of 500 bootstrap draws of faces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from factor_regressor import Readings, deviation
from preimage.data import faces
from preimage.data.faces import Factor, Factors

STRENGTHS = (-1.5, -0.75, 0.75, 1.5)
DRAWS = 500

Interval = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Edits:
    """Edits of one factor, each of one face: E of them."""

    factor: Factor
    rows: Tensor  # (E,): which face
    strength: Tensor  # (E,)
    now: Tensor  # (E,): class before; 0 of a continuous factor
    to: Tensor  # (E,): class after
    truth: Factors  # of the faces as they ought to be

    @property
    def groups(self) -> int:
        return max(1, len(self.factor.values))


def edits(factor: Factor, truth: Factors, *, seed: int = 0) -> Edits:
    """What each face is to become: all strengths its range allows, or one other class."""
    n = len(truth[factor.name])
    if factor.values:
        rng = np.random.default_rng(seed)
        now = truth[factor.name]
        to = (now + rng.integers(1, len(factor.values), n)) % len(factor.values)
        rows, strength = np.arange(n), np.full(n, 2**0.5 / deviation(factor))
        values = to
    else:
        σ = deviation(factor)
        asked = truth[factor.name][:, None] + σ * np.array(STRENGTHS)
        rows, column = np.nonzero((asked >= factor.low) & (asked <= factor.high))
        strength, values = np.array(STRENGTHS)[column], asked[rows, column]
        now = to = np.zeros(len(rows), np.int64)
    changed = {name: column[rows] for name, column in truth.items()} | {factor.name: values}
    return Edits(factor, *map(torch.from_numpy, (rows, strength, now, to)), changed)


def pictures_of(edits: Edits) -> np.ndarray:
    """The drawn faces as they ought to be."""
    return faces.render(edits.truth)


@dataclass(frozen=True)
class Outcome:
    """What one method did to one factor."""

    wanted: Interval  # slope of a continuous factor, share that reached the class of a discrete one
    others: Interval  # root mean square of the other factors' slopes
    nearer: Interval  # share nearer to the counterfactual than the unedited reconstruction
    faces: Interval  # share of faces whose edits are so, all its strengths together
    left: float  # distance to the counterfactual, as a share of the unedited one's
    most: tuple[str, float]  # the other factor that moves most, and its slope


def outcome(
    edits: Edits,
    factors: Sequence[Factor],
    before: Readings,  # of the unedited reconstructions, of each face
    after: Readings,  # of each edit
    distances: tuple[Tensor, Tensor] | None,  # to the truth, (E,): edited, unedited
) -> Outcome:
    n, σ = int(edits.rows.max()) + 1, {f.name: deviation(f) for f in factors}
    weights = _draws(n)
    b = _by_face(edits, n, edits.strength[:, None] ** 2)[..., 0]  # (N, G)
    slopes = {}
    for factor in factors:
        Δ = after[factor.name].double() - before[factor.name].double()[edits.rows]
        A = _by_face(edits, n, edits.strength[:, None] * Δ.reshape(len(Δ), -1) / σ[factor.name])
        slope = torch.einsum("rn,ngc->rgc", weights, A) / (weights @ b).clamp_min(1e-9)[..., None]
        slopes[factor.name] = slope[..., 0] if A.shape[2] == 1 else slope.norm(dim=2)  # (R, G)
    share = (weights @ b) / (weights @ b).sum(1, keepdim=True)
    others = torch.stack([s for name, s in slopes.items() if name != edits.factor.name], 2)
    mean_square = (others.square().mean(2) * share).sum(1)
    each = {
        name: (s[0].square() * share[0]).sum().sqrt().item()
        for name, s in slopes.items()
        if name != edits.factor.name
    }
    if edits.factor.values:
        reached = (after[edits.factor.name].argmax(1) == edits.to).double()
        wanted = _mean(edits, n, weights, reached)
    else:
        wanted = _interval(slopes[edits.factor.name][:, 0])
    nearer, by_face, left = (float("nan"),) * 3, (float("nan"),) * 3, float("nan")
    if distances is not None:
        edited, unedited = distances
        nearer = _mean(edits, n, weights, (edited < unedited).double())
        gained = torch.zeros(n, dtype=torch.float64)
        gained.index_add_(0, edits.rows, (unedited.square() - edited.square()).double())
        some = torch.bincount(edits.rows, minlength=n) > 0
        by_face = _interval((weights @ ((gained > 0) & some).double()) / (weights @ some.double()))
        left = (edited.mean() / unedited.mean()).item()
    most = max(each.items(), key=lambda item: item[1])
    return Outcome(wanted, _interval(mean_square.sqrt()), nearer, by_face, left, most)


def _draws(n: int) -> Tensor:
    """How often each face is drawn: (1 + DRAWS, N), the first row the faces as they are."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(
        np.vstack([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), DRAWS)])
    )


def _by_face(edits: Edits, n: int, values: Tensor) -> Tensor:
    """Sums of values (E, C) over each face's edits towards each class: (N, G, C)."""
    sums = torch.zeros(n, edits.groups, values.shape[1], dtype=torch.float64)
    return sums.index_put_((edits.rows, edits.to), values.double(), accumulate=True)


def _mean(edits: Edits, n: int, weights: Tensor, values: Tensor) -> Interval:
    total = torch.zeros(n, dtype=torch.float64).index_add_(0, edits.rows, values)
    count = torch.bincount(edits.rows, minlength=n).double()
    return _interval((weights @ total) / (weights @ count))


def _interval(draws: Tensor) -> Interval:
    """The value, and where 95 % of its bootstrap draws lie."""
    low, high = torch.quantile(draws[1:], torch.tensor([0.025, 0.975], dtype=draws.dtype)).tolist()
    return draws[0].item(), low, high


def agreement(
    seen: Readings, truth: Mapping[str, Tensor], factors: Sequence[Factor]
) -> dict[str, Tensor]:
    """Whether each factor is within half a standard deviation, or in the class, of the truth."""
    return {
        f.name: seen[f.name].argmax(1) == truth[f.name].argmax(1)
        if f.values
        else (seen[f.name] - truth[f.name]).abs() <= deviation(f) / 2
        for f in factors
    }
