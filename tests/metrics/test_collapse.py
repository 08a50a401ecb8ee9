"""Collapse that is planted is found, and its size told; where there is none, none is."""

import math

import numpy as np
import pytest
import torch

from preimage.core import InputError
from preimage.metrics.collapse import birthday, collision_radius, mode_count


def normal(n, d=6, *, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def drawn(pictures, n, *, seed):
    return torch.randint(0, pictures, (n,), generator=torch.Generator().manual_seed(seed))


def test_missing_modes_are_named():
    predicted = drawn(8, 4000, seed=0)
    predicted[predicted == 3] = 5
    found = mode_count(predicted, 10)
    assert found.found.value == 7
    assert found.missing == (3, 8, 9)
    assert found.shares[5] == pytest.approx(0.25, abs=0.03)
    assert found.rarest == pytest.approx(3 / 4000, rel=0.01)  # the rule of three


def test_the_interval_of_the_divergence_holds_it():
    p = torch.tensor([1.0, 1, 1, 0, 1, 2, 1, 1, 0, 0]) / 8
    truth = sum(x * math.log(10 * x) for x in p.tolist() if x)
    held = 0
    for seed in range(200):
        draws = torch.multinomial(p, 1000, True, generator=torch.Generator().manual_seed(seed))
        found = mode_count(draws, 10).divergence
        held += found.low <= truth <= found.high
    assert held >= 182


def test_all_modes_diverge_from_uneven_real_ones():
    real = torch.cat([torch.zeros(9000), torch.ones(1000)]).long()
    same = mode_count(real[torch.randperm(10_000)[:2000]], 2, real=real)
    assert same.divergence.value < 0.01
    assert mode_count(drawn(2, 2000, seed=0), 2, real=real).divergence.low > 0.3


def test_the_interval_of_the_number_of_modes_holds_it():
    p = torch.tensor([1 / (i + 1) ** 2 for i in range(200)])  # many rare modes
    p /= p.sum()
    truth = (1 - (1 - p) ** 500).sum().item()
    held = 0
    for seed in range(200):
        draws = torch.multinomial(p, 500, True, generator=torch.Generator().manual_seed(seed))
        found = mode_count(draws, 200).found
        held += found.low <= truth <= found.high
    assert held >= 190


@pytest.mark.parametrize("pictures", [100, 2000])
def test_the_birthday_test_tells_how_many_pictures_there_are(pictures):
    values, held = [], 0
    for seed in range(60):
        gallery = normal(pictures, seed=1)
        found = birthday(gallery[drawn(pictures, 600, seed=seed)], radius=1e-6)
        values.append(found.collision.value)
        held += found.support.low <= pictures <= found.support.high
    mean, error = np.mean(values), np.std(values) / 60**0.5
    assert abs(mean - 1 / pictures) < 4 * error  # unbiased
    assert held >= 55


def test_no_collision_bounds_the_number_from_below():
    found = birthday(normal(500, seed=0), radius=1e-6)
    assert found.pairs == 0
    assert found.support.value == math.inf
    assert found.support.low == pytest.approx((500 / 4.7439) ** 2, rel=1e-3)
    x = 4.74386
    assert (1 + x) * math.exp(-x) == pytest.approx(0.05, rel=1e-4)


def test_planted_collapse_stands_out_from_real_images():
    real = normal(800, seed=0)
    true = birthday(normal(800, seed=1), real)
    centres = normal(30, seed=2)
    collapsed = birthday(centres[drawn(30, 800, seed=3)] + 0.02 * normal(800, seed=4), real)
    assert collapsed.collision.low > 10 * collapsed.real.high
    assert collapsed.support.low < 30 < collapsed.support.high * 1.05
    assert true.collision.low < true.real.high
    assert true.real.low < true.collision.high
    a, b = collapsed.likeliest
    assert a != b


def test_the_rule_is_a_distance_that_few_real_images_have():
    real = normal(1000, seed=0)
    radius = collision_radius(real)
    near = torch.cdist(real.double(), real.double()).fill_diagonal_(math.inf).amin(1) < radius
    assert near.sum() == pytest.approx(10, abs=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mode_count(torch.zeros(9).long(), 1), "one class"),
        (lambda: mode_count(torch.tensor([0, 7]), 5), "0 to 4"),
        (lambda: mode_count(torch.tensor([0]), 5), "2 samples"),
        (lambda: birthday(normal(5, seed=0), radius=1.0), "20 samples"),
        (lambda: birthday(normal(50, seed=0)), "radius="),
        (lambda: birthday(normal(50, seed=0), normal(20, seed=1)), "as many real"),
        (lambda: birthday(normal(50, seed=0) / 0, radius=1.0), "finite"),
        (lambda: collision_radius(normal(1, seed=0)), "2 real images"),
    ],
)
def test_what_cannot_collapse_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
