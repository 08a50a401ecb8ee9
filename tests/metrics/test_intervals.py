"""A 95 % interval holds what it is of in 92 to 98 of 100 repetitions, where that is known.

Where samples are alike, distances are curved and not sloped, and their jackknife is known to be
too wide: there it may hold more. A share near 1 is of a few misses, which come in whole numbers:
there an interval holds 94 of 100 or 99, and nothing between. The short versions only see that
nothing is far off.
"""

import numpy as np
import pytest
import torch

from preimage.metrics.fidelity import fidelity
from preimage.metrics.frechet import frechet_both
from preimage.metrics.inception_score import inception_score
from preimage.metrics.kernel import kernel_distance
from preimage.metrics.score import INDISTINGUISHABLE, judged

DRAWS = [
    pytest.param(60, 0.85, 1.0, id="short"),
    pytest.param(500, 0.92, 0.98, id="whole", marks=pytest.mark.slow),
]


def pair(seed, n, d, *, shift=0.3, scale=1.2):
    """N(0, Λ) and N(shift, scale² Λ), Λ from 0.2 to 2."""
    numbers = np.random.default_rng(seed)
    λ = np.linspace(0.2, 2, d) ** 0.5
    x, y = numbers.normal(size=(2, n, d)) * λ
    return torch.from_numpy(x), torch.from_numpy(scale * y + shift)


def held(measures, truth):
    return np.mean([m.low <= truth <= m.high for m in measures])


@pytest.mark.parametrize(("draws", "least", "most"), DRAWS)
@pytest.mark.parametrize(("n", "d"), [(400, 8), (150, 24)])
def test_unbiased_frechet_distance_of_the_populations(draws, least, most, n, d):
    λ = np.linspace(0.2, 2, d)
    truth = d * 0.3**2 + (λ * 0.2**2).sum()
    found = [frechet_both(*pair(seed, n, d)) for seed in range(draws)]
    assert least <= held([f.infinite for f in found], truth) <= most
    # the distance itself is biased: what its interval holds is its own expectation
    expected = np.mean([f.measured.value for f in found])
    assert least <= held([f.measured for f in found], expected) <= most
    if d > 20:
        assert held([f.measured for f in found], truth) < 0.5


@pytest.mark.parametrize(("draws", "least", "most"), DRAWS)
def test_kernel_distance_of_the_populations(draws, least, most):
    d, mean = 16, 0.7
    s = d * mean**2
    truth = 3 * s / d + 3 * s**2 / d**2 + (s**3 + 6 * s**2 + 3 * s * d + 6 * s) / d**3
    found = []
    for seed in range(draws):
        x, y = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 250, d)))
        found.append(kernel_distance(x, y + mean))
    assert least <= held(found, truth) <= most


@pytest.mark.parametrize(("draws", "least", "most"), DRAWS)
def test_precision_recall_density_coverage_at_their_size(draws, least, most):
    found = []
    for seed in range(draws):
        x, y = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 200, 6)))
        found.append(fidelity(x, 0.85 * y))
    for name in ("precision", "recall", "density", "coverage"):
        measures = [getattr(f, name) for f in found]
        assert least <= held(measures, np.mean([m.value for m in measures])) <= most


@pytest.mark.parametrize(("draws", "least", "most"), DRAWS)
def test_inception_score_at_its_size(draws, least, most):
    found = []
    for seed in range(draws):
        logits = 2 * np.random.default_rng(seed).normal(size=(300, 5))
        found.append(inception_score(torch.from_numpy(logits)))
    assert least <= held(found, np.mean([m.value for m in found])) <= most


@pytest.mark.slow
def test_real_data_is_seldom_called_worse_than_real_data():
    """Samples that are real images are told from real images some 5 times in 100."""
    different = {"frechet": 0, "kernel": 0, "precision": 0, "coverage": 0}
    for seed in range(50):
        numbers = np.random.default_rng(seed)
        x, y, z = torch.from_numpy(numbers.normal(size=(3, 200, 8)))
        near, null = fidelity(x, y), fidelity(x, z)
        pairs = {
            "frechet": (frechet_both(x, y).measured, frechet_both(x, z).measured),
            "kernel": (kernel_distance(x, y), kernel_distance(x, z)),
            "precision": (near.precision, null.precision),
            "coverage": (near.coverage, null.coverage),
        }
        for name, (measure, real) in pairs.items():
            score = judged(name, measure, estimand="", null=real)
            different[name] += score.word != INDISTINGUISHABLE
    assert all(count <= 5 for count in different.values())
