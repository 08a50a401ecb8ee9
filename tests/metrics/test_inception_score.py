"""The Inception score: its two exact cases, its bounds, its merging, and another's code."""

import numpy as np
import pytest
import torch

from preimage.core import InputError
from preimage.metrics.inception_score import InceptionScore, inception_score


def logits(n, k, *, seed=0, scale=2.0):
    numbers = np.random.default_rng(seed)
    return torch.from_numpy(numbers.normal(size=(n, k)) * scale)


def test_balanced_one_hots_score_the_number_of_classes():
    sure = 1000 * torch.eye(10).repeat(20, 1)
    assert inception_score(sure).value == pytest.approx(10, rel=1e-12)
    assert inception_score(torch.ones(100, 7)).value == pytest.approx(1, rel=1e-12)


def test_classes_that_repeat_do_not_make_groups_unlike():
    """Ten classes in turn and ten groups: every group has all of them, as the rows have."""
    sure = 1000 * torch.eye(10).repeat(300, 1)
    score = InceptionScore(groups=10)
    score.update(sure)
    measure = score.measure()
    assert measure.value - measure.low < 0.2


@pytest.mark.parametrize("splits", [1, 4])
def test_torchmetrics_agrees(splits):
    image = pytest.importorskip("torchmetrics.image.inception", reason="torchmetrics is missing")
    score = image.InceptionScore(feature=torch.nn.Identity(), splits=splits)
    score.set_dtype(torch.float64)
    z = logits(400, 9)
    score.update(z)
    torch.manual_seed(0)  # it shuffles before it splits
    expected = score.compute()[0].item()
    torch.manual_seed(0)
    shuffled = z[torch.randperm(len(z))]
    assert inception_score(shuffled, splits=splits).value == pytest.approx(expected, rel=1e-6)


def test_batches_and_merging_change_nothing():
    z = logits(500, 6)
    whole, first, second = InceptionScore(), InceptionScore(), InceptionScore()
    whole.update(z)
    for batch in z[:200].split(37):
        first.update(batch)
    second.update(z[200:], first=200)
    merged = InceptionScore().merge(first).merge(second)
    assert merged.measure().value == pytest.approx(whole.measure().value, rel=1e-12)
    assert merged.measure().low == pytest.approx(whole.measure().low, rel=1e-10)


def test_the_interval_is_as_wide_as_fresh_samples_scatter():
    found = [inception_score(logits(300, 5, seed=s)) for s in range(200)]
    truth = inception_score(logits(200_000, 5, seed=1000)).value
    held = np.mean([m.low <= truth <= m.high for m in found])
    assert 0.9 < held <= 0.99


def test_what_is_no_table_of_logits():
    with pytest.raises(InputError, match="2 classes or more"):
        inception_score(torch.ones(100, 1))
    with pytest.raises(InputError, match="1 of 100 rows"):
        inception_score(torch.where(torch.arange(100)[:, None] == 3, torch.nan, torch.ones(100, 4)))
    with pytest.raises(InputError, match="at least 40 samples"):
        inception_score(torch.ones(10, 3))
