"""Autoencoders: their range, their linear part at the start, their classes and their priors."""

import math

import pytest
import torch

from preimage.core import GaussianMixture, ImageSpec, InputError, Unsupported
from preimage.models import Autoencoder, AutoencoderConfig, build
from preimage.models.linear import LinearPart, reduction, soft_clip
from preimage.models.linear_start import optimal_linear_vae, principal_components
from preimage.nets import MLP, Conv, Patch, Progressive, Residual

DATA = ImageSpec(1, 8, 8)


def images(data=DATA, n=400, seed=0):
    """Smooth images well inside [−1, 1]."""
    g = torch.Generator().manual_seed(seed)
    coarse = 0.25 * torch.randn(n, data.channels, 3, 3, generator=g)
    size = (data.height, data.width)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").clamp(-0.85, 0.85)


def autoencoder(data=DATA, net=None, **options):
    torch.manual_seed(0)
    return Autoencoder(AutoencoderConfig(data, net or MLP((32,)), latent=4, **options)).eval()


def started(model, x, noise_variance=0.01):
    small = model.linear.reduce(x)
    components = principal_components(lambda: small.split(100), model.config.latent)
    optimum = optimal_linear_vae(
        components, model.config.latent, noise_variance=noise_variance / model.linear.factor**2
    )
    model.linear.start(optimum)
    return optimum


# --- the output function ---


def test_soft_clip_is_the_identity_inside_and_bounded_outside():
    u = torch.linspace(-3, 3, 6001, dtype=torch.float64)
    x = soft_clip(u)
    assert torch.equal(x[u.abs() <= 0.9], u[u.abs() <= 0.9])
    assert x.abs().max() < 1
    assert (x.diff() > 0).all()
    assert torch.allclose(x, -x.flip(0))


def test_soft_clip_has_a_continuous_gradient_that_never_ends():
    u = torch.tensor([0.0, 0.9 - 1e-6, 0.9 + 1e-6, 1.4, -2.0], dtype=torch.float64)
    u.requires_grad_(True)
    (slope,) = torch.autograd.grad(soft_clip(u).sum(), u)
    assert slope[:3].tolist() == pytest.approx([1, 1, 1], abs=1e-4)
    assert (slope > 0).all()
    assert slope[3].item() == pytest.approx(math.exp(-5), rel=1e-6)


@pytest.mark.parametrize("linear", [True, False])
def test_decoded_images_stay_in_range(linear):
    model = autoencoder(linear=linear)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    x = model.decode(100 * torch.randn(20, 4))
    assert x.abs().max() <= 1
    assert x.abs().max() > 0.99


# --- the linear part ---


@pytest.mark.parametrize("net", [MLP((32,)), Conv(8), Residual(8), Progressive(8)])
def test_at_the_start_it_is_the_optimal_linear_vae(net):
    x = images()
    model = autoencoder(net=net)
    optimum = started(model, x)
    q, expected = model.encode(x), optimum.encode(x)
    assert torch.allclose(q.mean, expected.mean, atol=1e-5)
    assert torch.allclose(q.log_variance, expected.log_variance, atol=1e-5)
    z = q.mean
    linear = optimum.decode(z).reshape(x.shape)
    assert torch.allclose(model.decode(z), soft_clip(linear), atol=1e-5)


def test_the_start_may_be_set_again():
    x, y = images(seed=0), images(seed=1)
    model = autoencoder()
    started(model, x)
    optimum = started(model, y)
    assert torch.allclose(model.encode(y).mean, optimum.encode(y).mean, atol=1e-5)


@pytest.mark.parametrize(
    ("data", "factor"),
    [
        (ImageSpec(1, 28, 28), 1),
        (ImageSpec(3, 32, 32), 1),
        (ImageSpec(3, 64, 64), 2),
        (ImageSpec(3, 256, 256), 8),
    ],
)
def test_large_images_are_reduced_to_at_most_3072_numbers(data, factor):
    assert reduction(data) == factor
    assert data.size // factor**2 <= 3072


@pytest.mark.parametrize("size", [(64, 64), (65, 65), (100, 75)])
def test_a_reduced_linear_part_still_explains_smooth_images(size):
    data = ImageSpec(3, *size)
    x = images(data, 100)
    model = autoencoder(data, linear=True)
    started(model, x, noise_variance=1e-4)
    decoded = model.decode(model.encode(x).mean)
    assert decoded.shape == x.shape
    coarser = (decoded - x).square().mean()
    assert coarser < 0.9 * (x - x.mean(0)).square().mean()  # four latents of 27
    part = LinearPart(data, 27)
    components = principal_components(lambda: part.reduce(x).split(50), 27)
    part.start(optimal_linear_vae(components, 27, noise_variance=1e-6))
    whole = (part.decode(part.encode(x)) - x).square().mean()
    assert whole < 0.01 * x.square().mean()


def test_parameters_are_shared_out_without_overlap():
    model = autoencoder(critic=Patch(8, depth=2))
    generator = {id(p) for p in model.generator_parameters()}
    critic = {id(p) for p in model.critic_net.parameters()}
    start = {id(p) for p in model.start_parameters()}
    everything = {id(p) for p in model.parameters()}
    assert not generator & critic
    assert not start & critic
    assert generator | critic | start < everything
    assert autoencoder(linear=False).start_parameters() == []


# --- kinds ---


def test_a_plain_autoencoder_encodes_to_points():
    model = autoencoder(variational=False)
    q = model.encode(images(n=5))
    assert q.std.max() < 1e-4
    assert q.mean.shape == (5, 4)


def test_the_log_variance_stays_where_exp_makes_sense():
    model = autoencoder()
    with torch.no_grad():
        model.linear.log_variance.copy_(torch.tensor([-1e3, 1e3, 0.0, 1.0]))
    assert model.encode(images(n=1)).log_variance.tolist() == [[-12.0, 6.0, 0.0, 1.0]]


def test_the_class_changes_what_is_drawn_and_what_is_seen():
    model = autoencoder(classes=("a", "b"))
    for parameter in (*model.head.parameters(), *model.decoder.parameters()):
        torch.nn.init.normal_(parameter, std=0.3)
    z, x = torch.randn(3, 4), images(n=3)
    a, b = torch.zeros(3, dtype=torch.long), torch.ones(3, dtype=torch.long)
    assert not torch.allclose(model.decode(z, a), model.decode(z, b), atol=1e-3)
    assert not torch.allclose(model.encode(x, a).mean, model.encode(x, b).mean, atol=1e-3)
    assert torch.equal(model.decode(z, a), model.decode(z, a))


def test_abilities_follow_from_the_config():
    plain, sharp = autoencoder(), autoencoder(critic=Patch(8, depth=2))
    assert plain.can("encode")
    assert plain.can("features")
    assert not plain.can("critic")
    assert sharp.can("critic")
    with pytest.raises(Unsupported):
        plain.critic(images(n=1))
    assert sharp.critic(images(n=3)).shape == (3,)


def test_a_fitted_mixture_becomes_the_default_prior():
    model = autoencoder(components=2)
    assert model.space.prior == "normal"
    g = torch.Generator().manual_seed(0)
    model.mixture.fit(7 + torch.randn(100, 4, generator=g), generator=g)
    assert model.space.prior == "mixture"
    assert model.space.sample(100).mean().item() == pytest.approx(7, abs=0.5)
    assert model.space.sample(100, prior="normal").mean().abs() < 0.5
    assert isinstance(model.space.priors["mixture"], GaussianMixture)


def test_only_nets_that_draw_can_make_an_autoencoder():
    with pytest.raises(InputError, match="critic"):
        autoencoder(net=Patch(8))


def test_build_makes_what_the_config_says():
    assert isinstance(build(AutoencoderConfig(DATA, MLP((8,)))), Autoencoder)
