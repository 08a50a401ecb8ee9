"""Bounds of the likelihood where it is known: the linear Gaussian model."""

import math

import pytest
import torch
from scipy.special import ndtr
from torch import nn

import preimage as pi
from preimage.evaluation.likelihood import Observed, evidence, fitted_sigma
from preimage.metrics.likelihood import bits_per_dimension, importance_bound
from preimage.metrics.measure import Measure
from preimage.training import losses

D, d, SIGMA = 6, 2, 0.4
GAUSSIAN = Observed("gaussian", SIGMA, levels=None)


class Linear(nn.Module):
    """x = W z + b + σ ε, with the exact posterior, or one moved and widened."""

    def __init__(self, *, off: float = 0.0):
        super().__init__()
        numbers = torch.Generator().manual_seed(0)
        self.W = nn.Parameter(torch.randn(D, d, generator=numbers, dtype=torch.float64))
        self.b = nn.Parameter(torch.randn(D, generator=numbers, dtype=torch.float64))
        self.off = off

    def forward(self, z):
        return z @ self.W.T + self.b

    def posterior(self, x):
        # Its covariance is diagonal where W's columns are orthogonal.
        M = self.W.T @ self.W / SIGMA**2 + torch.eye(d, dtype=torch.float64)
        mean = (x.flatten(1) - self.b) @ self.W @ torch.linalg.inv(M) / SIGMA**2
        log_variance = -M.diagonal().log().expand(len(x), -1)
        return mean + self.off, log_variance + self.off


def model(*, off=0.0):
    linear = Linear(off=off)
    with torch.no_grad():
        w = linear.W[:, 0]
        linear.W[:, 1] -= w * (w @ linear.W[:, 1]) / w.norm() ** 2
    return Vae(linear), linear


class Vae(pi.LatentModel):
    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.data, self.spaces = pi.DataSpec("vector", (D,)), {"z": pi.LatentSpace((d,))}

    def decode(self, z, labels=None, *, space=None):
        return self.linear(z)

    def encode(self, x, labels=None):
        return pi.Gaussian(*self.linear.posterior(x))


def data(linear, n=200):
    numbers = torch.Generator().manual_seed(1)
    z, ε = (torch.randn(n, k, generator=numbers, dtype=torch.float64) for k in (d, D))
    return (linear(z) + SIGMA * ε).detach()


def exact(linear, x):
    Σ = linear.W @ linear.W.T + SIGMA**2 * torch.eye(D, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(linear.b, Σ).log_prob(x).detach()


def test_with_the_exact_posterior_both_bounds_are_the_likelihood():
    made, linear = model()
    x = data(linear)
    found = evidence(made, [(x, None)], GAUSSIAN, samples=3)
    for bound in found.each.T:
        torch.testing.assert_close(bound, exact(linear, x), rtol=1e-6, atol=1e-6)
    assert found.elbo_bits is None


def test_the_importance_bound_tightens_to_the_likelihood():
    made, linear = model(off=0.15)
    x = data(linear)
    truth = exact(linear, x).mean().item()
    means = [
        evidence(made, [(x, None)], GAUSSIAN, samples=k).importance.value for k in (1, 8, 64, 2000)
    ]
    assert means == sorted(means)
    assert means[0] < truth - 0.1
    assert means[-1] == pytest.approx(truth, abs=0.01)
    found = evidence(made, [(x, None)], GAUSSIAN, samples=64)
    assert (found.each[:, 0] <= found.each[:, 1]).all()
    kl = pi.Gaussian(*linear.posterior(x)).kl().mean().item()  # the bound in closed form
    q = pi.Gaussian(*linear.posterior(x))
    spread = (linear.W.square() * q.log_variance.exp()[:, None]).sum((1, 2)) / (2 * SIGMA**2)
    fit = GAUSSIAN.log_prob(linear(q.mean), x) - spread
    many = evidence(made, [(x, None)], GAUSSIAN, samples=3000).elbo
    assert many.value == pytest.approx((fit.mean() - kl).item(), abs=0.02)


def test_batches_do_not_matter():
    made, linear = model(off=0.15)
    x = data(linear, 30)
    whole = evidence(made, [(x, None)], GAUSSIAN, samples=5)
    parts = evidence(made, [(p, None) for p in x.split(7)], GAUSSIAN, samples=5, batch_size=10)
    torch.testing.assert_close(whole.each, parts.each, rtol=1e-12, atol=1e-12)


def test_the_probability_of_levels_is_the_integral_over_each():
    """A decoder that ignores z: log P = Σ log (Φ(right) − Φ(left)), in the limit of K."""

    class Blank(Vae):
        def __init__(self):
            super().__init__(Linear())

        def decode(self, z, labels=None, *, space=None):
            return 0 * z[:, :1] + torch.linspace(-0.5, 0.5, D, dtype=z.dtype)

        def encode(self, x, labels=None):
            return pi.Gaussian(torch.zeros(len(x), d), torch.zeros(len(x), d))

    σ, levels = 0.3, 5  # steps of ½
    x = torch.randint(0, levels, (40, D), generator=torch.Generator().manual_seed(0)) / 2 - 1
    observed = Observed("gaussian", σ, levels)
    m = torch.linspace(-0.5, 0.5, D)
    P = ndtr(((x + 0.25 - m) / σ).numpy()) - ndtr(((x - 0.25 - m) / σ).numpy())
    truth = torch.from_numpy(P).double().log().sum(1)
    found = evidence(Blank(), [(x, None)], observed, samples=4000)
    assert (found.each[:, 1] - truth).abs().max() < 0.35
    assert found.importance.value == pytest.approx(truth.mean().item(), abs=0.03)
    assert found.elbo.value < found.importance.value
    assert found.importance_bits.value == pytest.approx(
        -found.importance.value / (D * math.log(2)), rel=1e-12
    )


def test_grey_pixels_are_black_or_white_as_often_as_the_cross_entropy_means():
    x = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    observed = Observed("bernoulli")
    seen = observed.noisy(x, 20_000, seed=0, first=0)[0]
    assert set(seen.unique().tolist()) == {-1.0, 1.0}
    x̂ = (0.7 * x).expand(20_000, -1, -1, -1)
    expected = -losses.bernoulli_nll(0.7 * x, x).item()
    assert observed.log_prob(x̂, seen).mean().item() == pytest.approx(expected, abs=0.05)


def test_bits_of_a_fair_coin():
    found = bits_per_dimension(Measure(-10 * math.log(2), -11.0, -3.0, 5), 10)
    assert found.value == pytest.approx(1)
    assert found.low < found.value < found.high


def test_sigma_is_that_of_training_images():
    made, linear = model()
    x = data(linear, 4000)
    found = fitted_sigma(made, [(x, None)])
    # q is the exact posterior, so decoded draws miss x by σ and by their own spread.
    residual = (x - linear(linear.posterior(x)[0])).square().mean()
    spread = (linear.W.square() * linear.posterior(x)[1].exp()[0]).sum() / D
    assert found == pytest.approx((residual + spread).sqrt().item(), rel=0.02)
    halves = fitted_sigma(made, [(p, None) for p in x.split(999)])
    assert halves == pytest.approx(found, rel=1e-9)


def test_a_trained_model_is_measured_as_it_was_trained(tmp_path):
    images = pi.dataset("digits")
    out = tmp_path / "run"
    run = pi.train("digits", recipe="vae-mlp", steps=30, validations=1, out=out, device="cpu")
    trained = pi.load(run.path)
    x = images.batch(images.heldout[:100])
    found = evidence(trained, [(x, None)], Observed("bernoulli"), samples=16, prior="normal")
    q = trained.encode(x)
    nll = torch.stack([losses.bernoulli_nll(trained.decode(q.sample()), x) for _ in range(16)])
    expected = -(nll.mean(0) + q.kl()).mean().item()
    assert found.elbo.low < expected < found.elbo.high
    assert found.importance.value > found.elbo.value
    assert 0 < found.importance_bits.value < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: evidence(m, [], GAUSSIAN), "no images"),
        (lambda m, x: evidence(m, [(x, None)], GAUSSIAN, samples=0), "samples=0"),
        (lambda m, x: evidence(m, [(x * math.nan, None)], GAUSSIAN), "finite"),
        (lambda m, x: evidence(m, [(x, None)], GAUSSIAN, prior="mixture"), "no prior"),
        (lambda m, x: Observed("laplace"), "no likelihood 'laplace'"),
        (lambda m, x: Observed("gaussian", 0.0), "sigma=0"),
        (lambda m, x: fitted_sigma(m, []), "no training images"),
        (lambda m, x: importance_bound(torch.zeros(3)), "log-weights"),
    ],
)
def test_what_has_no_likelihood_is_refused(call, message):
    made, linear = model()
    with pytest.raises(pi.InputError, match=message):
        call(made, data(linear, 5))


def test_a_plain_autoencoder_has_none():
    from preimage.models import AutoencoderConfig, build
    from preimage.nets import MLP

    plain = build(AutoencoderConfig(pi.ImageSpec(1, 8, 8), MLP(), latent=2, variational=False))
    with pytest.raises(pi.Unsupported, match="only a variational"):
        evidence(plain.eval(), [(torch.zeros(2, 1, 8, 8), None)], Observed("gaussian"))
