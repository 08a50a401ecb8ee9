"""Words follow from intervals; a null is taken for a difference as seldom as it should be."""

import json
import math

import pytest
import torch

from preimage.metrics.measure import Measure, of_mean
from preimage.metrics.score import (
    ABOVE,
    BELOW,
    BETTER,
    INDISTINGUISHABLE,
    UNJUDGED,
    WORSE,
    Stamp,
    difference_interval,
    judged,
)


def around(value, half, n=100):
    return Measure(value, value - half, value + half, n)


@pytest.mark.parametrize(
    ("value", "better", "word"),
    [
        (3.0, "lower", WORSE),
        (3.0, "higher", ABOVE),
        (3.0, "near", ABOVE),
        (-3.0, "lower", BELOW),
        (-3.0, "higher", WORSE),
        (-3.0, "near", BELOW),
        (1.0, "lower", INDISTINGUISHABLE),
        (-1.0, "near", INDISTINGUISHABLE),
    ],
)
def test_the_word_follows_from_both_intervals(value, better, word):
    """Halves of 1 and 1 make a difference uncertain by √2."""
    score = judged("x", around(value, 1.0), estimand="a mean", null=around(0, 1.0), better=better)
    assert score.word == word


def test_only_what_is_not_real_data_can_be_bettered():
    score = judged("x", around(3, 1), estimand="", null=around(0, 1), better="higher", against="me")
    assert score.word == BETTER.replace("real data", "me")


def test_without_a_null_nothing_is_said():
    score = judged("x", around(3, 1), estimand="a mean")
    assert (score.word, score.needed, score.detectable) == (UNJUDGED, None, None)


def test_lopsided_intervals_keep_their_sides():
    low, high = difference_interval(Measure(5, 4, 9, 10), Measure(1, 0, 4, 10))
    assert (low, high) == pytest.approx((4 - math.hypot(1, 3), 4 + math.hypot(4, 1)))


def test_no_difference_is_found_five_times_in_a_hundred_and_the_needed_size_finds_one():
    """Means of normal samples: 5 % false alarms; at the needed size, 80 % true ones."""

    def found(n, shift, seed):
        generator = torch.Generator().manual_seed(seed)
        a, b = torch.randn(2, n, generator=generator)
        score = judged("mean", of_mean(a + shift), estimand="a mean", null=of_mean(b))
        return score.word != INDISTINGUISHABLE

    draws = 1000
    false = sum(found(200, 0.0, seed) for seed in range(draws)) / draws
    assert 0.035 < false < 0.065
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 100_000, generator=generator)
    a, b = (x - x.mean() for x in (a, b))  # so that the difference seen is the true one
    needed = judged("mean", of_mean(a + 0.3), estimand="a mean", null=of_mean(b)).needed
    assert needed == pytest.approx(2 * (2.8 / 0.3) ** 2, rel=0.03)  # the textbook's formula
    true = sum(found(needed, 0.3, seed) for seed in range(draws)) / draws
    assert 0.76 < true < 0.84


def test_json_holds_everything_and_nothing_infinite():
    stamp = Stamp("random", "00ff", "none", 100, 90, comparable=False)
    score = judged(
        "x", Measure(1, -math.inf, math.inf, 9), estimand="a mean", null=around(0, 1), stamp=stamp
    )
    assert score.word == INDISTINGUISHABLE
    found = json.loads(json.dumps(score.to_json(), allow_nan=False))
    assert found["low"] is None
    assert found["stamp"]["comparable"] is False
    assert found["null"]["value"] == 0
