"""Intervals hold the truth as often as they say."""

import numpy as np
import pytest
import torch

from preimage.metrics.measure import jackknife, of_mean, of_median, of_ratio


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
