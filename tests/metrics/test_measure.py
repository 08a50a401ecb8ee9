"""Intervals hold the truth as often as they say."""

import numpy as np
import pytest
import torch

from preimage.metrics.measure import (
    group_of,
    jackknife,
    of_halves,
    of_mean,
    of_median,
    of_ratio,
    of_share,
    unbiased,
)


def hits(interval, truth, draws=400):
    """How often the interval of a fresh sample holds the truth."""
    held = 0
    for seed in range(draws):
        measure = interval(torch.Generator().manual_seed(seed))
        held += measure.low <= truth <= measure.high
    return held / draws


def exponential(n, generator):
    return torch.empty(n).exponential_(generator=generator)


@pytest.mark.parametrize(
    ("interval", "truth"),
    [
        (lambda g: of_mean(torch.randn(20, generator=g) + 3), 3.0),
        (lambda g: of_median(exponential(51, g)), np.log(2)),
        (lambda g: of_ratio(3 * exponential(80, g), exponential(60, g)), 3.0),
        (lambda g: jackknife(lambda x: [x.mean().item()], exponential(200, g))[0], 1.0),
    ],
    ids=["mean", "median", "ratio", "jackknife"],
)
def test_intervals_hold_the_truth(interval, truth):
    assert 0.92 <= hits(interval, truth) <= 0.985  # 95 % of 400, give or take three deviations


def test_the_jackknife_of_a_mean_is_the_mean_and_its_standard_error():
    x = torch.randn(100, generator=torch.Generator().manual_seed(0)).double()
    measure = jackknife(lambda rows: [rows.mean().item()], x, groups=100)[0]
    assert measure.value == pytest.approx(x.mean().item())
    expected = 1.98422 * x.std().item() / 10  # Student's 97.5 % quantile of 99 degrees
    assert measure.high - measure.value == pytest.approx(expected, rel=1e-4)


def test_the_median_of_few_values_is_known_to_nothing():
    measure = of_median(torch.tensor([1.0, 2.0, 3.0]))
    assert (measure.value, measure.low, measure.high) == (2.0, -np.inf, np.inf)


def test_the_interval_of_a_median_takes_the_right_order_statistics():
    # For n = 10 the textbook interval is from the 2nd to the 9th value (97.9 %).
    measure = of_median(torch.arange(1.0, 11.0))
    assert (measure.value, measure.low, measure.high) == (5.5, 2.0, 9.0)


def test_groups_are_equal_and_know_nothing_of_the_order():
    """Ten classes in turn, ten groups: every group has as many of each class as another."""
    of = group_of(10_000, 10)
    assert torch.bincount(of).tolist() == [1000] * 10
    together = torch.zeros(10, 10).index_put_(
        (of, torch.arange(10_000) % 10), torch.ones(10_000), accumulate=True
    )
    assert together.min() > 60
    assert together.max() < 140
    for first in (0, 3, 4999):
        assert group_of(100, 10, first=first).equal(of[first : first + 100])


def test_a_line_in_one_over_n_is_read_at_zero():
    """The plug-in variance is biased by exactly −σ²/N; without it, it is the usual one."""
    x = torch.randn(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left_out = np.array([x[torch.arange(60) != i].var(correction=0).item() for i in range(60)])
    found = unbiased(x.var(correction=0).item(), left_out, 60)
    assert found.value == pytest.approx(x.var().item(), rel=1e-12)


def test_halves_of_a_mean_give_its_error():
    numbers = np.random.default_rng(0)
    widths = []
    for _ in range(200):
        x = torch.from_numpy(numbers.normal(size=400))
        sides = [group_of(400, 2, seed=seed) for seed in range(10)]
        differences = np.array([(x[s == 0].mean() - x[s == 1].mean()).item() for s in sides])
        found = of_halves(x.mean().item(), differences, 400, half=200)
        widths.append((found.high - found.low) / 2 / 2.228)  # Student's t for ten
    assert np.mean(np.square(widths)) == pytest.approx(1 / 400, rel=0.1)


def test_a_share_of_all_has_a_width_too():
    """Wilson's interval of 600 of 600: 1/(1 + z²/n) to 1."""
    found = of_share(1.0, 600)
    assert (found.value, found.high) == pytest.approx((1, 1))
    assert found.low == pytest.approx(1 / (1 + 1.96**2 / 600), rel=1e-5)
