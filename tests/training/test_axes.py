"""Training on principal coefficients is training on pixels, only quicker."""

import numpy as np
import pytest
import torch

from preimage.data import from_arrays
from preimage.models import AutoencoderConfig, build
from preimage.nets import Gated
from preimage.training.likelihood import Likelihood, image_batch
from preimage.training.trainer import Trainer


@pytest.fixture
def run():
    """A VAE on axes, begun, on smooth images well inside [−1, 1], and mirrored at random."""
    g = torch.Generator().manual_seed(0)
    coarse = 0.2 * torch.randn(300, 3, 3, 3, generator=g)
    x = torch.nn.functional.interpolate(coarse, size=8, mode="bilinear").clamp(-0.8, 0.8)
    data = from_arrays(((x + 1) * 127.5).round().byte().numpy())
    torch.manual_seed(0)
    config = AutoencoderConfig(data.spec, Gated(16), latent=8, axes=20, gated=True)
    stage = Likelihood(steps=4, batch_size=32, likelihood="gaussian", sigma=0.3, flip=True)
    trainer = Trainer(build(config), data, (stage,), device="cpu", precision="fp32")
    trainer.method.begin()
    trainer.model.eval()
    return trainer


def loss_of(run, batch):
    torch.manual_seed(7)  # the same noise in z
    return run.method.loss(run.model, batch)[0].item()


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_loss_on_coefficients_is_the_loss_on_pixels(run, mirrored):
    indices = run.data.train
    flips = torch.full((len(indices),), mirrored)
    on_coefficients = run.method.batch(indices, flips)
    on_pixels = image_batch(run.context, indices, flips)
    assert on_coefficients.x.shape == (len(indices), 20)
    assert on_pixels.x.shape == (len(indices), 3, 8, 8)
    # the part outside the axes is known as a mean over images and their mirror images
    assert loss_of(run, on_coefficients) == pytest.approx(loss_of(run, on_pixels), rel=2e-3)


def test_one_image_has_a_contrast_too():
    data = from_arrays(np.full((1, 8, 8), 99, np.uint8))
    config = AutoencoderConfig(data.spec, Gated(16), latent=8, axes=20, gated=True)
    stage = Likelihood(steps=4, batch_size=32, likelihood="gaussian")
    trainer = Trainer(build(config), data, (stage,), device="cpu", precision="fp32")
    trainer.method.begin()
    assert np.isfinite(trainer.advance()["loss"])


def test_images_survive_the_axes_but_for_what_is_outside(run):
    axes = run.model.axes
    x = run.data.batch(run.data.train)
    both = torch.cat([x, x.flip(-1)])
    error = (axes.images(axes.coefficients(both)) - both).square().flatten(1).sum(1).mean()
    assert error.item() == pytest.approx(axes.outside.item(), rel=0.02)
    assert torch.allclose(axes.basis.T @ axes.basis, torch.eye(20), atol=1e-4)


def test_mirroring_an_image_is_a_change_of_signs(run):
    axes, x = run.model.axes, run.data.batch(run.data.train[:10])
    assert set(axes.parity.tolist()) == {-1.0, 1.0}
    mirrored = axes.coefficients(x.flip(-1))
    assert torch.allclose(mirrored, axes.coefficients(x) * axes.parity, atol=1e-4)


def test_gates_begin_open_and_can_close(run):
    gates, h = run.model.gates, torch.randn(5, run.model.encoder.features)
    assert torch.equal(gates.encoding(h), torch.ones(5, 8))
    torch.nn.init.normal_(gates.encoder.weight, std=10)
    factors = gates.encoding(h)
    assert factors.min() >= np.exp(-1.5) - 1e-5
    assert factors.max() <= np.exp(1.5) + 1e-3
