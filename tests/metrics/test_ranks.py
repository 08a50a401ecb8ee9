"""The ROC curve against scikit-learn, and intervals that hold the truth as often as they say."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import roc_auc_score

from preimage.core import InputError
from preimage.metrics.ranks import detection, ranks, share


def normal(n, *, seed, shift=0.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, 1, n))


@pytest.mark.parametrize("coarse", [False, True])
def test_two_other_packages_agree(coarse):
    a, b = normal(70, seed=0, shift=0.5), normal(90, seed=1)
    if coarse:  # with many ties
        a, b = a.round(), b.round()
    truth = np.repeat([1, 0], [70, 90])
    found = ranks(a, b)
    expected = roc_auc_score(truth, np.concatenate([a, b]))
    assert found.probability.value == pytest.approx(expected, rel=1e-12)
    test = mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
    if not coarse:  # SciPy corrects the deviation for ties
        assert 2 * norm.sf(abs(found.z)) == pytest.approx(test.pvalue, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_the_interval_of_the_area_holds_the_truth(shift):
    truth, held = norm.cdf(shift / 2**0.5), 0
    for seed in range(400):
        a, b = normal(60, seed=2 * seed, shift=shift), normal(80, seed=2 * seed + 1)
        found = ranks(a, b).probability
        held += found.low <= truth <= found.high
    assert 0.925 <= held / 400 <= 0.985


def test_groups_apart_are_certain_only_as_far_as_their_number_goes():
    found = ranks(normal(50, seed=0, shift=100), normal(500, seed=1)).probability
    assert found.value == 1
    assert found.low == pytest.approx(0.025 ** (1 / 50))
    assert ranks(normal(50, seed=0), normal(50, seed=1, shift=100)).probability.value == 0


def test_the_interval_of_a_share_is_the_textbooks():
    found = share(2, 20)  # Clopper & Pearson's table
    assert (found.low, found.high) == (
        pytest.approx(0.0123, abs=1e-4),
        pytest.approx(0.3170, abs=1e-4),
    )
    assert share(0, 10).low == 0
    assert share(10, 10).high == 1


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_the_interval_of_a_detection_rate_holds_the_truth(shift):
    truth, held = norm.sf(norm.isf(0.01) - shift), 0
    for seed in range(300):
        found = detection(normal(300, seed=2 * seed, shift=shift), normal(500, seed=2 * seed + 1))
        held += found.low <= truth <= found.high
    assert held / 300 >= 0.94


def test_all_are_detected_where_all_stand_apart_and_few_negatives_say_little():
    apart = detection(normal(300, seed=0, shift=50), normal(1000, seed=1))
    assert apart.value == 1
    assert apart.low > 0.97
    few = detection(normal(300, seed=0), normal(20, seed=1))  # one per cent of 20 is no image
    assert few.low == 0


def test_one_number_is_no_group():
    with pytest.raises(InputError, match="2 numbers each"):
        ranks(torch.zeros(1), torch.zeros(5))
