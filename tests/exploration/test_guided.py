"""Guided sampling against generators whose density ratio is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import preimage as pi
from preimage.core.latent import Sphere, StandardNormal, Uniform
from preimage.exploration.guided import GuidedSamples, guide, method
from preimage.exploration.ratio import (
    Calibration,
    DensityRatio,
    calibrated,
    fit_ratio,
    ratio_of_features,
    z_statistic,
)

KNOWN = Calibration(0.0, 0.0, 1.0, math.log(2), 0.0)
SHIFT = 0.8


def identity(d: int = 1, prior: object = None) -> pi.LatentModel:
    """G(z) = z: samples are N(0, I)."""
    space = pi.LatentSpace((d,), {"normal": prior or StandardNormal()})  # type: ignore[dict-item]
    return pi.wrap(nn.Identity(), data=pi.DataSpec("vector", (d,)), space=space)


def shifted(d: int = 1) -> DensityRatio:
    """log r of N(μ, I) to N(0, I), μ = 0.8 in every direction: μ·x − ½‖μ‖²."""
    μ = torch.full((d,), SHIFT)
    offset = -μ.square().sum() / 2
    sampled = (torch.randn(20_000, d, generator=torch.Generator().manual_seed(9)) @ μ) + offset
    return DensityRatio("values", μ, offset, sampled.sort().values, 0.0, KNOWN)


def drawn(name: str, n: int = 1500, d: int = 1, **options: Any) -> Tensor:
    found = guide(identity(d), n, method(name, **options), shifted(d), seed=3)
    return found.images.reshape(n, d)


def follows(values: Tensor, cdf: Callable[[object], object]) -> bool:
    return stats.kstest(values.numpy(), cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rejection", {"percentile": 99.9, "n": 800}),
        ("metropolis-hastings", {"steps": 12}),
        ("langevin", {"n": 1000, "steps": 25, "step_size": 0.5}),
    ],
)
def test_samples_follow_the_real_distribution(name: str, options: dict[str, Any]) -> None:
    assert follows(drawn(name, **options)[:, 0], stats.norm(SHIFT, 1).cdf)


@pytest.mark.parametrize("strength", [0.5, 1.5])
def test_strength_is_the_power_of_the_ratio(strength: float) -> None:
    """r^β q is N(βμ, 1) here."""
    found = drawn("metropolis-hastings", strength=strength, steps=40, n=1000)[:, 0]
    assert follows(found, stats.norm(strength * SHIFT, 1).cdf)


def test_no_strength_gives_plain_samples() -> None:
    plain = identity().sample(20, seed=3).reshape(20, 1)
    assert torch.equal(drawn("rejection", 20, strength=0.0), plain)


def test_rejection_follows_the_ratio_up_to_its_percentile() -> None:
    """The density is q · min(r, M): its distribution function by numbers."""
    ratio = shifted()
    cut = (ratio.ceiling(0.8) - ratio.offset.item()) / SHIFT
    below = stats.norm(SHIFT, 1).cdf
    mass = below(cut) + math.exp(ratio.ceiling(0.8)) * stats.norm.sf(cut)

    def cdf(x: object) -> object:
        x = torch.as_tensor(x).numpy()
        over = math.exp(ratio.ceiling(0.8)) * (stats.norm.cdf(x) - stats.norm.cdf(cut))
        return (below(x.clip(max=cut)) + (x > cut) * over) / mass

    assert follows(drawn("rejection", percentile=80.0)[:, 0], cdf)


def test_rejection_costs_what_was_said() -> None:
    found = guide(identity(), 2000, method("rejection", percentile=95.0), shifted(), seed=0)
    said = shifted().acceptance(shifted().ceiling(0.95))
    assert found.decodes - 1 == pytest.approx(1 / said, rel=0.08)  # and one for the image itself


def test_metropolis_keeps_its_target() -> None:
    """One step from N(μ, 1) leaves N(μ, 1): the start is moved there by hand."""
    from preimage.exploration.metropolis import MetropolisHastings
    from preimage.exploration.target import Target

    target = Target(identity(), shifted(), seed=1)
    plain = target.noise
    target.noise = lambda rows, attempt=0: plain(rows, attempt) + SHIFT * (attempt == 0)  # type: ignore[method-assign]
    *_, (noise, _, _) = MetropolisHastings(steps=1).run(target, list(range(2000)))
    assert follows(noise[:, 0], stats.norm(SHIFT, 1).cdf)


def test_unadjusted_langevin_has_its_known_bias() -> None:
    """E = ½(x − μ)²: the stationary variance is 1/(1 − h/4), the mean is right."""
    h = 1.5
    found = drawn("langevin", steps=20, step_size=h, adjusted=False)[:, 0]
    assert follows(found, stats.norm(SHIFT, (1 - h / 4) ** -0.5).cdf)
    assert not follows(found, stats.norm(SHIFT, 1).cdf)


@pytest.mark.parametrize("prior", [Sphere(), Uniform()])
def test_chains_stay_in_a_space_that_has_an_edge(prior: object) -> None:
    d = 3
    found = guide(identity(d, prior), 400, method("langevin", step_size=0.3), shifted(d), seed=0)
    z = found.latents
    if isinstance(prior, Sphere):
        assert torch.allclose(z.norm(dim=1), torch.full((400,), math.sqrt(d)), atol=1e-4)
    else:
        assert z.abs().amax() <= 1
    # ∝ exp(0.8 Σ x): each coordinate of the cube has the mean coth 0.8 − 1/0.8
    expected = {"Uniform": 1 / math.tanh(SHIFT) - 1 / SHIFT, "Sphere": _sphere_mean(SHIFT, d)}
    assert z.mean().item() == pytest.approx(expected[type(prior).__name__], abs=0.06)


def _sphere_mean(μ: float, d: int) -> float:
    """Of each coordinate where the density on the sphere of radius √3 is ∝ exp(μ Σ x).

    Along the direction of μ it is von Mises–Fisher's in three dimensions: coth κ − 1/κ.
    """
    κ = μ * math.sqrt(d) * math.sqrt(d)
    return 1 / math.tanh(κ) - 1 / κ  # times the radius √d, over √d for each coordinate


def test_a_sample_is_the_same_in_any_company() -> None:
    for name in ("rejection", "metropolis-hastings", "langevin"):
        many, few = (
            guide(identity(2), n, method(name), shifted(2), seed=5, batch_size=b)
            for n, b in ((23, 256), (9, 4))
        )
        assert torch.equal(many.images[:9], few.images)
        assert torch.equal(many.latents[:9], few.latents)


def test_truncation_scales_plain_latents() -> None:
    space = pi.LatentSpace((4,))
    assert torch.allclose(space.sample(9, truncation=0.7), 0.7 * space.sample(9))


def test_the_known_ratio_is_found() -> None:
    g = torch.Generator().manual_seed(0)
    real = torch.randn(8000, 3, generator=g) + torch.tensor([0.6, 0.0, -0.3])
    found = ratio_of_features(real, torch.randn(8000, 3, generator=g))
    assert torch.allclose(found.weights, torch.tensor([0.6, 0.0, -0.3]), atol=0.1)
    assert found.offset.item() == pytest.approx(-0.225, abs=0.06)
    assert found.calibration.slope == pytest.approx(1, abs=0.15)
    assert abs(found.calibration.z) < 3
    assert found.calibration.divergence == pytest.approx(0.225, abs=0.06)


def test_weighted_samples_have_the_means_of_real_images() -> None:
    """Also where no log-linear ratio is the true one: N(1, ¼) to N(0, 1)."""
    g = torch.Generator().manual_seed(0)
    real = 1 + 0.5 * torch.randn(8000, 1, generator=g)
    fake = torch.randn(20_000, 1, generator=g)
    found = ratio_of_features(real, fake)
    weights = (found.of(fake) / found.calibration.slope).softmax(0)
    assert (weights @ fake).item() == pytest.approx(1, abs=0.06)


def test_overconfidence_is_calibrated_away() -> None:
    """Log ratios three times too large, and shifted: slope ⅓, and the offset that goes with it."""
    g = torch.Generator().manual_seed(0)
    fake, real = torch.randn(20_000, generator=g), torch.randn(20_000, generator=g) + SHIFT
    spoilt = [3 * (SHIFT * x - SHIFT**2 / 2) + 1 for x in (real, fake)]
    slope, offset = calibrated(*spoilt)
    assert slope == pytest.approx(1 / 3, abs=0.02)
    assert offset == pytest.approx(-1 / 3, abs=0.05)
    assert abs(z_statistic(*(slope * x + offset for x in spoilt))) < 2
    assert abs(z_statistic(*spoilt)) > 5


def test_equal_distributions_leave_samples_as_they_are() -> None:
    g = torch.Generator().manual_seed(0)
    found = ratio_of_features(torch.randn(4000, 5, generator=g), torch.randn(4000, 5, generator=g))
    assert found.sampled.std() < 0.1


def test_fitted_by_itself_a_planted_model_is_mended() -> None:
    """A generator off by 0.8, with nothing but real data to go by."""
    g = torch.Generator().manual_seed(0)
    real = torch.randn(6000, 1, generator=g) + SHIFT
    ratio = fit_ratio(identity(), real.split(500), seed=0)
    found = guide(identity(), 1000, method("metropolis-hastings"), ratio, seed=0)
    assert found.images.mean().item() == pytest.approx(SHIFT, abs=0.12)


def test_a_conditional_model_keeps_its_labels() -> None:
    class Shift(nn.Module):
        def forward(self, z: Tensor, labels: Tensor) -> Tensor:
            return z + 10 * labels[:, None]

    model = pi.wrap(
        Shift(), data=pi.DataSpec("vector", (1,)), space=pi.LatentSpace((1,)), classes=("a", "b")
    )
    found: GuidedSamples = guide(model, 9, method("metropolis-hastings"), shifted(), seed=0)
    assert found.labels is not None
    assert (found.images.flatten() > 5).long().tolist() == found.labels.tolist()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: method("rejecton"), "did you mean 'rejection'"),
        (lambda: method("langevin", stepsize=1), "did you mean 'step_size'"),
        (lambda: method("langevin", steps="many"), "whole number"),
        (lambda: method("rejection", strength=-1.0), "strength=-1"),
        (lambda: drawn("rejection", percentile=0.0), "percentile=0"),
        (lambda: drawn("langevin", step_size=9.0), "diverges"),
        (lambda: drawn("metropolis-hastings", steps=0), "plain samples"),
        (lambda: pi.guided(identity(), 4), "pass real="),
        (lambda: pi.guided(identity(), 4, real=torch.randn(9, 1)), "9 real images are too few"),
        (lambda: pi.guided(identity(), 4, prior="mixture"), "no prior named 'mixture'"),
    ],
)
def test_what_cannot_be_is_said(call: Callable[[], object], said: str) -> None:
    with pytest.raises(pi.InputError, match=said.replace("=", r"=")):
        call()


def test_rejection_that_would_not_end_says_its_rate() -> None:
    steep = replace(shifted(), sampled=torch.linspace(-40, 40, 5000))
    with pytest.raises(
        pi.InputError, match=r"% of samples, about [\d,]+ decodes .* lower strength"
    ):
        guide(identity(), 4, method("rejection", strength=50.0, percentile=100.0), steep)
