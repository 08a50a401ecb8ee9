"""The Gaussian mixture against scikit-learn's, planted mixtures and its own moments."""

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as Oracle

from preimage.core import GaussianMixture


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def planted(n=3000, seed=0):
    """Three correlated clusters in the plane, far apart, of shares 0.5, 0.3 and 0.2."""
    g = generator(seed)
    means = torch.tensor([[0.0, 0.0], [8.0, 1.0], [-2.0, 9.0]])
    factors = torch.tensor([[[1.0, 0], [0.8, 0.4]], [[0.5, 0], [0, 1.5]], [[1.2, 0], [-0.5, 0.7]]])
    k = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), n, replacement=True, generator=g)
    ε = torch.randn(n, 2, generator=g)
    return means[k] + torch.einsum("bij,bj->bi", factors[k], ε), means, factors


def fitted(z, components, seed=0):
    mixture = GaussianMixture(components, z.shape[1])
    mixture.fit(z, generator=generator(seed))
    return mixture


def oracle_of(mixture):
    """scikit-learn's mixture with the same parameters."""
    factors = mixture.factors.double().numpy()
    oracle = Oracle(len(mixture.weights))
    oracle.weights_ = mixture.weights.double().numpy()
    oracle.means_ = mixture.means.double().numpy()
    oracle.covariances_ = factors @ factors.transpose(0, 2, 1)
    oracle.precisions_cholesky_ = np.linalg.inv(factors).transpose(0, 2, 1)
    return oracle


def test_density_and_responsibilities_are_scikit_learns():
    z, *_ = planted()
    mixture = fitted(z, 5)
    oracle = oracle_of(mixture)
    assert np.allclose(mixture.log_prob(z), oracle.score_samples(z.double().numpy()), atol=1e-3)
    ours = mixture.component_log_prob(z).softmax(1)
    assert np.allclose(ours, oracle.predict_proba(z.double().numpy()), atol=1e-3)


def test_a_planted_mixture_is_recovered():
    z, means, factors = planted()
    mixture = fitted(z, 3)
    order = torch.cdist(means, mixture.means).argmin(1)
    assert sorted(order.tolist()) == [0, 1, 2]
    assert torch.allclose(mixture.means[order], means, atol=0.15)
    assert torch.allclose(mixture.weights[order], torch.tensor([0.5, 0.3, 0.2]), atol=0.03)
    found = mixture.factors[order] @ mixture.factors[order].mT
    assert torch.allclose(found, factors @ factors.mT, atol=0.25)


def test_likelihood_is_not_far_below_scikit_learns():
    z = torch.randn(4000, 6, generator=generator()).abs().log()  # skewed: no mixture is exact
    ours = GaussianMixture(8, 6)
    found = ours.fit(z, generator=generator())
    theirs = Oracle(8, random_state=0, max_iter=100).fit(z.numpy()).score(z.numpy())
    assert found > theirs - 0.15
    assert found == pytest.approx(ours.log_prob(z[:4096]).mean().item(), abs=1e-4)


def test_fitting_in_small_blocks_changes_nothing(monkeypatch):
    z, *_ = planted(700)
    whole = fitted(z, 4)
    monkeypatch.setattr("preimage.core.mixture.BLOCK", 100)
    blocks = fitted(z, 4)
    assert torch.allclose(whole.means, blocks.means, atol=1e-3)
    assert torch.allclose(whole.weights, blocks.weights, atol=1e-4)


def test_transported_noise_has_the_mixtures_moments():
    z, *_ = planted()
    mixture = fitted(z, 3)
    samples = mixture.transport(torch.randn(40_000, 3, generator=generator()))
    assert torch.allclose(samples.mean(0), mixture.mean(), atol=0.06)
    assert torch.allclose(samples.T.cov(), z.T.cov(), atol=0.4)
    nearest = mixture.component_log_prob(samples).argmax(1)
    shares = torch.bincount(nearest, minlength=3) / len(samples)
    assert torch.allclose(shares, mixture.weights, atol=0.01)


def test_truncated_to_nothing_leaves_the_means():
    z, *_ = planted()
    mixture = fitted(z, 3)
    samples = mixture.transport(torch.randn(50, 3, generator=generator()), truncation=0.0)
    assert torch.cdist(samples, mixture.means).min(1).values.max() < 1e-5


def test_projection_moves_outliers_onto_the_shell_and_leaves_the_rest():
    z, *_ = planted()
    mixture = fitted(z, 3)
    assert torch.allclose(mixture.project(mixture.means), mixture.means, atol=1e-5)
    far = mixture.project(torch.tensor([[100.0, 100.0]]))
    assert mixture.log_prob(far) > mixture.log_prob(torch.tensor([[100.0, 100.0]])) + 100


@pytest.mark.parametrize(
    "z",
    [
        torch.cat([torch.randn(100, 2, generator=generator()), torch.full((100, 1), 5.0)], 1),
        torch.randn(5, 3, generator=generator()),  # fewer points than components
        torch.randn(1, 3, generator=generator()),
        torch.ones(50, 3),
    ],
    ids=["constant dimension", "few points", "one point", "all alike"],
)
def test_degenerate_latents_are_fitted_all_the_same(z):
    mixture = fitted(z, 8)
    assert mixture.fitted
    samples = mixture.transport(torch.randn(200, 4, generator=generator()))
    assert torch.isfinite(samples).all()
    assert torch.isfinite(mixture.log_prob(samples)).all()


def test_an_unfitted_mixture_says_so_and_a_saved_one_is_whole():
    mixture = GaussianMixture(3, 2)
    assert not mixture.fitted
    z, *_ = planted()
    other = GaussianMixture(3, 2)
    other.load_state_dict(fitted(z, 3).state_dict())
    assert other.fitted
    assert torch.equal(other.log_prob(z), fitted(z, 3).log_prob(z))
