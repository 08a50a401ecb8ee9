"""Penalties on latents and sets they are kept in: closed forms, densities, and no coupling."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from preimage.core import GaussianMixture, InputError, Sphere, StandardNormal, Uniform
from preimage.inversion.constraints import (
    NORMAL_RANGE,
    AbsoluteNorm,
    Box,
    PriorLogDensity,
    SquaredNorm,
    StochasticClip,
    TypicalSet,
)

B, d = 64, 10
SEEDS = torch.arange(B) * 7919


def latents(scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(B, d, generator=generator, dtype=torch.float64)


def mixture() -> GaussianMixture:
    prior = GaussianMixture(2, d).double()
    prior.weights = torch.tensor([0.3, 0.7]).double()
    prior.means = torch.stack([torch.full((d,), -3.0), torch.full((d,), 3.0)]).double()
    prior.factors = torch.stack([torch.eye(d), 0.5 * torch.eye(d)]).double()
    return prior


PENALTIES = {
    "l2": SquaredNorm(),
    "l1": AbsoluteNorm(),
    "normal": PriorLogDensity(StandardNormal()),
    "mixture": PriorLogDensity(mixture()),
}
every_penalty = pytest.mark.parametrize("P", PENALTIES.values(), ids=PENALTIES.keys())


@every_penalty
def test_penalties(P):
    z = latents()
    loss, r = P.loss(z), P.residual(z)
    assert loss.shape == (B,)
    assert (loss >= 0).all()
    torch.testing.assert_close(P.loss(z[3:4]), loss[3:4])
    assert torch.autograd.gradcheck(P.loss, z[:2].clone().requires_grad_())
    if r is not None:
        torch.testing.assert_close(r.square().sum(1), loss)


def test_penalties_by_hand():
    z = torch.tensor([[3.0, -4.0]])
    assert SquaredNorm().loss(z).tolist() == [12.5]
    assert AbsoluteNorm().loss(z).tolist() == [3.5]
    assert PriorLogDensity(StandardNormal()).loss(z).tolist() == [6.25]


def test_density_is_that_of_the_prior_up_to_a_constant():
    z = latents()
    expected = Normal(0, 1).log_prob(torch.zeros(d)).sum() - Normal(0, 1).log_prob(z).sum(1)
    torch.testing.assert_close(d * PENALTIES["normal"].loss(z), expected)
    one, two = mixture().log_prob(z[:2])
    found = PENALTIES["mixture"].loss(z[:2])
    torch.testing.assert_close(d * (found[0] - found[1]), two - one)
    at_mode = d * PENALTIES["mixture"].loss(mixture().means)[1].item()  # as good as the bound
    assert at_mode == pytest.approx(math.log1p(0.3 / 0.7 * 0.5**d), rel=1e-6)


def test_typical_set():
    z = TypicalSet(StandardNormal())(latents(5), seeds=SEEDS, iteration=0)
    torch.testing.assert_close(z.norm(dim=1), torch.full((B,), math.sqrt(d)).double())
    torch.testing.assert_close(TypicalSet(StandardNormal())(z, seeds=SEEDS, iteration=1), z)


def test_box():
    z = latents(2)
    inside = Box()(z, seeds=SEEDS, iteration=0)
    assert inside.abs().max() == 1
    assert torch.equal(inside[z.abs() <= 1], z[z.abs() <= 1])


def test_clip_redraws_what_is_outside_and_nothing_else():
    clip, z = StochasticClip(1.5), latents(2)
    drawn = clip(z, seeds=SEEDS, iteration=3)
    out = z.abs() > 1.5
    assert out.any()
    assert torch.equal(drawn[~out], z[~out])
    fresh = drawn[out] / 1.5  # uniform in [−1, 1]: mean 0, variance ⅓
    assert fresh.abs().max() <= 1
    assert abs(fresh.mean()) < 3 / math.sqrt(3 * len(fresh))
    assert abs(fresh.square().mean() - 1 / 3) < 3 * math.sqrt(4 / 45 / len(fresh))


def test_clip_draws_by_sample_and_iteration():
    clip, z = StochasticClip(1.0), latents(4)
    drawn = clip(z, seeds=SEEDS, iteration=3)
    rows = torch.tensor([5, 2])
    assert torch.equal(clip(z[rows], seeds=SEEDS[rows], iteration=3), drawn[rows])
    assert not torch.equal(clip(z, seeds=SEEDS, iteration=4), drawn)
    same = clip(z[:1].expand(2, -1), seeds=SEEDS[:2], iteration=0)
    assert not torch.equal(same[0], same[1])


def test_clip_takes_its_bound_from_the_prior():
    assert StochasticClip.of(Uniform()).bound == 1
    assert StochasticClip.of(StandardNormal()).bound == NORMAL_RANGE
    outside = 2 * (1 - Normal(0, 1).cdf(torch.tensor(NORMAL_RANGE).double()))
    assert 1 / outside.item() == pytest.approx(16_000, rel=0.02)


MISTAKES = {
    "project='box'": lambda: PriorLogDensity(Uniform()),
    "project='typical'": lambda: PriorLogDensity(Sphere()),
    "no single range": lambda: StochasticClip.of(mixture()),
    "give a bound above 0": lambda: StochasticClip(0.0),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_said_in_a_line(message):
    with pytest.raises(InputError, match=message) as caught:
        MISTAKES[message]()
    assert "\n" not in str(caught.value)
