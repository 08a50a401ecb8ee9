"""The table of scores: nulls where they should be, words that fit, and what is refused."""

import pytest
import torch

from preimage.core import InputError
from preimage.metrics.extractors import Features
from preimage.metrics.fidelity import expected_coverage
from preimage.metrics.quality import METRICS, halves, quality
from preimage.metrics.score import ABOVE, INDISTINGUISHABLE, WORSE


def made(n, d=6, *, seed, scale=1.0, shift=0.0):
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Features(scale * rows + shift, "net", "0a", comparable=True)


@pytest.fixture(scope="module")
def real():
    return halves(made(1200, seed=7))


def test_halves_share_nothing_and_are_equal(real):
    first, second = real
    assert len(first) == len(second) == 600
    assert len(torch.unique(torch.cat([first.rows, second.rows]), dim=0)) == 1200


def test_nulls_are_near_their_expectation(real):
    d, n = 6, 600
    scores = quality(real[0], made(600, seed=1), real[1])
    null = {name: score.null for name, score in scores.items()}
    assert null["frechet"].value == pytest.approx(2 * (d + d * (d + 1) / 4) / n, rel=0.5)
    for name, truth in (
        ("frechet_infinity", 0),
        ("kernel", 0),
        ("density", 1),
        ("coverage", expected_coverage(n, n)),
    ):
        assert null[name].low < truth < null[name].high
    assert scores["coverage"].ideal == pytest.approx(expected_coverage(n, n))
    assert {score.word for score in scores.values()} == {INDISTINGUISHABLE}


def test_words_tell_what_is_wrong(real):
    """Samples that keep to the middle: real enough, of too few kinds, and too crowded."""
    scores = quality(real[0], made(600, seed=1, scale=0.4), real[1])
    words = {name: score.word for name, score in scores.items()}
    assert words == {
        "frechet": WORSE,
        "frechet_infinity": WORSE,
        "kernel": WORSE,
        "precision": ABOVE,
        "recall": WORSE,
        "density": ABOVE,
        "coverage": WORSE,
    }
    assert all(score.needed < 600 for score in scores.values())


def test_sets_are_cut_to_one_size_and_stamped(real):
    scores = quality(real[0], made(500, seed=1), real[1], metrics=["kernel", "coverage"])
    assert list(scores) == ["kernel", "coverage"]
    for score in scores.values():
        assert (score.stamp.real, score.stamp.fake, score.measure.n) == (500, 500, 500)
        assert (score.stamp.extractor, score.stamp.dtype) == ("net", "float64")


def test_few_samples_say_what_is_still_valid():
    first, second = halves(made(200, 100, seed=0))
    scores = quality(first, made(100, 100, seed=1), second)
    for name in ("frechet", "frechet_infinity"):
        assert "the kernel distance and all shares remain valid" in scores[name].note
        assert scores[name].word == INDISTINGUISHABLE
    assert "ranks" not in scores["kernel"].note


def test_an_inception_score_needs_logits(real):
    fake = made(600, seed=1)
    assert "inception" not in quality(real[0], fake, real[1], metrics=["inception"])
    sure, unsure = 5 * fake.rows, fake.rows
    scores = quality(
        real[0], fake, real[1], metrics=["inception"], logits=unsure, other_logits=sure
    )
    assert scores["inception"].word == WORSE


def test_what_is_refused(real):
    fake = made(600, seed=1)
    with pytest.raises(InputError, match="did you mean 'kernel'"):
        quality(real[0], fake, real[1], metrics=["kernal"])
    with pytest.raises(InputError, match="compute both with the same"):
        quality(real[0], Features(fake.rows, "other", "0b"), real[1])
    with pytest.raises(InputError, match="40 images or more of each kind, and one has 39"):
        quality(real[0], fake.drawn(slice(39)), real[1])


def test_every_metric_is_explained():
    for metric in METRICS.values():
        assert metric.says
        assert metric.title[0].isupper()
