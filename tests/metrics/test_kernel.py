"""The kernel distance: its closed form for Gaussians, another's code, and what it rests on."""

import numpy as np
import pytest
import torch

from preimage.core import InputError
from preimage.metrics import kernel
from preimage.metrics.kernel import kernel_distance


def normal(n, d, *, seed, mean=0.0):
    numbers = np.random.default_rng(seed)
    return torch.from_numpy(numbers.normal(size=(n, d)) + mean)


def closed_form(s, d):
    """N(0, I) against N(m, I), s = ‖m‖²."""
    return 3 * s / d + 3 * s**2 / d**2 + (s**3 + 6 * s**2 + 3 * s * d + 6 * s) / d**3


def test_gaussians_have_the_derived_distance():
    assert closed_form(16 * 0.49, 16) == pytest.approx(2.5013, abs=5e-5)
    found = [
        kernel_distance(normal(400, 16, seed=2 * s), normal(400, 16, seed=2 * s + 1, mean=0.7))
        for s in range(50)
    ]
    values = np.array([m.value for m in found])
    assert abs(values.mean() - 2.5013) < 4 * values.std() / 50**0.5


def test_the_errors_are_those_of_fresh_samples_alike_or_not():
    """Efron and Stein's correction: without it the error of equal sets is √2 times too large.

    Of noisy parts the larger is taken, so it stays somewhat large where sets are alike.
    """
    for mean in (0.0, 0.3):
        found = [
            kernel_distance(normal(150, 8, seed=2 * s), normal(100, 8, seed=2 * s + 1, mean=mean))
            for s in range(300)
        ]
        values = np.array([m.value for m in found])
        errors = np.array([(m.high - m.low) / 2 / 1.96 for m in found])
        assert 0.92 < (errors**2).mean() ** 0.5 / values.std() < 1.22


def test_the_definition_agrees_and_blocks_do_not_matter(monkeypatch):
    x, y = normal(57, 5, seed=0), normal(43, 5, seed=1, mean=0.5)

    def k(a, b):
        return (a @ b.T / 5 + 1) ** 3

    within = [(k(a, a).sum() - k(a, a).trace()) / (len(a) * (len(a) - 1)) for a in (x, y)]
    expected = sum(within) - 2 * k(x, y).mean()
    whole = kernel_distance(x, y)
    monkeypatch.setattr(kernel, "BLOCK", 10)
    blocked = kernel_distance(x, y)
    assert whole.value == pytest.approx(expected.item(), rel=1e-10)
    assert blocked.value == pytest.approx(whole.value, rel=1e-10)
    assert blocked.low == pytest.approx(whole.low, rel=1e-10)
    assert kernel_distance(y, x).low == pytest.approx(whole.low, rel=1e-9)


def test_torchmetrics_agrees():
    image = pytest.importorskip("torchmetrics.image.kid", reason="torchmetrics is not installed")
    identity = torch.nn.Identity()
    x, y = normal(300, 12, seed=0), normal(300, 12, seed=1, mean=0.2)
    kid = image.KernelInceptionDistance(feature=identity, subsets=1, subset_size=300)
    kid.update(x, real=True)
    kid.update(y, real=False)
    assert kernel_distance(x, y).value == pytest.approx(kid.compute()[0].item(), rel=1e-6)


def test_fewer_rows_than_features_are_no_matter():
    x, y = normal(60, 500, seed=0), normal(60, 500, seed=1, mean=0.5)
    found = kernel_distance(x, y)
    assert found.low < closed_form(500 * 0.25, 500) < found.high


def test_rows_that_cannot_be_compared():
    x = normal(10, 3, seed=0)
    with pytest.raises(InputError, match="at least 2"):
        kernel_distance(x[:1], x)
    with pytest.raises(InputError, match="real features: 1 row holds NaN"):
        kernel_distance(torch.cat([x, torch.full((1, 3), torch.nan)]), x)
