"""Residual branches, noise and minibatch deviation."""

import pytest
import torch
from torch import nn

from preimage.nets.blocks import (
    ConvResidual,
    LinearResidual,
    MinibatchDeviation,
    NoiseInjection,
    he_linear,
)


@pytest.mark.parametrize("block", [LinearResidual(6), ConvResidual(6)])
def test_residual_blocks_start_as_the_identity(block):
    x = torch.randn(3, 6) if isinstance(block, LinearResidual) else torch.randn(3, 6, 4, 4)
    assert torch.equal(block(x), x)
    nn.init.ones_(block.second.weight)
    assert not torch.allclose(block(x), x)


def test_he_initialisation_keeps_the_variance_through_a_leaky_relu():
    torch.manual_seed(0)
    x = torch.randn(500, 256)
    for _ in range(5):
        x = nn.functional.leaky_relu(he_linear(256, 256)(x), 0.2)
    assert x.square().mean().item() == pytest.approx(1, rel=0.3)


def test_noise_is_silent_at_first_fresh_in_training_and_fixed_in_evaluation():
    noise, x = NoiseInjection(3, 4, 4), torch.randn(2, 3, 4, 4)
    assert torch.equal(noise(x), x)  # the strength starts at zero
    nn.init.ones_(noise.strength)
    assert not torch.equal(noise(x), noise(x))
    noise.eval()
    assert torch.equal(noise(x), noise(x))
    assert torch.allclose((noise(x) - x)[0], (noise(x) - x)[1], atol=1e-6)  # one picture for all


def test_deviation_is_zero_for_copies_and_the_standard_deviation_otherwise():
    deviation = MinibatchDeviation()
    copies = torch.randn(1, 2, 3, 3).expand(4, -1, -1, -1)
    assert deviation(copies)[:, -1].abs().max() < 1e-3
    x = torch.randn(4, 2, 3, 3)
    expected = x.std(0, unbiased=False).mean()
    assert torch.allclose(deviation(x)[:, -1], expected.expand(4, 3, 3), atol=1e-4)
    assert torch.equal(deviation(x)[:, :-1], x)


def test_deviation_keeps_reals_and_fakes_of_one_batch_apart():
    reals = torch.randn(4, 2, 3, 3)
    fakes = torch.zeros(4, 2, 3, 3)  # collapsed
    channel = MinibatchDeviation()(torch.cat([reals, fakes]))[:, -1]
    assert channel[:4].min() > 0.3
    assert channel[4:].max() < 1e-3


def test_deviation_in_evaluation_is_the_running_mean_and_couples_nothing():
    deviation = MinibatchDeviation()
    for _ in range(600):
        deviation(torch.randn(8, 2, 3, 3))
    deviation.eval()
    x = torch.randn(8, 2, 3, 3)
    assert torch.equal(deviation(x)[2:3], deviation(x[2:3]))
    assert deviation(x)[0, -1, 0, 0].item() == pytest.approx(0.8, abs=0.15)  # E std of 4 normals
