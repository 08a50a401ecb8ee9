"""Sharpness falls with blur and knows the Laplacian of simple pictures."""

import pytest
import torch
from torch.nn import functional as F

from preimage.metrics import sharpness
from preimage.metrics.sharpness import laplacian_variance


def noise(n=20, channels=3):
    return torch.rand(n, channels, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_flat_pictures_and_ramps_have_no_edges():
    ramp = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
    flat = torch.full((1, 1, 16, 16), 0.3)
    assert laplacian_variance(ramp).item() == pytest.approx(0, abs=1e-10)
    assert laplacian_variance(flat).item() == pytest.approx(0, abs=1e-10)


def test_a_checkerboard():
    """Alternating 0 and 1: the Laplacian is ±4 everywhere, so its variance is 16 (of n − 1)."""
    y, x = torch.meshgrid(torch.arange(34), torch.arange(34), indexing="ij")
    board = ((x + y) % 2 * 2.0 - 1)[None, None]
    n = 32 * 32
    assert laplacian_variance(board).item() == pytest.approx(16 * n / (n - 1), rel=1e-5)


def test_white_noise():
    """The kernel's squares add up to 20, and grey uniform noise has the variance 1/12."""
    measured = laplacian_variance(noise(400, 1)).mean().item()
    assert measured == pytest.approx(20 / 12, rel=0.01)


def test_as_sharp_as_itself_and_less_so_when_blurred():
    x = noise()
    assert sharpness(x, x).value == pytest.approx(1)
    blurred = F.avg_pool2d(x, 3, stride=1, padding=1)
    once, twice = sharpness(blurred, x), sharpness(F.avg_pool2d(blurred, 3, 1, 1), x)
    assert twice.high < once.low < once.high < 1


def test_contrast_counts_squared():
    x = noise()
    assert sharpness(x / 2, x).value == pytest.approx(0.25)
