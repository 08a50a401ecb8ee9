"""Copies are found, new samples are not accused."""

import pytest
import torch

from preimage.core import InputError
from preimage.metrics import median_nearest, nearest_ratio
from preimage.metrics.memorisation import (
    authenticity,
    closeness,
    copying,
    near_copies,
    of_new_images,
    threshold,
)
from preimage.metrics.ranks import share
from preimage.metrics.score import WORSE, judged


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
    with pytest.raises(ValueError, match="one of them is empty"):
        median_nearest(normal(0, seed=0), normal(5, seed=1))


def test_exact_copies_have_the_c_t_of_the_paper():
    """U = 0: −(nm/2) / √(nm (n + m + 1) / 12) = −38.7 for n = m = 1000."""
    train = normal(1000, seed=0)
    found = copying(train, train, normal(1000, seed=1), cells=1)
    assert found.c_t.value == pytest.approx(-500_000 / (1e6 * 2001 / 12) ** 0.5, rel=1e-9)
    assert found.c_t.value == pytest.approx(-38.72, abs=0.005)
    assert found.nearer.value == 1


def test_new_samples_have_a_c_t_within_its_null():
    inside = nearer = 0
    for seed in range(60):
        found = copying(
            normal(150, seed=3 * seed),
            normal(300, seed=3 * seed + 1),
            normal(150, seed=3 * seed + 2),
            cells=2,
            seed=seed,
        )
        inside += found.null.low <= found.c_t.value <= found.null.high
        nearer += found.nearer.low <= 0.5 <= found.nearer.high
        assert found.c_t.low < found.c_t.value < found.c_t.high
    assert inside >= 53
    assert nearer >= 53


def test_copies_of_one_kind_show_in_their_cell():
    far = torch.tensor([0.0, 40.0]).repeat(500)[:, None, None, None]  # two kinds
    train, heldout = normal(1000, seed=0) + far, normal(1000, seed=1) + far
    samples = torch.where(far > 0, train + 0.01, normal(1000, seed=2))
    found = copying(samples, train, heldout, cells=2)
    assert found.cells == 2
    assert found.c_t.high < found.null.low
    few = copying(samples[::2], train, heldout, cells=2)
    assert few.left_out == 0
    assert (few.cells, copying(samples[1::2], train, heldout, cells=2).cells) == (1, 1)


@pytest.mark.parametrize(("d", "low", "high"), [(2, 0.3, 0.45), (512, 0.8, 0.95)])
def test_what_authenticity_is_of_new_images_depends_on_the_dimension(d, low, high):
    rows = [torch.randn(1500, d, generator=torch.Generator().manual_seed(s)) for s in range(3)]
    new = authenticity(*rows)
    assert low < new.heldout.value < high
    assert new.difference.low < 0 < new.difference.high
    copied = authenticity(rows[1] + 1e-3 * rows[0], rows[1], rows[2])
    assert copied.samples.value < 0.01
    assert copied.difference.high < 0


def test_near_copies_are_found_one_by_one_and_hardly_a_new_one_is_accused():
    train, heldout, new = normal(800, seed=0), normal(500, seed=1), normal(1000, seed=2)
    planted = train[:50] + 0.05 * normal(50, seed=3)
    found = near_copies(torch.cat([planted, train[50:60], new]), train, heldout)
    assert found.near[:60].all()
    assert found.nearest[:60].tolist() == list(range(60))
    assert found.exact.nonzero()[:, 0].tolist() == list(range(50, 60))
    assert found.rate == pytest.approx(5 / 501)
    assert found.near[60:].float().mean() < 0.025


def test_what_is_a_copy_does_not_depend_on_the_scale_of_features():
    rows = [normal(300, seed=seed) for seed in range(3)]
    for scale in (1e-6, 1e6):
        found = near_copies(*(scale * x for x in rows))
        assert not found.exact.any()
        assert found.near.float().mean() < 0.05
        assert near_copies(scale * rows[1], *(scale * x for x in rows[1:])).exact.all()


@pytest.mark.parametrize("n", [99, 150, 600])
def test_new_images_are_seldom_called_copies_more_often_than_new_images_are(n):
    """Closeness of 400 sets of samples and of held-out images, all alike; in 2.5 of 100, a word."""
    worse = 0
    for seed in range(400):
        heldout, samples = torch.rand(2, n, generator=torch.Generator().manual_seed(seed))
        limit, rate = threshold(heldout)
        near = share(int((samples < limit).sum()), n)
        score = judged("copies", near, estimand="", null=of_new_images(rate, n))
        worse += score.word == WORSE
    assert worse <= 400 * 0.025 + 3 * (400 * 0.025) ** 0.5


def test_the_threshold_holds_its_rate_and_few_held_out_images_give_a_coarser_one():
    accused = []
    for seed in range(200):
        rows = torch.rand(200, generator=torch.Generator().manual_seed(seed))
        limit, rate = threshold(rows[:199], rate=0.05)
        accused.append((rows[199] < limit).item())
    assert rate == pytest.approx(0.05)
    assert sum(accused) / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
    assert threshold(torch.tensor([3.0, 2.0]), rate=0.01) == (2.0, pytest.approx(1 / 3))


def test_training_images_in_batches_are_the_same_training_images():
    train, queries = normal(100, seed=0), normal(30, seed=1)
    whole, parts = closeness(queries, [train]), closeness(queries, train.split(33))
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: copying(normal(19, seed=0), normal(50, seed=1), normal(50, seed=2)), "20 samples"),
        (lambda: copying(normal(50, seed=0), normal(50, seed=1), normal(3, seed=2)), "held-out"),
        (lambda: copying(normal(50, seed=0) / 0, *[normal(50, seed=1)] * 2), "finite"),
        (lambda: copying(*[normal(50, seed=0)] * 3, cells=99), "cells=99"),
        (lambda: authenticity(normal(5, seed=0), normal(1, seed=1), normal(5, seed=2)), "2 train"),
        (lambda: near_copies(normal(5, seed=0), normal(9, seed=1), normal(0, seed=2)), "empty"),
        (lambda: threshold(torch.empty(0)), "without held-out"),
    ],
)
def test_what_cannot_be_told_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
