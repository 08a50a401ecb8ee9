"""Are the samples copies of training images?

The distance from each sample to its nearest training image is held beside that of real images
that were not trained on: new images of the same kind are as far as those, copies are nearer.

C_T: Meehan, Chaudhuri & Dasgupta, "A non-parametric test to detect data-copying in generative
models", 2020, eq. 2 and 3. Authenticity: Alaa et al., "How faithful is your synthetic data?", 2022,
§4.3; what it is of new images depends on the data (in few dimensions it is below ½, in many above),
so it is said beside that of held-out ones. Copies one by one: as by Carlini et al., "Extracting
training data from diffusion models", 2023, §4.2, a sample is near where its nearest training image
is much nearer than the next ones, so that where all images are alike none is accused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from preimage.core import InputError
from preimage.core.neighbours import nearest, nearest_of_batches
from preimage.metrics.measure import LEVEL, Measure, Z, of_median
from preimage.metrics.ranks import Ranks, ranks, share
from preimage.metrics.score import difference_interval

LEAST = 20  # samples and held-out images that a cell needs
NEIGHBOURS = 20  # training images around a sample, behind what is near there
EXACT = 1 / 255  # root mean squared difference below which 8-bit images are equal: half a level
EQUAL = 3e-3  # closeness below which features are: what rounding leaves of a distance of 0


@dataclass(frozen=True)
class Around:
    """The training rows that are nearest to each row: all of these scores follow from them."""

    distances: Tensor  # (N, K), ascending
    index: Tensor  # (N, K)
    d: int  # numbers of a row

    @property
    def nearest(self) -> Tensor:
        """Distances (N,) to the nearest."""
        return self.distances[:, 0]

    def some(self, rows: slice) -> Around:
        return Around(self.distances[rows], self.index[rows], self.d)


def around(queries: Tensor, train: Tensor, *, k: int = NEIGHBOURS) -> Around:
    """The k nearest of training rows (M, …) around queries (N, …), found once for all scores."""
    queries, train = _rows(queries, train)
    return Around(*nearest(queries, train, k=k), queries.shape[1])


Found = tuple[Around, Around]  # of samples and of held-out images, where that is known already


def _found(samples: Tensor, train: Tensor, heldout: Tensor, *, k: int) -> Found:
    return around(samples, train, k=k), around(heldout, train, k=k)


def median_nearest(queries: Tensor, points: Tensor) -> Measure:
    """The median distance from queries (N, …) to the nearest of points (M, …)."""
    return of_median(around(queries, points, k=1).nearest)


def nearest_ratio(
    samples: Tensor,  # (N, …) images or features
    train: Tensor,  # (M, …)
    heldout: Tensor,  # (K, …)
    *,
    found: Found | None = None,
    resamples: int = 1000,
) -> Measure:
    """Median distance samples → train over held out → train: 1 is new, near 0 is copied.

    Samples blurrier than real images lie nearer to everything, so a little below 1 is no proof.
    The interval is the bootstrap's, over samples and held-out images; training images are fixed.
    """
    near, reference = (of.nearest.numpy() for of in found or _found(samples, train, heldout, k=1))
    numbers = np.random.default_rng(0)
    ratios = [
        _ratio(numbers.choice(near, len(near)), numbers.choice(reference, len(reference)))
        for _ in range(resamples)
    ]
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = _ratio(near, reference)
    return Measure(value, float(low), float(high), len(near))


def _ratio(near: np.ndarray, reference: np.ndarray) -> float:
    return float(np.median(near) / max(np.median(reference), 1e-12))


@dataclass(frozen=True)
class Copying:
    """Whether samples lie nearer to training images than held-out images do."""

    c_t: Measure  # mean over cells of Mann & Whitney's z: 0 is new, below −3 copied
    null: Measure  # of new images, 0 and where 95 % of them lie
    nearer: Measure  # P(a sample is nearer to training images than a held-out image): ½ is new
    cells: int  # that were held against each other
    left_out: int  # samples in cells with too few of them, or of held-out images


def copying(
    samples: Tensor,  # (N, …) images or features
    train: Tensor,  # (M, …)
    heldout: Tensor,  # (K, …)
    *,
    cells: int = 5,
    found: Found | None = None,
    seed: int = 0,
) -> Copying:
    """C_T, in cells that k-means makes of the training images: copies of one kind show in theirs.

    Estimands, the training images being fixed: C_T of fresh samples and held-out images of the
    same numbers, on which it depends; and the probability, on which it does not.

    Raises InputError for fewer than 20 samples or held-out images, and values not finite.
    """
    samples, train, heldout = _rows(samples, train, heldout)
    for rows, what in ((samples, "samples"), (heldout, "held-out images")):
        if len(rows) < LEAST:
            raise InputError(f"C_T needs {LEAST} {what}, not {len(rows)}")
    of_samples, of_heldout = found or _found(samples, train, heldout, k=1)
    overall = ranks(of_heldout.nearest, of_samples.nearest).probability
    cell_of, cell_of_sample, cell_of_heldout = _cells(cells, seed, train, samples, heldout)
    compared: list[tuple[float, Ranks]] = []
    held = 0
    for cell in range(cells):
        Q, P = samples[cell_of_sample == cell], heldout[cell_of_heldout == cell]
        T = train[cell_of == cell]
        if min(len(Q), len(P)) < LEAST or not len(T):
            continue
        near = ranks(around(Q, T, k=1).nearest, around(P, T, k=1).nearest)
        compared.append((len(P) / len(heldout), near))
        held += len(Q)
    if not compared:
        raise InputError(
            f"no cell of {cells} has {LEAST} samples and {LEAST} held-out images; give fewer cells"
        )
    # Equation 3: cells weigh by their share of held-out images.
    weights = np.array([w for w, _ in compared])
    weights /= weights.sum()
    c_t = float(weights @ [r.z for _, r in compared])
    error = Z * float(np.linalg.norm(weights * [r.deviation for _, r in compared]))
    new = Z * float(np.linalg.norm(weights))
    n = min(len(samples), len(heldout))
    return Copying(
        Measure(c_t, c_t - error, c_t + error, n),
        Measure(0.0, -new, new, n),
        overall,
        len(compared),
        len(samples) - held,
    )


def _cells(k: int, seed: int, train: Tensor, *others: Tensor) -> list[np.ndarray]:
    """The cell (N,) of each row of each set."""
    if k < 1 or k > len(train):
        raise InputError(f"cells={k} is not possible with {len(train)} training images")
    if k == 1:
        return [np.zeros(len(rows), int) for rows in (train, *others)]
    from sklearn.cluster import MiniBatchKMeans  # not before: training imports this room as well

    fitted = MiniBatchKMeans(k, random_state=seed).fit(train.numpy())
    return [np.asarray(fitted.predict(rows.numpy())) for rows in (train, *others)]


@dataclass(frozen=True)
class Authenticity:
    """The share of samples that are further from their nearest training image than that is from
    its own nearest; estimands are the shares of fresh samples, the training images being fixed."""

    samples: Measure
    heldout: Measure  # what new images score
    difference: Measure  # samples − held-out: below 0 where training images are copied


def authenticity(
    samples: Tensor, train: Tensor, heldout: Tensor, *, found: Found | None = None
) -> Authenticity:
    """Of samples (N, …), training images (M, …) and held-out ones (K, …).

    Raises InputError where a set is empty, and for values not finite.
    """
    samples, train, heldout = _rows(samples, train, heldout)
    if len(train) < 2:
        raise InputError("authenticity needs 2 training images, whose distance is the yardstick")
    spacing = nearest(train, train, k=2)[0][:, 1]  # the nearest of all is the image itself
    a, b = (
        share(int((of.nearest > spacing[of.index[:, 0]]).sum()), len(of.index))
        for of in found or _found(samples, train, heldout, k=1)
    )
    low, high = difference_interval(a, b)
    return Authenticity(a, b, Measure(a.value - b.value, low, high, a.n).within(-1, 1))


@dataclass(frozen=True)
class Copies:
    """What training image each sample is nearest to, and whether it is one."""

    nearest: Tensor  # (N,) which training image
    distance: Tensor  # (N,) to it, root mean squared over pixels (or features)
    closeness: Tensor  # (N,) that distance over the median to the next nearest
    exact: Tensor  # (N,) bool: equal as 8-bit images, or as features
    near: Tensor  # (N,) bool: exact, or closer than the threshold
    threshold: float  # of closeness
    rate: float  # at most this share of new images is called near

    @property
    def share(self) -> Measure:
        """Of fresh samples, that are near copies; of new images it is `rate` at most."""
        return share(int(self.near.sum()), len(self.near))


def closeness(
    queries: Tensor, train: Iterable[Tensor], *, k: int = NEIGHBOURS
) -> tuple[Tensor, Tensor, Tensor]:
    """Closeness, distance and index (N,) of the nearest of training rows that come in batches."""
    rows = (x.flatten(1).float() for x in train)
    found = nearest_of_batches(queries.flatten(1).float(), rows, k=k)
    return _closeness(Around(*found, queries[0].numel()))


def _closeness(found: Around) -> tuple[Tensor, Tensor, Tensor]:
    if found.distances.shape[1] < 2:
        raise InputError("near copies are told by comparison; give at least 2 training images")
    usual = found.distances[:, 1:].median(1).values
    d = found.nearest
    return d / usual.clamp_min(1e-12), d / found.d**0.5, found.index[:, 0]


def threshold(heldout: Tensor, *, rate: float = 0.01) -> tuple[float, float]:
    """The closeness that at most a share `rate` of new images stays below, and that share.

    heldout: the closeness (K,) of new images. The ⌊rate (K + 1)⌋-th smallest bounds that of a fresh
    one with probability 1 − rate, whatever the distribution (conformal prediction: Vovk et al.,
    2005). Too few for the rate give the smallest, and the share 1/(K + 1).
    """
    if not len(heldout):
        raise InputError("near copies cannot be told without held-out images to compare with")
    k = max(int(rate * (len(heldout) + 1) + 1e-9), 1)
    return heldout.sort().values[k - 1].item(), k / (len(heldout) + 1)


def near_copies(
    samples: Tensor,
    train: Tensor,
    heldout: Tensor,
    *,
    rate: float = 0.01,
    found: Found | None = None,  # with NEIGHBOURS around each
) -> Copies:
    """Of features of samples (N, …), of training images (M, …) and of held-out ones (K, …).

    What is called equal does not depend on the scale of the features.
    """
    samples, train, heldout = _rows(samples, train, heldout)
    of_samples, of_heldout = found or _found(samples, train, heldout, k=NEIGHBOURS)
    limit, rate = threshold(_closeness(of_heldout)[0], rate=rate)
    close = _closeness(of_samples)
    return copies_of(close, close[0] <= EQUAL, limit, rate)


def copies_of(
    found: tuple[Tensor, Tensor, Tensor], exact: Tensor, limit: float, rate: float
) -> Copies:
    """What `closeness` found, with a verdict for each."""
    close, distance, indices = found
    return Copies(indices, distance, close, exact, exact | (close < limit), limit, rate)


def of_new_images(rate: float, heldout: int) -> Measure:
    """The share of new images that a threshold of `threshold` calls near.

    Below the k-th smallest of K lies a share that is Beta(k, K + 1 − k), of mean `rate`.
    """
    k = round(rate * (heldout + 1))
    low, high = (betaincinv(k, heldout + 1 - k, p) for p in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Measure(rate, float(low), float(high), heldout)


def _rows(*sets: Tensor) -> list[Tensor]:
    """Each set as rows (N, d) of float32 on the CPU."""
    rows = [x.flatten(1).to("cpu", torch.float32) for x in sets]
    for x in rows:
        if not len(x):
            raise InputError("samples, training images and held-out images: one of them is empty")
        if not x.isfinite().all():
            raise InputError("images or features hold values that are not finite numbers")
    return rows
