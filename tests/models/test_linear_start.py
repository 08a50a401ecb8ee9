"""The closed-form linear VAE against its theorem, an oracle and planted data."""

import math

import pytest
import torch
from sklearn.decomposition import PCA

from preimage.core import InputError
from preimage.models.linear_start import (
    LinearVAE,
    PrincipalComponents,
    optimal_linear_vae,
    principal_components,
)


def low_rank_data(n=2000, D=24, rank=4, noise=0.1, seed=0):
    """Samples of a Gaussian with `rank` large variances, its directions (D, rank) and noise²."""
    g = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(D, rank, generator=g)).Q
    scales = torch.linspace(3, 1, rank)
    z = torch.randn(n, rank, generator=g) * scales
    x = 0.3 + z @ directions.T + noise * torch.randn(n, D, generator=g)
    return x, directions, noise**2


def in_batches(x, size):
    return lambda: x.split(size)


def expected_negative_elbo(vae: LinearVAE, x, *, W=None, A=None, log_variance=None):
    """−ELBO of a linear VAE on x, its expectation over z taken exactly."""
    c, σ2, D = vae.components, vae.noise_variance, x.shape[1]
    A = c.basis * vae.encoder_scale if A is None else A  # (D, d)
    W = c.basis * vae.decoder_scale if W is None else W  # (D, d)
    s = vae.log_variance if log_variance is None else log_variance
    μ = (x - c.mean) @ A
    error = (x - c.mean - μ @ W.T).square().sum(1).mean() + (W.square().sum(0) * s.exp()).sum()
    kl = 0.5 * (μ.square().sum(1).mean() + (s.exp() - 1 - s).sum())
    return 0.5 * (D * math.log(2 * math.pi * σ2) + error / σ2) + kl


@pytest.mark.parametrize("noise_variance", [None, 0.5, 2.0])
def test_the_bound_is_tight_and_equals_the_gaussian_likelihood(noise_variance):
    x, *_ = low_rank_data()
    components = principal_components(in_batches(x, 500), 6)
    vae = optimal_linear_vae(components, 6, noise_variance=noise_variance)
    W = vae.components.basis * vae.decoder_scale
    covariance = W @ W.T + vae.noise_variance * torch.eye(x.shape[1])
    marginal = torch.distributions.MultivariateNormal(components.mean, covariance)
    likelihood = -marginal.log_prob(x).mean().item()
    assert vae.negative_log_likelihood() == pytest.approx(likelihood, abs=2e-3)
    assert expected_negative_elbo(vae, x).item() == pytest.approx(likelihood, abs=2e-3)


def test_no_gradient_is_left_at_the_optimum():
    x, *_ = low_rank_data()
    vae = optimal_linear_vae(principal_components(in_batches(x, 500), 4), 4, noise_variance=0.5)
    c = vae.components
    W = (c.basis * vae.decoder_scale).requires_grad_()
    A = (c.basis * vae.encoder_scale).requires_grad_()
    s = vae.log_variance.clone().requires_grad_()
    expected_negative_elbo(vae, x, W=W, A=A, log_variance=s).backward()
    for parameter in (W, A, s):
        assert parameter.grad.abs().max() < 1e-3


def test_the_maximum_likelihood_noise_variance_beats_its_neighbours():
    x, _, noise_variance = low_rank_data()
    components = principal_components(in_batches(x, 500), 4)
    best = optimal_linear_vae(components, 4)
    assert best.noise_variance == pytest.approx(noise_variance, rel=0.1)
    for factor in (0.9, 1.1):
        other = optimal_linear_vae(components, 4, noise_variance=factor * best.noise_variance)
        assert other.negative_log_likelihood() > best.negative_log_likelihood()


def test_a_planted_subspace_is_recovered_and_the_rest_collapses():
    x, directions, _ = low_rank_data(rank=4)
    components = principal_components(in_batches(x, 500), 8)
    recovered = components.basis[:, :4]
    overlap = torch.linalg.svdvals(directions.T @ recovered)
    assert overlap.min() > 0.999
    vae = optimal_linear_vae(components, 8, noise_variance=0.5)
    kl = vae.encode(x)
    assert (vae.decoder_scale[4:] == 0).all()
    assert (kl.mean[:, 4:] == 0).all()
    assert (kl.log_variance[:, 4:] == 0).all()


@pytest.mark.parametrize("exact_below", [1024, 1])
def test_agreement_with_scikit_learn(exact_below):
    x, *_ = low_rank_data(D=40, rank=6)
    components = principal_components(in_batches(x, 300), 6, exact_below=exact_below)
    oracle = PCA(6).fit(x.numpy())
    n = len(x)
    expected = torch.from_numpy(oracle.explained_variance_) * (n - 1) / n
    torch.testing.assert_close(components.eigenvalues, expected.float(), rtol=1e-3, atol=1e-3)
    cosines = (components.basis * torch.from_numpy(oracle.components_.T)).sum(0).abs()
    assert cosines.min() > 0.999
    restored = components.restore(components.coefficients(x))
    again = oracle.inverse_transform(oracle.transform(x.numpy()))
    torch.testing.assert_close(restored, torch.from_numpy(again).float(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("exact_below", [1024, 1])
def test_the_answer_does_not_depend_on_the_batch_size(exact_below):
    x, *_ = low_rank_data()
    few, many = (
        principal_components(in_batches(x, size), 4, exact_below=exact_below) for size in (37, 1000)
    )
    torch.testing.assert_close(few.eigenvalues, many.eigenvalues)
    assert few.total_variance == pytest.approx(many.total_variance, rel=1e-5)
    torch.testing.assert_close(
        few.coefficients(x).abs(), many.coefficients(x).abs(), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("width", [6, 7])
@pytest.mark.parametrize("exact_below", [1024, 1])
def test_mirroring_equals_adding_the_mirror_images(width, exact_below):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(300, 2, 3, width, generator=g) * torch.linspace(0.2, 2, width)
    k = x[0].numel()
    folded = principal_components(in_batches(x, 100), k, mirror=True, exact_below=exact_below)
    both = torch.cat([x, x.flip(-1)])
    plain = principal_components(in_batches(both, 100), k)
    torch.testing.assert_close(folded.mean, plain.mean)
    torch.testing.assert_close(folded.eigenvalues, plain.eigenvalues, rtol=1e-4, atol=1e-4)
    identity = folded.basis.T @ folded.basis
    torch.testing.assert_close(identity, torch.eye(k), rtol=0, atol=1e-4)
    # a flip of the image multiplies its coefficients by the parity
    y, flipped = folded.coefficients(x), folded.coefficients(x.flip(-1))
    torch.testing.assert_close(flipped, y * folded.parity, rtol=0, atol=1e-4)


def test_more_latents_than_dimensions_are_collapsed():
    x, *_ = low_rank_data(D=5, rank=2)
    vae = optimal_linear_vae(principal_components(in_batches(x, 500), 8), 8, noise_variance=0.5)
    posterior = vae.encode(x)
    assert posterior.mean.shape == (len(x), 8)
    assert (posterior.kl() >= 0).all()
    assert torch.isfinite(vae.decode(posterior.sample())).all()


def test_fewer_samples_than_components():
    x = torch.randn(3, 10, generator=torch.Generator().manual_seed(0))
    for exact_below in (1024, 1):
        components = principal_components(in_batches(x, 2), 6, exact_below=exact_below)
        assert isinstance(components, PrincipalComponents)
        torch.testing.assert_close(
            components.basis.T @ components.basis, torch.eye(6), rtol=0, atol=1e-4
        )
        torch.testing.assert_close(
            components.restore(components.coefficients(x)), x, rtol=0, atol=1e-4
        )


def test_no_data_is_one_clear_line():
    with pytest.raises(InputError, match="no images"):
        principal_components(list, 4)
