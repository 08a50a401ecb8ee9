"""Does each number of a code stand for one known factor of the image, and for nothing else?

MIG: Chen et al., "Isolating sources of disentanglement in variational autoencoders", 2018, eq. 6.
DCI: Eastwood & Williams, "A framework for the quantitative evaluation of disentangled
representations", 2018, §2. SAP: Kumar, Sattigeri & Balakrishnan, "Variational inference of
disentangled latent concepts from unlabeled observations", 2018, §3. All are between 0 and 1, and 1
is disentangled. The two scores that need factors held still are in `interventions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.metrics.cluster import expected_mutual_information

from preimage.core import InputError
from preimage.metrics.factors import Codes, Factors, Labelled, labelled, quantile_bins
from preimage.metrics.measure import Measure, from_left_out, group_of

BINS = 20  # of each code, and of a continuous factor
ROWS_A_BIN = 10  # images, without which a bin says nothing
TREES, DEPTH = 10, 12  # of the forests whose importances DCI reads
FITTED = 100  # images without which there is no forest
MOST = 4000  # images that they are fitted to and read on
GROUPS = 10  # of the jackknife; of DCI, which is fitted again for each, half


@dataclass(frozen=True)
class Gap:
    """A score made of the gap between the best and the second-best code for each factor."""

    score: Measure
    matrix: np.ndarray  # (d, K): what each code knows of each factor
    factors: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DCI:
    """Estimands: the scores that forests of the same kind get on as many images."""

    disentanglement: Measure  # each code matters for one factor
    completeness: Measure  # each factor is in one code
    informativeness: Measure  # share of a factor that can be read off the codes: 0 is guessing
    importance: np.ndarray  # (d, K) of each code for each factor
    factors: tuple[str, ...]
    notes: tuple[str, ...] = ()


def mig(codes: Codes, factors: Factors, *, bins: int = BINS) -> Gap:
    """The mutual information gap, in `bins` quantile bins of each code and continuous factor.

    Estimand: the expected gap of as many images, so binned. What chance alone would show of
    mutual information is taken off: its exact mean over all permutations of the rows. A little
    bias is left, so compare at equal numbers of images.

    A factor that is not known of all images is judged by those it is known of.

    Raises InputError for fewer than 10 images a bin, and as `labelled` does.
    """
    least = ROWS_A_BIN * bins
    if len(codes) < least:
        raise InputError(f"{len(codes)} images are too few for {bins} bins; give {least}")
    data = labelled(codes, factors, least=1, enough=least)
    return _gap(lambda rows: information_matrix(rows, bins), data)


def _gap(matrix: Callable[[Labelled], np.ndarray], data: Labelled) -> Gap:
    def score(matrix: np.ndarray) -> list[float]:
        return [float(gaps(matrix).mean())]

    found = matrix(data)
    measure = _intervals(score(found), lambda rows: score(matrix(rows)), data)[0]
    return Gap(measure, found, data.names, data.notes)


def information_matrix(data: Labelled, bins: int = BINS) -> np.ndarray:
    """I(z_j; v_k) / H(v_k), corrected for chance: (d, K), 0 for knowing nothing, 1 for all."""
    whole = [quantile_bins(z, bins) for z in data.codes.T]
    matrix = np.empty((len(whole), len(data.factors)))
    chances: dict[bytes, float] = {}  # they depend on the margins alone, which quantiles share
    for k, factor in enumerate(data.factors):
        some, v = data.of(factor)
        codes = whole if len(v) == len(data.codes) else [quantile_bins(z, bins) for z in some.T]
        v = v if factor.discrete else quantile_bins(v, bins)
        entropy = _entropy(np.bincount(v))
        for j, z in enumerate(codes):
            # (I − E I) / (H − E I), so that knowing all is 1 still: as adjusted by Vinh, Epps &
            # Bailey, "Information theoretic measures for clusterings comparison", 2010, §4.
            table = _contingency(z, v)
            margins = np.sort(table.sum(1)).tobytes() + np.sort(table.sum(0)).tobytes()
            if margins not in chances:
                chances[margins] = float(expected_mutual_information(table, len(v)))
            chance = chances[margins]
            left = max(entropy - chance, 1e-12)
            matrix[j, k] = (mutual_information(table) - chance) / left
    return matrix.clip(0, 1)


def mutual_information(table: np.ndarray) -> float:
    """Of two discrete variables, in nats, from how often each pair of values occurs."""
    together = _entropy(table.ravel())
    return max(_entropy(table.sum(0)) + _entropy(table.sum(1)) - together, 0.0)


def gaps(matrix: np.ndarray) -> np.ndarray:
    """The best code's number less the second-best's, of each factor: (d, K) → (K,)."""
    ordered = np.sort(matrix, axis=0)
    return ordered[-1] - ordered[-2]


def sap(codes: Codes, factors: Factors) -> Gap:
    """The separated attribute predictability: how well one code alone predicts a factor.

    Of a continuous factor, the squared correlation; of a discrete one, the balanced accuracy of
    thresholds halfway between the means of its classes. Estimand: over all images such as these.
    """
    return _gap(predictability, labelled(codes, factors, least=1))


def predictability(data: Labelled) -> np.ndarray:
    """How well each code alone predicts each factor: (d, K)."""
    columns = []
    for factor in data.factors:
        of_code = _thresholded if factor.discrete else _squared_correlation
        codes, values = data.of(factor)
        columns.append([of_code(z, values) for z in codes.T])
    return np.array(columns).T


def _squared_correlation(z: np.ndarray, v: np.ndarray) -> float:
    z, v = z - z.mean(), v - v.mean()
    return float((z @ v) ** 2 / max((z @ z) * (v @ v), 1e-300))


def _thresholded(z: np.ndarray, v: np.ndarray) -> float:
    """Balanced accuracy of the nearest class mean: linear discriminant analysis in one variable."""
    counts = np.bincount(v)
    present = np.flatnonzero(counts)
    means = np.bincount(v, z)[present] / counts[present]
    order = np.argsort(means, kind="stable")
    thresholds = (means[order][1:] + means[order][:-1]) / 2
    predicted = present[order[np.searchsorted(thresholds, z)]]
    return float((np.bincount(v, predicted == v)[present] / counts[present]).mean())


def dci(codes: Codes, factors: Factors, *, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness, by forests of extremely random trees.

    Of more than 4,000 images some are taken. Forests are fitted to half of them (Geurts, Ernst &
    Wehenkel, "Extremely randomized trees", 2006) and read on the other half. Informativeness is
    R² of a continuous factor, and of a discrete one (accuracy − majority) / (1 − majority).

    Raises InputError for fewer than 100 images, and as `labelled` does.
    """
    if len(codes) < FITTED:
        raise InputError(f"DCI fits forests and needs {FITTED} images, not {len(codes)}")
    data = labelled(codes, factors, enough=FITTED * max(1, len(codes) // MOST))
    if len(data.codes) > MOST:
        chosen = np.random.default_rng(seed).permutation(len(data.codes))[:MOST]
        data = data.rows(np.sort(chosen))

    def scores(importance: np.ndarray, read: float) -> list[float]:
        return [*dci_of(importance), read]

    importance, read = forest_importance(data, seed=seed)
    D, C, informativeness = _intervals(
        scores(importance, read),
        lambda rows: scores(*forest_importance(rows, seed=seed)),
        data,
        groups=GROUPS // 2,
    )
    return DCI(D, C, informativeness, importance, data.names, data.notes)


def forest_importance(data: Labelled, *, seed: int = 0) -> tuple[np.ndarray, float]:
    """The importance of each code for each factor, (d, K), and the mean of what can be read."""
    forests = (_forest(*data.of(f), f.discrete, seed) for f in data.factors)
    importances, read = zip(*forests, strict=True)
    return np.stack(importances, 1), float(np.mean(read))


def dci_of(importance: np.ndarray) -> tuple[float, float]:
    """Disentanglement and completeness of importances R ≥ 0, (d, K): §2 of the paper.

    Codes and factors weigh by their share of all importance; where there is none, both are 0.
    """
    total = importance.sum()
    if total <= 0:
        return 0.0, 0.0
    d, K = importance.shape
    D = 1 - _entropies(importance) / np.log(K)  # Dᵢ = 1 − H_K(Pᵢ)
    C = 1 - _entropies(importance.T) / np.log(d)  # Cⱼ = 1 − H_D(P̃ⱼ)
    return float(importance.sum(1) @ D / total), float(importance.sum(0) @ C / total)


def _entropies(rows: np.ndarray) -> np.ndarray:
    """In nats, of each row divided by its sum; a row of zeros has the largest."""
    sums = rows.sum(1, keepdims=True)
    P = np.where(sums > 0, rows / np.where(sums > 0, sums, 1), 1 / rows.shape[1])
    return -xlogy(P, P).sum(1)


def _forest(
    codes: np.ndarray, values: np.ndarray, discrete: bool, seed: int
) -> tuple[np.ndarray, float]:
    """The importance (d,) of each code for a factor (N,), and how well it can be read."""
    fitted, read = np.array_split(np.random.default_rng(seed).permutation(len(codes)), 2)
    kind = ExtraTreesClassifier if discrete else ExtraTreesRegressor
    # Every split looks at all codes: where it sees only some, what is at hand gets importance.
    options = {"max_features": 1.0, "max_depth": DEPTH, "min_samples_leaf": 3}
    forest = kind(TREES, **options, random_state=seed)  # type: ignore[arg-type]
    forest.fit(codes[fitted], values[fitted])
    score = float(forest.score(codes[read], values[read]))
    if discrete:
        majority = np.bincount(values[read]).max() / len(read)
        score = (score - majority) / max(1 - majority, 1e-12)
    return forest.feature_importances_, max(score, 0.0)


def _intervals(
    whole: list[float],  # of all images
    statistic: Callable[[Labelled], list[float]],
    data: Labelled,
    *,
    groups: int = GROUPS,
) -> list[Measure]:
    """The jackknife's, of numbers between 0 and 1."""
    n = len(data.codes)
    group = group_of(n, groups).numpy()
    left_out = np.array([statistic(data.rows(group != g)) for g in range(groups)])
    return [
        from_left_out(value, others, n).within(0, 1)
        for value, others in zip(whole, left_out.T, strict=True)
    ]


def _contingency(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How often each pair of values occurs: (A, B) int64, of values that all do."""
    K = int(b.max()) + 1
    return np.bincount(a * K + b, minlength=(int(a.max()) + 1) * K).reshape(-1, K)


def _entropy(counts: np.ndarray) -> float:
    p = counts / counts.sum()
    return float(-xlogy(p, p).sum())
