"""Are the samples copies of training images?

The distance from each sample to its nearest training image is held beside that of real images
that were not trained on: new images of the same kind are as far as those, copies are nearer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from preimage.core.neighbours import nearest
from preimage.metrics.measure import LEVEL, Measure, of_median


def median_nearest(queries: Tensor, points: Tensor) -> Measure:
    """The median distance from queries (N, …) to the nearest of points (M, …)."""
    return of_median(_distances(queries, points))


def nearest_ratio(
    samples: Tensor,  # (N, …) images or features
    train: Tensor,  # (M, …)
    heldout: Tensor,  # (K, …)
    *,
    resamples: int = 1000,
) -> Measure:
    """Median distance samples → train over held out → train: 1 is new, near 0 is copied.

    Samples blurrier than real images lie nearer to everything, so a little below 1 is no proof.
    The interval is the bootstrap's, over samples and held-out images; training images are fixed.
    """
    near, reference = _distances(samples, train).numpy(), _distances(heldout, train).numpy()
    numbers = np.random.default_rng(0)
    ratios = [
        _ratio(numbers.choice(near, len(near)), numbers.choice(reference, len(reference)))
        for _ in range(resamples)
    ]
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = _ratio(near, reference)
    return Measure(value, float(low), float(high), len(samples))


def _ratio(near: np.ndarray, reference: np.ndarray) -> float:
    return float(np.median(near) / max(np.median(reference), 1e-12))


def _distances(queries: Tensor, points: Tensor) -> Tensor:
    if not len(queries) or not len(points):
        raise ValueError("nearest neighbours need at least one row on both sides")
    queries, points = (x.flatten(1).to("cpu", torch.float32) for x in (queries, points))
    return nearest(queries, points)[0][:, 0]
