"""Regions of maps: boxes and areas as planted, the same in bands of any height."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from preimage.applications.anomaly.regions import Growing, regions


def test_planted_rectangles_are_found() -> None:
    values = np.zeros((60, 80), np.float32)
    values[5:15, 10:30] = 2
    values[40:43, 70:80] = 3
    values[20, 20] = 9  # a pixel alone
    mask, found = regions(values, 1.0, least=4)
    assert [(r.left, r.top, r.width, r.height, r.area, r.peak) for r in found] == [
        (70, 40, 10, 3, 30, 3.0),
        (10, 5, 20, 10, 200, 2.0),
    ]
    assert not mask[20, 20]
    assert mask.sum() == 230
    assert regions(values, 1.0)[1][0].area == 1
    assert regions(values, 9.0)[1] == []  # above, not at


@pytest.mark.parametrize("band", [1, 2, 7, 64])
@pytest.mark.parametrize("least", [1, 5])
def test_bands_change_nothing(band: int, least: int) -> None:
    """Random maps near the percolation threshold, whose regions wind through many bands."""
    rng = np.random.default_rng(band)
    values = ndimage.gaussian_filter(rng.normal(size=(64, 50)), 0.6)
    expected_mask, expected = regions(values, 0.1, least=least)
    labels, count = ndimage.label(values > 0.1, np.ones((3, 3)))
    areas = ndimage.sum(np.ones_like(values), labels, range(1, count + 1))
    assert sorted(r.area for r in expected) == sorted(areas[areas >= least])
    assert (expected_mask == np.isin(labels, 1 + np.flatnonzero(areas >= least))).all()
    growing = Growing(0.1, least=least)
    for first in range(0, 64, band):
        growing.add(values[first : first + band])
    mask, found = growing.finish()
    assert (mask == expected_mask).all()
    assert found == expected


def test_regions_that_meet_only_at_a_corner_across_bands() -> None:
    values = np.zeros((4, 4))
    values[1, 1] = values[2, 2] = values[2, 0] = 1
    growing = Growing(0.5)
    growing.add(values[:2])
    growing.add(values[2:])
    _, found = growing.finish()
    assert len(found) == 1
    assert (found[0].left, found[0].top, found[0].width, found[0].height) == (0, 1, 3, 2)
    assert found[0].area == 3
