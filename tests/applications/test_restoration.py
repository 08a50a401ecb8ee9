"""Restoration against posteriors that are known in closed form, and bands against their promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.applications.discrepancy import Discrepancy
from preimage.applications.restoration import (
    Restorer,
    band_scale,
    coverage,
    hidden,
    observed,
    rounded,
    weighted_quantile,
)
from preimage.core import InputError, Unsupported
from preimage.inversion.posterior import ROUNDING

SIDE, d = 8, 6
D = SIDE * SIDE


class Linear(nn.Module):
    """G(z) = B z + b: everything about it is known in closed form."""

    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(3)
        self.B = nn.Parameter(0.08 * torch.randn(D, d, generator=random))
        self.b = nn.Parameter(0.1 * torch.randn(D, generator=random))

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.B.T + self.b).reshape(-1, 1, SIDE, SIDE)


class Twofold(nn.Module):
    """An image of |z|: two latents explain each image wherever the sign's own pixel is hidden."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, z: Tensor) -> Tensor:
        size = self.scale * z.abs().clamp_max(3) / 4
        sign = torch.tanh(4 * z) / 2
        x = torch.cat([size.expand(-1, D // 2), sign.expand(-1, D // 2)], 1)
        return x.reshape(-1, 1, SIDE, SIDE)


def wrapped(net: nn.Module, latent: int) -> pi.LatentModel:
    return pi.wrap(net, data=pi.ImageSpec(1, SIDE, SIDE), space=pi.LatentSpace((latent,)))


@pytest.fixture(scope="module")
def model() -> pi.LatentModel:
    return wrapped(Linear(), d)


@pytest.fixture(scope="module")
def left() -> Discrepancy:
    random = torch.Generator().manual_seed(5)
    W = 0.05 * torch.randn(D, 3, generator=random, dtype=torch.float64)
    m = 0.02 * torch.randn(D, generator=random, dtype=torch.float64)
    ψ = 0.002 * (0.5 + torch.rand(D, generator=random, dtype=torch.float64))
    return Discrepancy(m, W, ψ)


@pytest.fixture(scope="module")
def truth(model: pi.LatentModel, left: Discrepancy) -> Tensor:
    """Images of the very distribution that is assumed."""
    N, random = 96, torch.Generator().manual_seed(7)
    z = torch.randn(N, d, generator=random)
    u = torch.randn(N, 3, generator=random, dtype=torch.float64)
    ε = torch.randn(N, D, generator=random, dtype=torch.float64)
    δ = left.mean + u @ left.factors.T + left.variances.sqrt() * ε
    with torch.no_grad():
        return model.decode(z) + δ.float().reshape(-1, 1, SIDE, SIDE)


def mask() -> Tensor:
    seen = torch.ones(SIDE, SIDE)
    seen[:, SIDE // 2 :] = 0
    return seen


def closed_form(model: pi.LatentModel, left: Discrepancy, y: Tensor, A: Tensor, noise: float):
    """Mean (N, D) and variance (D,) of x given y = A x + noise, with everything Gaussian."""
    B, b = (p.detach().double() for p in model.parameters())
    Σ = B @ B.T + left.factors @ left.factors.T + left.variances.diag()
    S = A @ Σ @ A.T + noise**2 * torch.eye(len(A), dtype=torch.float64)
    gain = Σ @ A.T @ torch.linalg.inv(S)
    mean = b + left.mean
    return mean + (y.double() - mean @ A.T) @ gain.T, (Σ - gain @ A @ Σ).diagonal()


def rows_of(through, n: int = D) -> Tensor:
    """The matrix of a linear operator."""
    eye = torch.eye(n, dtype=torch.float64).reshape(n, 1, SIDE, SIDE)
    return through(eye).flatten(1).T


@pytest.mark.parametrize(
    "through", [pi.Mask(mask()), pi.Downsample(2), pi.Noise(0.3)], ids=["mask", "down", "noise"]
)
def test_of_a_linear_model_it_is_the_conditional_mean_of_a_gaussian(model, left, truth, through):
    y = observed(through, truth[:6])
    rounding = 2 / 255 / 12**0.5
    σ = float(np.hypot(getattr(through, "noise", 0.0), rounding))
    A = rows_of(through)
    if isinstance(through, pi.Mask):
        A = A[A.any(1)]
        seen = y.flatten(1)[:, mask().flatten() > 0]
    else:
        seen = y.flatten(1)
    mean, variance = closed_form(model, left, seen, A, σ)
    found = Restorer(pi.inverter(model), left, samples=512).restore(y, through)
    error = (found.images.flatten(1) - mean.clamp(-1, 1)).abs()
    assert error.max() < 0.25 * variance.sqrt().max()  # the mean of 512 samples
    assert error.mean() < 0.08 * variance.sqrt().mean()
    best = found.fillings[:, 0].flatten(1)  # the mode is the mean, without sampling
    exact = not isinstance(through, pi.Downsample)  # else the diagonal of A Ψ Aᵀ is estimated
    assert (best - mean.clamp(-1, 1)).abs().max() < (2e-3 if exact else 0.02)
    ratio = found.uncertainty.flatten(1)[:, variance > 1e-4] / variance.sqrt()[variance > 1e-4]
    assert 0.95 < ratio.mean() < 1.05


def test_the_bands_hold_nine_values_in_ten(model, left, truth):
    through = pi.Mask(mask())
    found = Restorer(pi.inverter(model), left).restore(observed(through, truth), through)
    share = coverage(found, truth, hidden(through, truth)).mean()
    assert 0.86 < share < 0.94


def test_calibration_mends_bands_that_are_too_narrow(model, left, truth):
    through = pi.Mask(mask())
    narrow = Discrepancy(left.mean, left.factors / 4, left.variances / 16)
    worker = Restorer(pi.inverter(model), narrow, heldout=truth[:48])
    y, missing = observed(through, truth[48:]), hidden(through, truth[48:])
    before = coverage(worker.restore(y, through), truth[48:], missing).mean()
    scale = worker.scale(through)
    after = coverage(worker.restore(y, through, scale=scale), truth[48:], missing).mean()
    assert before < 0.6
    assert scale > 2
    assert 0.86 < after < 0.94


def test_bands_of_what_a_model_draws_hold_nine_values_in_ten_of_8_bits(model):
    x, through = rounded(model.sample(64, seed=5)), pi.Mask(mask())
    worker = Restorer(pi.inverter(model))
    found = worker.restore(observed(through, x), through, scale=worker.scale(through))
    assert 0.87 < coverage(found, x, hidden(through, x)).mean() < 0.93


def test_the_scale_is_the_conformal_quantile(model, left, truth):
    through = pi.Mask(mask())
    found = Restorer(pi.inverter(model), left).restore(observed(through, truth), through)
    missing = hidden(through, truth)
    scale = band_scale(found, truth, missing)
    x, mean = truth[missing], found.images[missing]
    side = torch.where(x < mean, mean - found.low[missing], found.high[missing] - mean)
    inside = ((x - mean).abs() <= scale * side).double().mean()
    assert inside == pytest.approx(0.9, abs=2 / len(x))


def test_two_explanations_are_both_found_and_offered():
    model = wrapped(Twofold(), 1)
    seen = torch.ones(SIDE, SIDE)
    seen[SIDE // 2 :] = 0  # the half that shows the sign
    with torch.no_grad():
        x = model.decode(torch.tensor([[1.2], [-0.8]]))
    through = pi.Mask(seen)
    left = Discrepancy.none(D, 0.02)
    found = Restorer(pi.inverter(model), left).restore(observed(through, x), through, n=2)
    assert torch.allclose(found.z[:, 0, 0], -found.z[:, 1, 0], atol=0.1)
    assert torch.allclose(found.z[:, :, 0].abs().mean(1), torch.tensor([1.2, 0.8]), atol=0.05)
    assert (found.images[:, :, SIDE // 2 :].abs() < 0.1).all()  # the mean of both is neither
    assert (found.uncertainty[:, :, SIDE // 2 :] > 0.4).all()
    assert (found.low[:, :, SIDE // 2 :] < -0.4).all()
    assert (found.high[:, :, SIDE // 2 :] > 0.4).all()


def test_a_critic_moves_the_posterior_by_what_it_says():
    """Of a linear critic c = ⟨v, x⟩ all but c is as it was, and c is N(m, s²) σ(c)^λ."""
    net, σ, λ = Linear(), 0.3, 20.0
    v = torch.randn(D, generator=torch.Generator().manual_seed(9))
    linear = nn.Linear(D, 1, bias=False)
    linear.weight.data = v[None]
    critic = nn.Sequential(nn.Flatten(), linear, nn.Flatten(0))
    spec, space = pi.ImageSpec(1, SIDE, SIDE), pi.LatentSpace((d,))
    model = pi.wrap(net, data=spec, space=space, critic=critic)
    x = model.sample(2, seed=1)
    through, nothing = pi.Noise(σ), Discrepancy.none(D, ROUNDING)
    y = observed(through, x)
    worker = Restorer(pi.inverter(model), nothing, samples=4096, adversarial=λ)
    found = worker.restore(y, through)

    B, b = net.B.detach().double(), net.b.detach().double()
    noise = σ**2 + 2 * ROUNDING**2
    Σ = torch.linalg.inv(B.T @ B / noise + torch.eye(d))
    μ = (y.flatten(1).double() - b) @ B / noise @ Σ  # of z, without the critic
    a = B.T @ v.double()
    for i in range(2):
        m, s = float(b @ v.double() + μ[i] @ a), float((a @ Σ @ a).sqrt())
        c = np.linspace(m - 8 * s, m + 8 * s, 4001)
        logs = -((c - m) ** 2) / (2 * s**2) - λ * np.logaddexp(0, -c)
        mode, weights = c[logs.argmax()], np.exp(logs - logs.max())
        mean = (weights * c).sum() / weights.sum()
        assert mode - m > s / 2  # it says something at all
        z = μ[i] + Σ @ a * (mode - m) / s**2
        assert torch.allclose(found.z[i, 0].double(), z, atol=5e-3)
        assert abs(float(found.images[i].flatten() @ v) - mean) < 0.1 * s


def test_a_model_without_a_critic_says_so(model):
    with pytest.raises(Unsupported, match="no critic"):
        Restorer(pi.inverter(model), adversarial=1.0)
    with pytest.raises(InputError, match="below 0"):
        Restorer(pi.inverter(model), adversarial=-1.0)


def test_fillings_are_ranked_and_the_first_is_the_likeliest(model, left, truth):
    through = pi.Mask(mask())
    worker = Restorer(pi.inverter(model), left)
    found = worker.restore(observed(through, truth[:3]), through, n=4)
    assert found.fillings.shape == (3, 4, 1, SIDE, SIDE)
    assert (found.scores[:, 0] == 0).all()
    assert (found.scores.diff(dim=1) <= 0).all()
    apart = (found.fillings[:, 0] - found.fillings[:, 1]).abs().amax((1, 2, 3))
    assert (apart > 0.05).all()


def test_an_images_answer_does_not_depend_on_the_others(model, left, truth):
    through = pi.Mask(mask())
    worker, y = Restorer(pi.inverter(model), left), observed(through, truth[:5])
    together = worker.restore(y, through, n=2)
    alone = worker.restore(y[3:4], through, n=2)
    for name in ("images", "low", "high", "uncertainty", "z", "fillings"):
        apart = (getattr(together, name)[3:4] - getattr(alone, name)).abs().max()
        assert apart < 1e-3, name


def test_masks_of_each_image_are_its_own(model, left, truth):
    masks = torch.stack([mask(), 1 - mask()])[:, None]
    y = truth[:2] * masks
    worker = Restorer(pi.inverter(model), left)
    both = worker.restore(y, pi.Mask(masks))
    second = worker.restore(y[1:], pi.Mask(masks[1:]))
    assert torch.allclose(both.images[1:], second.images, atol=1e-4)


def test_noise_that_nobody_knows_is_found(model):
    with torch.no_grad():
        x = model.decode(torch.randn(4, d, generator=torch.Generator().manual_seed(1)))
    noise = 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    through = pi.Mask(mask())
    found = Restorer(pi.inverter(model), None).restore((x + noise) * mask(), through)
    hole = found.images[..., SIDE // 2 :] - x[..., SIDE // 2 :]
    assert hole.abs().max() < 0.25
    clean = Restorer(pi.inverter(model), None).restore(x * mask(), through)
    assert (clean.images - x).abs().max() < 0.04
    assert clean.uncertainty.mean() < 0.5 * found.uncertainty.mean()


def test_the_discrepancy_is_that_of_factor_analysis():
    random = torch.Generator().manual_seed(0)
    W = torch.randn(40, 2, generator=random, dtype=torch.float64)
    ψ = 0.1 + torch.rand(40, generator=random, dtype=torch.float64)
    u = torch.randn(4000, 2, generator=random, dtype=torch.float64)
    ε = torch.randn(4000, 40, generator=random, dtype=torch.float64)
    r = 0.5 + u @ W.T + ψ.sqrt() * ε
    found = Discrepancy.of(r.reshape(-1, 1, 5, 8), rank=2)
    assert torch.allclose(found.mean, torch.full_like(found.mean, 0.5), atol=0.15)
    covariance = found.factors @ found.factors.T + found.variances.diag()
    wanted = W @ W.T + ψ.diag()
    assert (covariance - wanted).norm() < 0.1 * wanted.norm()
    few = Discrepancy.of(r[:30].reshape(-1, 1, 5, 8), rank=2)  # fewer images than pixels
    direct = r[:30] - r[:30].mean(0)
    assert torch.allclose(
        few.factors.square().sum(1) + few.variances, direct.square().mean(0), atol=1e-6
    )


def test_a_discrepancy_grows_to_what_unseen_images_leave():
    random = torch.Generator().manual_seed(0)
    r = 0.1 * torch.randn(400, 1, 5, 8, generator=random)
    seen = Discrepancy.of(r)
    larger = seen.scaled_to(3 * r)
    ratio = larger.variances.sum() / seen.variances.sum()
    assert ratio == pytest.approx(9, rel=0.1)
    assert torch.equal(seen.scaled_to(0.5 * r).variances, seen.variances)  # never below


def test_weighted_quantiles_are_those_of_repeated_samples():
    x = torch.tensor([[3.0, 1.0, 2.0, 5.0]], dtype=torch.float64)
    weights = torch.tensor([[0.1, 0.4, 0.3, 0.2]], dtype=torch.float64)
    for q, wanted in ((0.05, 1.0), (0.3, 2.0), (0.5, 2.0), (0.7, 3.0), (0.8, 5.0), (0.95, 5.0)):
        assert weighted_quantile(x, weights, q).item() == wanted


def test_too_few_examples_are_named():
    with pytest.raises(InputError, match=r"5 examples are too few.*at least 16"):
        Discrepancy.of(torch.zeros(5, 1, 4, 4))


def test_an_operator_that_is_not_linear_needs_no_discrepancy(model, left, truth):
    def squared(x: Tensor) -> Tensor:
        return x.square()

    found = pi.restore(
        Restorer(pi.inverter(model), left), truth[:2].square(), through=squared, calibration=False
    )
    assert found.images.isfinite().all()
    from preimage.applications.posteriors import mixture

    problem = pi.inverter(model).problem(truth[:1], None, pi.Settings.of(through=squared))
    with pytest.raises(Unsupported, match="not linear"):
        mixture(problem, torch.zeros(1, 2, d), left, noise=torch.ones(1))
