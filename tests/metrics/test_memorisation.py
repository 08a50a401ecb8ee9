"""Copies are found, new samples are not accused."""

import pytest
import torch

from preimage.metrics import median_nearest, nearest_ratio


def normal(n, *, seed):
    return torch.randn(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_new_samples_are_as_far_as_held_out_images():
    measure = nearest_ratio(normal(400, seed=0), normal(1000, seed=1), normal(300, seed=2))
    assert measure.low < 1 < measure.high
    assert measure.high - measure.low < 0.2


def test_copies_are_near():
    train = normal(1000, seed=1)
    copies = train[:400] + 0.01 * normal(400, seed=3)
    measure = nearest_ratio(copies, train, normal(300, seed=2))
    assert measure.high < 0.05


def test_the_median_of_known_distances():
    points = torch.arange(0.0, 100.0, 10.0)[:, None]
    queries = points + torch.arange(10.0)[:, None] / 4  # off by 0, ¼, …, 2¼
    assert median_nearest(queries, points).value == pytest.approx(1.125, abs=1e-4)


def test_the_same_numbers_each_time():
    arguments = normal(50, seed=0), normal(100, seed=1), normal(50, seed=2)
    assert nearest_ratio(*arguments) == nearest_ratio(*arguments)


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        median_nearest(normal(0, seed=0), normal(5, seed=1))
