"""Every objective against its closed form."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal

from preimage.training import losses


def images(seed, n=6):
    return torch.rand(n, 2, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_bernoulli_is_torchs_cross_entropy_summed_over_pixels():
    x̂, x = images(0), images(1)
    expected = F.binary_cross_entropy((x̂ + 1) / 2, (x + 1) / 2, reduction="none").flatten(1).sum(1)
    assert torch.allclose(losses.bernoulli_nll(x̂, x), expected, rtol=1e-4)


def test_bernoulli_is_finite_and_has_a_gradient_where_the_decoder_is_sure_and_wrong():
    x̂ = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).requires_grad_(True)
    loss = losses.bernoulli_nll(x̂, -x̂.detach())
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert loss.min() > 10
    assert x̂.grad[0] < 0 < x̂.grad[1]


def test_bernoulli_of_what_is_no_number_is_none_either():
    x = images(0, n=2)
    x̂ = x.clone()
    x̂[0, 0, 0, 0] = math.nan
    assert losses.bernoulli_nll(x̂, x).isnan().tolist() == [True, False]


@pytest.mark.parametrize("sigma", [0.1, 0.5**0.5, 2.0])
def test_gaussian_is_the_log_density_without_its_constant(sigma):
    x̂, x = images(0), images(1)
    D = x[0].numel()
    density = Normal(x̂, sigma).log_prob(x).flatten(1).sum(1)
    constant = D * (math.log(sigma) + 0.5 * math.log(2 * math.pi))
    assert torch.allclose(losses.gaussian_nll(x̂, x, sigma=sigma), -density - constant, rtol=1e-4)
    if sigma == 0.5**0.5:
        assert torch.allclose(losses.gaussian_nll(x̂, x, sigma=sigma), losses.squared_error(x̂, x))


def test_the_optimal_sigma_is_optimal():
    x̂, x = images(0), images(1)
    D = x[0].numel()
    constant = 0.5 * D * (1 + math.log(2 * math.pi))

    def density(sigma):
        return -Normal(x̂, sigma).log_prob(x).flatten(1).sum(1).mean().item()

    best = (x̂ - x).square().mean().sqrt().item()
    loss = losses.optimal_sigma_nll(x̂, x).item() + constant
    assert loss == pytest.approx(density(best), rel=0.01)  # log σ is clipped softly
    assert density(best) < min(density(0.9 * best), density(1.1 * best))


def test_the_optimal_sigma_stays_finite_at_a_perfect_reconstruction():
    x = images(0)
    x̂ = x.clone().requires_grad_(True)
    loss = losses.optimal_sigma_nll(x̂, x)
    loss.backward()
    assert loss.item() == pytest.approx(-6 * x[0].numel(), rel=0.01)
    assert torch.isfinite(x̂.grad).all()


def test_hoyer_sparsity_counts_active_latents_whatever_their_scale():
    z = torch.tensor([[3.0, 0, 0, 0], [1.0, -1, 1, -1], [1e-3, 1e-3, 0, 0]])
    expected = torch.tensor([1, 2, math.sqrt(2)])
    assert torch.allclose(losses.hoyer_sparsity(z), expected, atol=1e-4)
    assert torch.allclose(losses.hoyer_sparsity(100 * z), expected, atol=1e-4)


# --- adversarial ---

REAL, FAKE = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [-3.0]])


def softplus(value):
    return math.log1p(math.exp(value))


EXPECTED = {  # of the logits above
    "minimax": (
        (softplus(-2) + softplus(1)) / 2 + (softplus(0.5) + softplus(-3)) / 2,
        -(softplus(0.5) + softplus(-3)) / 2,
    ),
    "non-saturating": (
        (softplus(-2) + softplus(1)) / 2 + (softplus(0.5) + softplus(-3)) / 2,
        (softplus(-0.5) + softplus(3)) / 2,
    ),
    "hinge": ((0 + 2) / 2 + (1.5 + 0) / 2, 1.25),
    "wasserstein": (-1.25 - 0.5, 1.25),
    "relativistic": ((softplus(-1.5) + softplus(-2)) / 2, (softplus(1.5) + softplus(2)) / 2),
}


@pytest.mark.parametrize("name", losses.ADVERSARIAL)
def test_adversarial_losses_have_their_values(name):
    critic, generator = losses.ADVERSARIAL[name]
    expected = EXPECTED[name]
    assert critic(REAL, FAKE).item() == pytest.approx(expected[0], rel=1e-5)
    assert generator(REAL, FAKE).item() == pytest.approx(expected[1], rel=1e-5)


@pytest.mark.parametrize("name", losses.ADVERSARIAL)
def test_the_players_pull_against_each_other(name):
    critic, generator = losses.ADVERSARIAL[name]
    real, fake = torch.zeros(4, 1, requires_grad=True), torch.zeros(4, 1, requires_grad=True)
    on_real, on_fake = torch.autograd.grad(critic(real, fake), (real, fake))
    assert (on_real < 0).all()  # the critic's descent raises reals
    assert (on_fake > 0).all()  # and lowers fakes
    (pull,) = torch.autograd.grad(generator(real, fake), fake)
    assert (pull < 0).all()  # the generator's raises fakes


def test_only_relativistic_generators_look_at_reals():
    for name, (_, generator) in losses.ADVERSARIAL.items():
        looks = not torch.equal(generator(REAL, FAKE), generator(REAL + 1, FAKE))
        assert looks == (name in losses.RELATIVISTIC)


def test_minimax_saturates_where_the_critic_wins_and_the_alternative_does_not():
    fake = torch.full((1, 1), -20.0, requires_grad=True)
    (saturated,) = torch.autograd.grad(losses.minimax_generator(fake, fake), fake)
    (alive,) = torch.autograd.grad(losses.non_saturating_generator(fake, fake), fake)
    assert saturated.abs().item() < 1e-6
    assert alive.item() == pytest.approx(-1, rel=1e-6)


# --- slopes ---


def test_the_slope_of_a_linear_critic_is_its_weight():
    linear = nn.Linear(32, 1)
    x = images(0).requires_grad_(True)
    slope = losses.squared_slope(linear(x.flatten(1)), x)
    expected = linear.weight.square().sum()
    assert torch.allclose(slope, expected.expand(6), rtol=1e-5)
    slope.mean().backward()
    assert torch.allclose(linear.weight.grad, 2 * linear.weight, rtol=1e-5)  # differentiable again


def test_the_lipschitz_penalty_is_nothing_at_slope_one():
    linear = nn.Linear(32, 1)
    with torch.no_grad():
        linear.weight /= linear.weight.norm()
    x = images(0).requires_grad_(True)
    assert losses.lipschitz_penalty(linear(x.flatten(1)), x).max() < 1e-6
    penalty = losses.lipschitz_penalty(3 * linear(x.flatten(1)), x)
    assert torch.allclose(penalty, torch.tensor(4.0), rtol=1e-4)


def test_interpolates_lie_between_each_real_and_its_fake():
    real, fake = images(0), images(1)
    between = losses.interpolates(real, fake)
    t = ((between - real) / (fake - real)).flatten(1)
    assert (t.amax(1) - t.amin(1)).max() < 1e-3  # one place an image
    assert t.mean(1).std() > 0.05  # not the same for all
    assert t.min() >= 0
    assert t.max() <= 1
