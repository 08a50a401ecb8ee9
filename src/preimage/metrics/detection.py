"""How well anomalies are told from what is normal: of whole images, of pixels, of regions.

A detector gives numbers, larger where something is wrong, and every question of this module is one
about two histograms of them: of what is normal and of what is not. Areas below curves are those of
all thresholds; ties count half.

The area under the per-region overlap (Bergmann et al., "The MVTec Anomaly Detection Dataset",
2021, §4.2) lets every defect count the same, however large: at each threshold the share of a region
that was found, its mean over regions, over the share of normal pixels that were flagged, up to 0.3.

Intervals resample images, since pixels of one image are no independent trials. Each image enters
replicate b as often as a Poisson number of mean 1 says (Hanley & MacGibbon, "Creating
non-parametric bootstrap samples using Poisson frequencies", 2006), so that a million images take no
more memory than one.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from preimage.core import InputError
from preimage.metrics.measure import LEVEL, Measure
from preimage.metrics.ranks import ranks, share
from preimage.metrics.score import Score, judged

REPLICATES = 400
LEVELS = 2048  # thresholds at which pixels are counted
LIMIT = 0.3  # of normal pixels flagged, up to which overlap with regions is averaged
FRESH = "its value for fresh images of these kinds"
CHANCE = "chance"
TOUCHING = np.ones((3, 3), bool)  # pixels that touch at a corner are of one region


def image_scores(
    good: np.ndarray,  # (N,) scores of images in which nothing is wrong
    bad: np.ndarray,  # (M,) of those in which something is
    *,
    threshold: float,  # above which an image is called anomalous
    false_alarms: float,  # the rate that the threshold was chosen for
    seed: int = 0,
) -> dict[str, Score]:
    """How well images are told apart, at all thresholds and at the chosen one.

    Raises InputError where one kind has fewer than two images, or a score is not finite.
    """
    good, bad = (np.asarray(scores, np.float64) for scores in (good, bad))
    if min(len(good), len(bad)) < 2:
        raise InputError(
            f"two kinds of image to tell apart need 2 each, not {len(good)} good and {len(bad)} bad"
        )
    if not (np.isfinite(good).all() and np.isfinite(bad).all()):
        raise InputError("a score is not finite (NaN or ∞); find its image and leave it out")
    counts = Counts(np.unique(np.concatenate([good, bad])), seed=seed)
    for scores, wrong in ((good, False), (bad, True)):
        for score in scores:
            counts.add(np.full(1, score), np.full(1, wrong))
    n, m = len(good), len(bad)
    area = ranks(torch.from_numpy(bad), torch.from_numpy(good)).probability
    alarms = share(int((good > threshold).sum()), n)
    found = share(int((bad > threshold).sum()), m)
    return {
        "image_auroc": _judged("Image AUROC", area, chance=0.5),
        "image_ap": _judged("Image average precision", counts.precision(), chance=m / (n + m)),
        "image_f1": counts.f1("Image F1 at the threshold", threshold),
        "image_best_f1": counts.f1("Image F1 at the best threshold", None),
        "false_alarms": judged(
            "False alarms",
            alarms,
            estimand=FRESH,
            null=Measure(false_alarms, false_alarms, false_alarms, n),
            better="near",
            against="the rate asked for",
        ),
        "found": _judged("Anomalies found", found, chance=alarms.value),
    }


class Counts:
    """Values of what is normal and of what is not, counted between levels, image by image."""

    def __init__(self, levels: np.ndarray, *, seed: int = 0):
        self.levels, self.seed = levels, seed  # (K,) ascending
        self.images = 0
        K = len(levels) + 1  # a value is of bin k where k levels are ≤ it
        # Row 0 holds every image once, the others are replicates.
        self.normal = np.zeros((1 + REPLICATES, K))
        self.wrong = np.zeros((1 + REPLICATES, K))

    def add(self, values: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count one image's values, `wrong` (bool, of that shape) saying which are anomalous.

        Returns the bins of all values (of their shape), and how often the image counts (1 + B,).
        """
        bins = np.searchsorted(self.levels, values, side="right")
        weights = poisson(self.images, REPLICATES, seed=self.seed)
        K = self.normal.shape[1]
        for total, kind in ((self.normal, ~wrong), (self.wrong, wrong)):
            counted = np.bincount(bins[kind], minlength=K)
            at = counted.nonzero()[0]
            total[:, at] += weights[:, None] * counted[at]
        self.images += 1
        return bins, weights

    def above(self) -> tuple[np.ndarray, np.ndarray]:
        """How many normal and how many wrong values lie in the top 0, 1, … bins: (1 + B, K + 1)."""
        return _from_the_top(self.normal), _from_the_top(self.wrong)

    def area(self) -> Measure:
        """The area below the curve of found over false alarms."""
        false, true = (_shares(counts) for counts in self.above())
        return _interval(np.trapezoid(true, false, axis=1), self.images)

    def precision(self) -> Measure:
        """Average precision Σ (R_k − R_{k−1}) P_k, without interpolation."""
        false, true = self.above()
        precision = true[:, 1:] / np.maximum(false + true, 1e-12)[:, 1:]
        return _interval((np.diff(_shares(true)) * precision).sum(1), self.images)

    def f1(self, name: str, threshold: float | None) -> Score:
        """The harmonic mean of precision and recall, above a threshold or at the best one.

        Chance is to flag as many at random; at the best threshold, to flag everything.
        """
        false, true = self.above()
        f1 = 2 * true / np.maximum(false + true + true[:, -1:], 1e-12)
        everything = true[0, -1] + false[0, -1]
        if threshold is None:
            value, flagged = f1.max(1), 1.0
        else:
            bins = self.normal.shape[1] - 1
            at = bins - int(np.searchsorted(self.levels, threshold, side="right"))
            value, flagged = f1[:, at], (false + true)[0, at] / everything
        value = np.where(true[:, -1] > 0, value, np.nan)
        wrong = true[0, -1] / everything  # the precision of flagging as many at random
        chance = 2 * wrong * flagged / (wrong + flagged)
        return _judged(name, _interval(value, self.images), chance=chance)


class PixelCounts(Counts):
    """The same of pixels, and of regions: one map and one mask after another."""

    def __init__(self, levels: np.ndarray, *, seed: int = 0):
        super().__init__(levels, seed=seed)
        self.overlap = np.zeros_like(self.normal)  # shares of regions, summed over them
        self.regions = np.zeros(1 + REPLICATES)

    def add(self, values: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """values: the map (H, W) of one image; wrong: its mask (H, W) bool."""
        bins, weights = super().add(values, wrong)
        labels, count = ndimage.label(wrong, TOUCHING)  # type: ignore[misc]
        for region, box in enumerate(ndimage.find_objects(labels), start=1):
            inside = np.bincount(bins[box][labels[box] == region])
            at = inside.nonzero()[0]
            self.overlap[:, at] += weights[:, None] * (inside[at] / inside.sum())
        self.regions += weights * count
        return bins, weights

    def per_region(self, limit: float = LIMIT) -> Measure:
        """∫ of mean overlap over the rate of false alarms, from 0 to a limit, over the limit."""
        false = _shares(_from_the_top(self.normal))
        regions = np.where(self.regions > 0, self.regions, np.nan)[:, None]
        found = _from_the_top(self.overlap) / regions
        areas = [area_up_to(x, y, limit) for x, y in zip(false, found, strict=True)]
        return _interval(np.array(areas), self.images)

    def scores(self, threshold: float) -> dict[str, Score]:
        """All scores of pixels. Raises InputError where no mask, or every one, was full."""
        if not (self.normal[0].any() and self.wrong[0].any()):
            kind = "anomalous" if self.normal[0].any() else "normal"
            raise InputError(f"no pixel of the masks is {kind}; white is what is wrong")
        base = self.wrong[0].sum() / (self.wrong[0].sum() + self.normal[0].sum())
        return {
            "pixel_auroc": _judged("Pixel AUROC", self.area(), chance=0.5),
            "pixel_ap": _judged("Pixel average precision", self.precision(), chance=float(base)),
            "pro": _judged(f"PRO (FPR ≤ {LIMIT:g})", self.per_region(), chance=LIMIT / 2),
            "pixel_f1": self.f1("Pixel F1 at the threshold", threshold),
            "pixel_best_f1": self.f1("Pixel F1 at the best threshold", None),
        }


def area_up_to(x: np.ndarray, y: np.ndarray, limit: float) -> float:
    """∫ y dx from 0 to a limit, over the limit, of a curve given at ascending x: (K,) each."""
    inside = x <= limit
    end = np.interp(limit, x, y)
    return float(np.trapezoid(np.append(y[inside], end), np.append(x[inside], limit))) / limit


def levels_of(values: np.ndarray, count: int = LEVELS) -> np.ndarray:
    """Thresholds to count by, of values known before: normal pixels, most of them.

    Half are quantiles of these. The others go on above the largest, ever farther apart, for what
    is not normal: to e⁸ times the spread, and each a step of less than 1 %.
    """
    values = np.asarray(values, np.float64).ravel()
    inner = np.quantile(values, np.linspace(0, 1, count // 2))
    middle, top = np.median(values), values.max()
    spread = max(float(top - middle), 1e-6 * max(abs(float(top)), 1e-6))
    outer = middle + spread * np.exp(np.linspace(0, 8, count // 2 + 1)[1:])
    return np.unique(np.concatenate([inner, outer]))


def poisson(image: int, replicates: int, *, seed: int) -> np.ndarray:
    """How often an image counts: once, and then in each replicate: (1 + B,)."""
    rng = np.random.default_rng([seed, image])
    return np.concatenate([[1.0], rng.poisson(1.0, replicates)])


def _judged(name: str, measure: Measure, *, chance: float) -> Score:
    null = Measure(chance, chance, chance, measure.n)
    return judged(
        name, measure, estimand=FRESH, null=null, better="higher", ideal=1.0, against=CHANCE
    )


def _from_the_top(counts: np.ndarray) -> np.ndarray:
    """Cumulative sums of (B, K) from the last bin on, with 0 before them: (B, K + 1)."""
    sums = np.cumsum(counts[:, ::-1], 1)
    return np.concatenate([np.zeros((len(counts), 1)), sums], 1)


def _shares(sums: np.ndarray) -> np.ndarray:
    """Cumulative sums over their last; NaN in a replicate that drew none."""
    return sums / np.where(sums[:, -1:] > 0, sums[:, -1:], np.nan)


def _interval(values: np.ndarray, n: int) -> Measure:
    """The first value with the quantiles of the others, the replicates."""
    replicates = values[1:][np.isfinite(values[1:])]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail]) if len(replicates) else (np.nan, np.nan)
    value = float(values[0])
    return Measure(value, min(float(low), value), max(float(high), value), n)
