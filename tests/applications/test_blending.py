"""Smooth continuations against functions that satisfy the equations, and against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest

from preimage.applications import blending
from preimage.applications.blending import continued, seamless


def ring(height: int = 24, width: int = 30) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[8:15, 10:22] = True
    hole[3, 4] = True
    return hole


def test_a_membrane_is_harmonic_and_a_plate_biharmonic():
    hole = ring()
    y, x = np.mgrid[:24, :30].astype(float)
    harmonic = (x**2 - y**2 + 3 * x - y)[..., None]  # exactly so on the grid, too
    biharmonic = (x**3 - 2 * x**2 * 1.5 + y**3 + x * y)[..., None]  # of degree three at most
    scrambled = np.where(hole[..., None], 99.0, harmonic)
    assert np.allclose(continued(scrambled, hole), harmonic, atol=1e-8)
    scrambled = np.where(hole[..., None], -5.0, biharmonic)
    assert np.allclose(continued(scrambled, hole, order=2), biharmonic, atol=1e-6)


def test_a_membrane_keeps_between_its_edges():
    rng = np.random.default_rng(0)
    image, hole = rng.uniform(size=(24, 30, 2)), ring()
    filled = continued(image, hole)
    assert filled[hole].min() >= image[~hole].min()
    assert filled[hole].max() <= image[~hole].max()
    assert np.array_equal(filled[~hole], image[~hole])


def test_a_plate_is_that_of_scikit_image():
    inpaint = pytest.importorskip("skimage.restoration").inpaint_biharmonic
    rng = np.random.default_rng(1)
    image = rng.uniform(0.3, 0.7, size=(24, 30, 2))
    hole = ring()
    hole[:4, 14:18] = True  # at the image's edge as well
    expected = inpaint(np.where(hole[..., None], 0, image), hole, channel_axis=2)
    filled = continued(image, hole, order=2)
    known = image[~hole]
    assert np.allclose(filled.clip(known.min(0), known.max(0)), expected, atol=1e-6)


def test_large_holes_are_as_good_by_conjugate_gradients(monkeypatch):
    y, x = np.mgrid[:70, :90].astype(float)
    image = np.stack([np.sin(x / 15) + y / 40, x / 90], 2)
    hole = np.zeros((70, 90), bool)
    hole[10:60, 12:80] = True
    direct = continued(image, hole)
    monkeypatch.setattr(blending, "DIRECT", 200)
    assert np.abs(continued(image, hole) - direct).max() < 5e-3


@pytest.mark.parametrize("direct", [blending.DIRECT, 50])
def test_what_stands_in_the_hole_need_be_no_number(monkeypatch, direct):
    monkeypatch.setattr(blending, "DIRECT", direct)
    hole = ring()
    values = np.random.default_rng(0).normal(size=(*hole.shape, 2))
    missing = np.where(hole[..., None], np.nan, values)
    assert np.array_equal(continued(missing, hole), continued(values, hole))


def test_a_filling_that_differs_by_a_smooth_amount_fits_without_a_seam():
    rng = np.random.default_rng(2)
    image, hole = rng.uniform(size=(24, 30, 3)), ring()
    y, x = np.mgrid[:24, :30].astype(float)
    tint = (0.01 * (x - y) + 0.3)[..., None]  # harmonic
    assert np.allclose(seamless(image + tint, image, hole), image, atol=1e-9)


def test_nothing_known_and_nothing_missing():
    image = np.ones((4, 5, 1))
    assert np.array_equal(continued(image, np.zeros((4, 5), bool)), image)
    with pytest.raises(ValueError, match="nothing is known"):
        continued(image, np.ones((4, 5), bool))
