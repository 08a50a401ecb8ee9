"""Anomalies told from what is normal: against scikit-learn, brute force and planted truths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from preimage.core import InputError
from preimage.metrics.detection import (
    Counts,
    PixelCounts,
    area_up_to,
    image_scores,
    levels_of,
)
from preimage.metrics.score import BETTER, INDISTINGUISHABLE


def planted(n: int, *, seed: int, size: int = 12) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Maps in a few steps, so that there are ties, and masks of several regions that touch."""
    rng = np.random.default_rng(seed)
    masks = [ndimage.zoom(rng.random((4, 4)), size / 4, order=0) > 0.7 for _ in range(n)]
    masks[0][:] = False
    maps = [np.round(rng.normal(size=m.shape) + 1.5 * m, 1) for m in masks]
    return maps, masks


def counted(maps: list[np.ndarray], masks: list[np.ndarray], levels: np.ndarray) -> PixelCounts:
    counts = PixelCounts(levels)
    for values, mask in zip(maps, masks, strict=True):
        counts.add(values, mask)
    return counts


def overlap_by_brute_force(maps: list[np.ndarray], masks: list[np.ndarray], limit: float) -> float:
    """Each threshold for itself, each region for itself, a trapezoid at a time."""
    x, y = np.stack(maps), np.stack(masks)
    points = []
    for t in [np.inf, *np.unique(x)[::-1]]:
        flagged = x >= t
        shares = []
        for k in range(len(x)):
            labels, regions = ndimage.label(y[k], np.ones((3, 3)))
            shares += [flagged[k][labels == r].mean() for r in range(1, regions + 1)]
        points.append((flagged[~y].mean(), np.mean(shares)))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= limit:
            break
        end = min(x1, limit)
        y_end = y1 if x1 == x0 else y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@pytest.mark.parametrize("seed", range(4))
def test_pixels_and_regions_as_others_count_them(seed: int) -> None:
    maps, masks = planted(6, seed=seed)
    counts = counted(maps, masks, np.unique(maps))
    x, y = np.stack(maps).ravel(), np.stack(masks).ravel()
    assert counts.area().value == pytest.approx(roc_auc_score(y, x), abs=1e-12)
    assert counts.precision().value == pytest.approx(average_precision_score(y, x), abs=1e-12)
    best = max(f1_score(y, x >= t) for t in np.unique(x))
    assert counts.f1("", None).measure.value == pytest.approx(best, abs=1e-12)
    assert counts.f1("", 1.0).measure.value == pytest.approx(f1_score(y, x > 1.0), abs=1e-12)
    for limit in (0.05, 0.3, 1.0):
        expected = overlap_by_brute_force(maps, masks, limit)
        assert counts.per_region(limit).value == pytest.approx(expected, abs=1e-12)


def test_levels_that_were_chosen_before_lose_next_to_nothing() -> None:
    rng = np.random.default_rng(0)
    normal = rng.gumbel(size=(20, 40, 40))
    levels = levels_of(normal[:10])
    masks = np.zeros((10, 40, 40), bool)
    masks[:, 8:20, 8:20] = True
    maps = normal[10:] + 3 * masks
    counts = counted(list(maps), list(masks), levels)
    assert counts.area().value == pytest.approx(
        roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-4
    )
    exact = counted(list(maps), list(masks), np.unique(maps)[::4])
    assert counts.per_region().value == pytest.approx(exact.per_region().value, abs=1e-3)


def test_images_as_scikit_learn_counts_them() -> None:
    rng = np.random.default_rng(1)
    good, bad = np.round(rng.normal(size=150), 1), np.round(rng.normal(1, 1, 60), 1)
    scores = image_scores(good, bad, threshold=1.0, false_alarms=0.1)
    y, x = np.repeat([False, True], [150, 60]), np.concatenate([good, bad])
    assert scores["image_auroc"].measure.value == pytest.approx(roc_auc_score(y, x))
    assert scores["image_ap"].measure.value == pytest.approx(average_precision_score(y, x))
    assert scores["image_f1"].measure.value == pytest.approx(f1_score(y, x > 1.0))
    assert scores["false_alarms"].measure.value == (good > 1).mean()
    assert scores["found"].measure.value == (bad > 1).mean()
    for score in scores.values():
        assert score.measure.low <= score.measure.value <= score.measure.high
    assert scores["image_auroc"].word == BETTER.replace("real data", "chance")


def test_the_f1_threshold_is_exclusive_like_the_verdict() -> None:
    """An image at the threshold itself is not called anomalous, by F1 as little as by rates."""
    scores = image_scores(
        np.array([0.0, 1.0]), np.array([1.0, 2.0]), threshold=1.0, false_alarms=0.1
    )
    assert scores["found"].measure.value == 0.5
    assert scores["false_alarms"].measure.value == 0
    assert scores["image_f1"].measure.value == pytest.approx(2 / 3)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Images differ as wholes: intervals that took pixels for trials would hardly ever hold it."""
    rng = np.random.default_rng(2)
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:5] = True

    def maps(n: int) -> np.ndarray:
        contrast = rng.normal(1.0, 1.0, (n, 1, 1))
        return rng.normal(size=(n, 8, 8)) + contrast * mask

    levels = np.linspace(-6, 8, 400)
    truth = counted(list(maps(1000)), [mask] * 1000, levels).area().value
    held = 0
    for _ in range(40):
        area = counted(list(maps(40)), [mask] * 40, levels).area()
        held += area.low <= truth <= area.high
    assert 33 <= held <= 40  # 95 % of 40 are 38


def test_a_map_that_knows_nothing_scores_as_chance() -> None:
    rng = np.random.default_rng(3)
    _, masks = planted(40, seed=5)
    maps = [rng.normal(size=m.shape) for m in masks]
    counts = counted(maps, masks, np.linspace(-4, 4, 500))
    scores = counts.scores(1.0)
    for name in ("pixel_auroc", "pro"):
        assert scores[name].word == INDISTINGUISHABLE.replace("real data", "chance")
    assert scores["pro"].null is not None
    assert scores["pro"].null.value == pytest.approx(0.15)


def test_a_perfect_map_scores_one() -> None:
    _, masks = planted(6, seed=1)
    counts = counted([m.astype(float) for m in masks], masks, np.array([0.0, 0.5, 1.0]))
    scores = counts.scores(0.5)
    for name in ("pixel_auroc", "pixel_ap", "pro", "pixel_f1", "pixel_best_f1"):
        assert scores[name].measure.value == pytest.approx(1.0)


def test_area_of_a_diagonal() -> None:
    x = np.linspace(0, 1, 7)
    assert area_up_to(x, x, 0.3) == pytest.approx(0.15)


def test_what_cannot_be_scored() -> None:
    with pytest.raises(InputError, match="1 bad"):
        image_scores(np.zeros(5), np.zeros(1), threshold=0.0, false_alarms=0.1)
    with pytest.raises(InputError, match="not finite"):
        image_scores(np.zeros(5), np.array([1, np.nan]), threshold=0.0, false_alarms=0.1)
    counts = PixelCounts(np.array([0.5]))
    counts.add(np.zeros((2, 2)), np.zeros((2, 2), bool))
    with pytest.raises(InputError, match="no pixel of the masks is anomalous"):
        counts.scores(0.5)


def test_the_order_of_bins_does_not_matter_to_memory() -> None:
    """Replicates follow from the seed and the image's place, and from nothing else."""
    a, b = Counts(np.array([0.0]), seed=1), Counts(np.array([0.0]), seed=1)
    for counts in (a, b):
        for i in range(5):
            counts.add(np.array([i - 2.0]), np.array([i > 1]))
    assert (a.normal == b.normal).all()
    assert (a.normal[1:] != a.normal[0]).any()


def test_chance_flags_as_many() -> None:
    """Few are flagged, all of them rightly: no worse than chance, though most are missed."""
    good, bad = np.arange(100.0), np.concatenate([np.arange(60.0), np.full(40, 1000.0)])
    score = image_scores(good, bad, threshold=500, false_alarms=0.01)["image_f1"]
    assert score.measure.value == pytest.approx(2 * 0.4 / 1.4)
    assert score.null is not None
    assert score.null.value == pytest.approx(2 * 0.5 * 0.2 / 0.7)
    assert score.word == BETTER.replace("real data", "chance")
