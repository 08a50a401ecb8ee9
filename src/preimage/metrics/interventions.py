"""Disentanglement seen by holding one factor still: which code stands still with it?

The FactorVAE score: Kim & Mnih, "Disentangling by factorising", 2018, §4. The β-VAE score: Higgins
et al., "β-VAE: learning basic visual concepts with a constrained variational framework", 2017,
§3. Groups of images that share one factor, and nothing else but by chance, come from a set of
images whose factors are known, or afresh from whatever can draw images with a factor set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from preimage.core import InputError
from preimage.metrics.factors import Codes, Factors, labelled, quantile_bins
from preimage.metrics.measure import Measure
from preimage.metrics.ranks import share

ACTIVE = 0.05  # variance below which Kim & Mnih's reference code takes a latent for collapsed
BINS = 20  # of a continuous factor: images in one bin count as sharing it

Draw = Callable[[str, int, int, int], np.ndarray]
"""factor, groups, size of a group, seed → codes (groups, size, d), each group of one value."""


@dataclass(frozen=True)
class Voting:
    """How often the factor that was held still is told from the codes.

    Estimand: the accuracy of the classifier that was fitted, on further votes so drawn. A
    classifier that guesses has one over the number of factors.
    """

    accuracy: Measure
    chance: float
    factors: tuple[str, ...]
    notes: tuple[str, ...] = ()


def conditioned(
    codes: Codes, factors: Factors, *, bins: int = BINS
) -> tuple[Draw, tuple[str, ...]]:
    """Draws from images of known factors, and the names of those that vary.

    Images share a continuous factor where they lie in one of its quantile bins.
    """
    data = labelled(codes, factors)
    members = {}
    for factor in data.factors:
        at, v = np.flatnonzero(factor.known), data.of(factor)[1]
        v = v if factor.discrete else quantile_bins(v, bins)
        kinds = [at[v == b] for b in np.unique(v)]
        members[factor.name] = [rows for rows in kinds if len(rows) > 1]

    def draw(name: str, groups: int, size: int, seed: int) -> np.ndarray:
        numbers = np.random.default_rng(seed)
        kinds = members[name]
        if not kinds:
            raise InputError(f"factor '{name}': no two images share a value; give it as a number")
        shares = np.array([len(rows) for rows in kinds], float)
        chosen = numbers.choice(len(kinds), groups, p=shares / shares.sum())
        rows = np.stack([numbers.choice(kinds[b], size) for b in chosen])
        return data.codes[rows]

    return draw, data.names


def factor_vae(
    draw: Draw,
    names: Sequence[str],
    codes: Codes,  # (N, d) of images of all kinds, for the scale of each code
    *,
    votes: int = 1000,  # half to fit the majority vote, half to judge it
    size: int = 64,
    seed: int = 0,
) -> Voting:
    """The code that varies least, for its scale, while a factor is held still, votes for it.

    Codes of variance below 0.05 are left out: they stand still whatever happens. If that leaves
    none, the accuracy is that of guessing the commonest factor.
    """
    z = _checked(codes, names, votes)
    scale = z.var(axis=0, ddof=1)
    active = np.flatnonzero(scale >= ACTIVE)
    truth, still = [], []
    for k, (name, count) in enumerate(_turns(names, votes)):
        groups = np.asarray(draw(name, count, size, seed + k), np.float64)
        variance = groups[..., active].var(axis=1, ddof=1) / scale[active]
        still.append(variance.argmin(1) if len(active) else np.zeros(count, int))
        truth.append(np.full(count, k))
    fitted, judged = _halves(np.concatenate(truth), np.concatenate(still), seed)
    table = np.zeros((max(len(active), 1), len(names)), int)
    np.add.at(table, (fitted[1], fitted[0]), 1)
    right = int((table.argmax(1)[judged[1]] == judged[0]).sum())
    notes = ()
    if len(active) < z.shape[1]:
        pruned = z.shape[1] - len(active)
        notes = (f"{pruned} of {z.shape[1]} codes vary too little (below {ACTIVE}) to be asked",)
    return Voting(share(right, len(judged[0])), 1 / len(names), tuple(names), notes)


def beta_vae(
    draw: Draw,
    names: Sequence[str],
    codes: Codes,  # (N, d), for the scale of each code
    *,
    votes: int = 1000,  # half to fit the classifier, half to judge it
    size: int = 64,
    seed: int = 0,
) -> Voting:
    """A linear classifier tells the factor from mean |z − z′| over pairs that share it."""
    z = _checked(codes, names, votes)
    scale = np.maximum(z.std(axis=0), 1e-12)
    truth, differences = [], []
    for k, (name, count) in enumerate(_turns(names, votes)):
        pairs = np.asarray(draw(name, count * size, 2, seed + k), np.float64) / scale
        difference = np.abs(pairs[:, 0] - pairs[:, 1]).reshape(count, size, -1).mean(1)
        differences.append(difference)
        truth.append(np.full(count, k))
    fitted, judged = _halves(np.concatenate(truth), np.concatenate(differences), seed)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=10.0))
    classifier.fit(fitted[1], fitted[0])
    right = int((classifier.predict(judged[1]) == judged[0]).sum())
    return Voting(share(right, len(judged[0])), 1 / len(names), tuple(names))


def _turns(names: Sequence[str], votes: int) -> list[tuple[str, int]]:
    """Equally many votes for each factor."""
    return [(name, votes // len(names)) for name in names]


def _halves(
    truth: np.ndarray, votes: np.ndarray, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    a, b = np.array_split(np.random.default_rng(seed).permutation(len(truth)), 2)
    return (truth[a], votes[a]), (truth[b], votes[b])


def _checked(codes: Codes, names: Sequence[str], votes: int) -> np.ndarray:
    z = np.asarray(codes, np.float64)
    z = z.reshape(len(z), -1)
    if not np.isfinite(z).all():
        raise InputError("codes hold values that are not finite numbers")
    if len(names) < 2:
        raise InputError("telling factors apart takes at least 2 of them")
    if votes < 10 * len(names):
        raise InputError(f"votes={votes} are too few for {len(names)} factors; give 10 for each")
    return z
