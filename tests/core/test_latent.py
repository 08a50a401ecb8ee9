"""Latent spaces: samples that never change, and densities that integrate to one."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from preimage.core import (
    GaussianMixture,
    InputError,
    LatentSpace,
    Sphere,
    StandardNormal,
    Uniform,
    seeds,
)

PRIORS = {"normal": StandardNormal(), "sphere": Sphere(), "uniform": Uniform()}


def mixture():
    prior = GaussianMixture(3, 4)
    g = torch.Generator().manual_seed(0)
    prior.fit(torch.randn(300, 4, generator=g), generator=g)
    return prior


def space(name, shape=(4,)):
    prior = mixture() if name == "mixture" else PRIORS[name]
    return LatentSpace(shape, {name: prior}, name)


@pytest.mark.parametrize("name", [*PRIORS, "mixture"])
def test_sample_7_is_the_same_whatever_is_drawn_with_it(name):
    drawn = space(name).sample(20, seed=0)
    for n, first in ((1, 7), (5, 3), (13, 7)):
        assert torch.equal(space(name).sample(n, seed=0, first=first)[7 - first], drawn[7])
    assert not torch.equal(space(name).sample(8, seed=1)[7], drawn[7])


def test_a_spatial_latent_is_drawn_in_its_shape():
    z = space("normal", (2, 3, 3)).sample(5)
    assert z.shape == (5, 2, 3, 3)
    flat = space("normal", (18,)).sample(5)
    assert torch.equal(z.flatten(1), flat)


def test_normal_density_is_scipys():
    z = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    expected = stats.multivariate_normal(np.zeros(4)).logpdf(z)
    assert np.allclose(space("normal").log_prob(torch.from_numpy(z)), expected, atol=1e-5)


def test_uniform_density_integrates_to_one_and_is_nothing_outside():
    prior = Uniform()
    z = torch.tensor([[0.3, -0.2], [1.5, 0.0]])
    inside, outside = prior.log_prob(z).tolist()
    assert outside == -math.inf
    volume, _ = integrate.dblquad(lambda *_: math.exp(inside), -1, 1, -1, 1)
    assert volume == pytest.approx(1)


@pytest.mark.parametrize("d", [2, 3])
def test_sphere_density_integrates_to_one_over_its_surface(d):
    log_p = Sphere().log_prob(torch.zeros(1, d)).item()
    radius = math.sqrt(d)
    area = {2: 2 * math.pi * radius, 3: 4 * math.pi * radius**2}[d]
    assert math.exp(log_p) * area == pytest.approx(1, rel=1e-5)


def test_transported_noise_is_distributed_as_the_prior_says():
    noise = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0))
    uniform = Uniform().transport(noise).flatten().numpy()
    assert stats.kstest(uniform, stats.uniform(-1, 2).cdf).pvalue > 0.01
    sphere = Sphere().transport(noise)
    assert torch.allclose(sphere.norm(dim=1), torch.tensor(2.0), atol=1e-5)
    assert sphere.mean(0).abs().max() < 0.03
    covariance = sphere.T @ sphere / len(sphere)
    assert torch.allclose(covariance, torch.eye(4), atol=0.05)


@pytest.mark.parametrize("name", [*PRIORS, "mixture"])
def test_truncation_draws_nearer_to_the_mode(name):
    whole, half = (space(name).sample(64, truncation=ψ) for ψ in (1.0, 0.5))
    none = space(name).sample(64, truncation=0.0)
    assert torch.allclose(half, (whole + none) / 2, atol=1e-5)
    if name != "mixture":
        assert not none.any()


@pytest.mark.parametrize("name", PRIORS)
def test_projection_stays_where_it_lands(name):
    z = 5 * torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    once = space(name).project(z)
    assert torch.allclose(space(name).project(once), once, atol=1e-4)


def test_training_draws_follow_their_generator():
    one, two = (space("normal").draw(3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, two)


def test_the_mean_is_the_centre_of_the_prior():
    assert not space("uniform").mean().any()
    prior = mixture()
    centre = LatentSpace((4,), {"mixture": prior}, "mixture").mean()
    assert torch.allclose(centre, prior.weights @ prior.means)


def test_a_prior_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'normal'"):
        LatentSpace((4,)).sample(1, prior="norml")
    with pytest.raises(InputError, match="no known prior"):
        LatentSpace((4,), {}).sample(1)


def test_seeds_are_functions_of_their_place():
    assert seeds.derive(0, "step", 7) == seeds.derive(0, "step", 7)
    places = [(0,), (1,), (0, 0), (0, "step", 7), (0, "step", 8), (0, "flip", 7)]
    assert len({seeds.derive(*place) for place in places}) == len(places)
    assert all(0 <= seeds.derive(seed) < 2**63 for seed in range(100))
    assert seeds.normal(0, (3,), seed=0).shape == (0, 3)
