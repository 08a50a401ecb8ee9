"""Precision, recall, density and coverage against their expectations and another's code."""

import math

import numpy as np
import pytest
import torch

from preimage.metrics import fidelity
from preimage.metrics.fidelity import prdc


def normal(n, d, *, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "m", "d"), [(200, 200, 3), (100, 300, 10), (300, 100, 2)])
def test_expected_coverage_and_density_of_the_same_distribution(n, m, d):
    """E[coverage] = 1 − ∏_{i<k} (N − 1 − i)/(M + N − 1 − i) and E[density] = 1: Naeem, §3.3."""
    k, draws = 5, 150
    values = np.array(
        [prdc(normal(n, d, seed=2 * s), normal(m, d, seed=2 * s + 1)) for s in range(draws)]
    )
    expected = 1 - math.prod((n - 1 - i) / (m + n - 1 - i) for i in range(k))
    for value, truth in ((values[:, 3], expected), (values[:, 2], 1.0)):
        assert abs(value.mean() - truth) < 4 * value.std() / draws**0.5


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_the_authors_own_package_agrees(shift):
    oracle = pytest.importorskip("prdc", reason="the oracle prdc is not installed")
    real, fake = normal(1300, 6, seed=0), 0.8 * normal(1100, 6, seed=1) + shift
    for k in (3, 5):  # it counts with <, which is the same where no two distances are equal
        expected = oracle.compute_prdc(real.numpy(), fake.numpy(), nearest_k=k)
        ours = prdc(real, fake, k=k, coverage_k=k)
        names = ("precision", "recall", "density", "coverage")
        assert ours == pytest.approx([expected[name] for name in names], abs=1e-12)


def test_precision_and_recall_are_the_right_way_round():
    real = normal(500, 2, seed=0)
    narrow = 0.1 * normal(500, 2, seed=1)
    precision, recall, density, coverage = prdc(real, narrow)
    assert precision > 0.98
    assert recall < 0.1
    assert density > 1
    assert coverage < 0.5
    wide = 10 * normal(500, 2, seed=2)
    precision, recall, _, _ = prdc(real, wide)
    assert precision < 0.2
    assert recall > 0.9


def test_far_away_is_nothing_and_a_copy_is_everything():
    real = normal(100, 4, seed=0)
    assert prdc(real, real + 1000) == (0, 0, 0, 0)
    precision, recall, density, coverage = prdc(real, real.clone())
    assert (precision, recall, coverage) == (1, 1, 1)
    assert density > 1  # each real point lies in its own ball too


def test_a_far_mean_and_single_precision_change_nothing():
    real, fake = normal(400, 8, seed=0), normal(400, 8, seed=1)
    near = prdc(real.float(), fake.float())
    assert prdc((real + 1000).float(), (fake + 1000).float()) == pytest.approx(near, abs=0.01)


def test_intervals_stay_within_what_is_possible_and_hold_the_value():
    measured = fidelity(normal(300, 4, seed=0), normal(300, 4, seed=1))
    for measure in (measured.precision, measured.recall, measured.coverage):
        assert 0 <= measure.low <= measure.value <= measure.high <= 1
    assert measured.density.low < 1 < measured.density.high


def test_intervals_are_of_the_values_by_their_names():
    real, fake = normal(300, 4, seed=0), 0.7 * normal(300, 4, seed=1)
    found = fidelity(real, fake)
    measures = (found.precision, found.recall, found.density, found.coverage)
    assert tuple(measure.value for measure in measures) == prdc(real, fake)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="at least 12 are needed"):
        fidelity(normal(11, 2, seed=0), normal(100, 2, seed=1))
    fidelity(normal(12, 2, seed=0), normal(12, 2, seed=1))
