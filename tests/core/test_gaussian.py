"""Diagonal Gaussians against torch.distributions and Monte Carlo."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from preimage.core import Gaussian


@pytest.fixture
def gaussian():
    g = torch.Generator().manual_seed(0)
    return Gaussian(torch.randn(5, 3, 2, generator=g), torch.randn(5, 3, 2, generator=g))


def reference(q):
    return Independent(Normal(q.mean, (0.5 * q.log_variance).exp()), 2)


def test_kl_and_log_prob_agree_with_torch_distributions(gaussian):
    standard = Independent(Normal(torch.zeros(5, 3, 2), torch.ones(5, 3, 2)), 2)
    expected = kl_divergence(reference(gaussian), standard)
    assert torch.allclose(gaussian.kl(), expected, atol=1e-5)
    z = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(gaussian.log_prob(z), reference(gaussian).log_prob(z), atol=1e-4)


def test_kl_is_zero_only_at_the_prior_and_has_a_known_value():
    assert Gaussian(torch.zeros(1, 4), torch.zeros(1, 4)).kl().item() == 0
    # one latent of mean 2 and variance e: ½ (4 + e − 1 − 1)
    q = Gaussian(torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    assert q.kl().item() == pytest.approx(0.5 * (4 + torch.e - 2), rel=1e-6)


def test_samples_have_the_standard_deviation_that_log_variance_says():
    q = Gaussian(torch.full((200_000, 1), 1.5), torch.full((200_000, 1), 2.0))
    noise = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    z = q.sample(noise)
    assert z.mean().item() == pytest.approx(1.5, abs=0.02)
    assert z.std().item() == pytest.approx(torch.e, rel=0.01)  # exp(½ · 2)


def test_samples_are_differentiable_in_mean_and_log_variance():
    mean = torch.zeros(1, 1, requires_grad=True)
    log_variance = torch.zeros(1, 1, requires_grad=True)
    Gaussian(mean, log_variance).sample(torch.tensor([[3.0]])).sum().backward()
    assert mean.grad.item() == 1
    assert log_variance.grad.item() == 1.5  # ½ σ ε
