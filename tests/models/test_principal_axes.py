"""A gated model on principal axes begins at the optimal linear VAE, its contrast latent aside."""

import pytest
import torch

from preimage.core import ImageSpec, InputError
from preimage.models import Autoencoder, AutoencoderConfig
from preimage.models.linear_start import optimal_linear_vae, principal_components
from preimage.nets import MLP, Conv, Gated

DATA = ImageSpec(2, 6, 6)


@pytest.fixture
def images():
    """Images far from ±1, so that clipping changes nothing."""
    g = torch.Generator().manual_seed(0)
    directions = torch.randn(10, DATA.size, generator=g)
    x = torch.randn(600, 10, generator=g) @ directions + torch.randn(600, DATA.size, generator=g)
    return (0.02 * x).reshape(-1, *DATA.shape)


@pytest.fixture
def components(images):
    return principal_components(lambda: images.split(200), 12, mirror=True)


@pytest.fixture
def model(components):
    torch.manual_seed(0)
    config = AutoencoderConfig(DATA, Gated(16), latent=8, axes=12, gated=True)
    model = Autoencoder(config).eval()
    model.axes.start(components)
    return model


def linear_vae(model, components, noise_variance=1e-3):
    optimum = optimal_linear_vae(components, 8, noise_variance=noise_variance)
    own = optimal_linear_vae(components.in_own_axes(), 8, noise_variance=noise_variance)
    model.linear.start(own)
    return optimum


def test_it_begins_as_the_optimal_linear_vae(model, components, images):
    optimum = linear_vae(model, components)
    q, expected = model.encode(images), optimum.encode(images)
    torch.testing.assert_close(q.mean, expected.mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(q.log_variance, expected.log_variance, rtol=0, atol=1e-4)
    decoded = optimum.decode(q.mean).reshape_as(images)
    torch.testing.assert_close(model.decode(q.mean), decoded, rtol=0, atol=1e-4)


def test_what_the_nets_see_is_all_there_is_between_encode_and_decode(model, components, images):
    linear_vae(model, components)
    torch.nn.init.normal_(model.head.weight, std=0.1)
    torch.nn.init.normal_(model.decoder.output.weight, std=0.01)
    for gate in (model.gates.encoder, model.gates.decoder):
        torch.nn.init.normal_(gate.weight, std=0.1)
    q, seen = model.encode(images), model.posterior(model.axes.coefficients(images))
    torch.testing.assert_close(q.mean, seen.mean)
    restored = model.axes.coefficients(model.decode(q.mean))
    torch.testing.assert_close(restored, model.raw(q.mean), rtol=0, atol=1e-4)


def test_a_free_latent_carries_the_contrast(model, components, images):
    linear_vae(model, components, noise_variance=components.eigenvalues[6].item())
    assert model.start_contrast(images)
    bright = torch.linspace(0.3, 3, 50).reshape(-1, 1, 1, 1) * images[:1]
    z = model.encode(bright).mean[:, -1]
    assert (z.diff() > 0).all()
    over_data = model.encode(images).mean[:, -1]
    assert abs(over_data.mean()) < 1e-3
    assert over_data.var().item() == pytest.approx(0.9, abs=0.01)


def test_a_latent_the_linear_part_uses_is_left_alone(model, components, images):
    linear_vae(model, components)
    assert not model.start_contrast(images)
    assert not model.head.weight.any()


@pytest.mark.parametrize("options", [{"gated": True}, {"axes": 12}])
def test_a_net_that_cannot_is_one_clear_line(options):
    with pytest.raises(InputError, match="Gated"):
        Autoencoder(AutoencoderConfig(ImageSpec(1, 8, 8), Conv(8), latent=4, **options))


@pytest.mark.parametrize("options", [{"gated": True}, {"axes": 12}])
def test_axes_and_gates_without_a_linear_part_are_one_clear_line(options):
    with pytest.raises(InputError, match="leave linear on"):
        Autoencoder(AutoencoderConfig(DATA, Gated(16), latent=8, linear=False, **options))


def test_gates_work_on_pixels_as_well(images):
    model = Autoencoder(AutoencoderConfig(DATA, Gated(16), latent=8, gated=True)).eval()
    assert model.decode(model.encode(images).mean).shape == images.shape


def test_any_fully_connected_net_can_see_along_axes(components, images):
    model = Autoencoder(AutoencoderConfig(DATA, MLP((16,)), latent=8, axes=12)).eval()
    model.axes.start(components)
    optimum = linear_vae(model, components)
    torch.testing.assert_close(model.encode(images).mean, optimum.encode(images).mean)
