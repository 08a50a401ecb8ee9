"""What training ought to find on data whose truth is known."""

import math

import numpy as np
import pytest
import torch

from preimage.data import from_arrays
from preimage.models import AutoencoderConfig, GANConfig, build
from preimage.models.linear_start import optimal_linear_vae, principal_components
from preimage.nets import MLP
from preimage.training.adversarial import Adversarial
from preimage.training.likelihood import Likelihood
from preimage.training.losses import hoyer_sparsity
from preimage.training.trainer import Trainer

SIGMA = 0.1


def gaussian_images(n=2000, rank=3, seed=0):
    """8×8 images from a Gaussian of `rank` large variances, of noise SIGMA."""
    g = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(64, rank, generator=g)).Q
    z = torch.randn(n, rank, generator=g) * torch.linspace(1.2, 0.6, rank)
    x = (z @ directions.T + SIGMA * torch.randn(n, 64, generator=g)).clamp(-0.95, 0.95)
    pixels = ((x + 1) * 127.5).round().byte().reshape(n, 1, 8, 8)
    return from_arrays(pixels.numpy(), name="gaussian", range=None)


def closed_form_loss(data, latent):
    """The smallest −ELBO of a linear VAE on the held-out images, as the training reports it."""
    train = data.batch(data.train).flatten(1)
    components = principal_components(lambda: train.split(500), latent)
    optimum = optimal_linear_vae(components, latent, noise_variance=SIGMA**2)
    W = optimum.components.basis * optimum.decoder_scale
    covariance = W @ W.T + SIGMA**2 * torch.eye(64)
    marginal = torch.distributions.MultivariateNormal(components.mean, covariance)
    nll = -marginal.log_prob(data.batch(data.heldout).flatten(1)).mean().item()
    return nll - 32 * math.log(2 * math.pi * SIGMA**2)


def trained(model, data, stage, validations=4):
    trainer = Trainer(
        model, data, (stage,), device="cpu", precision="fp32", validations=validations
    )
    return trainer, [step for step in trainer if step.previews]


def fresh(config):
    torch.manual_seed(0)
    return build(config)


def test_a_vae_begins_at_the_closed_form_loss_and_training_does_not_make_it_worse():
    data = gaussian_images()
    model = fresh(AutoencoderConfig(data.spec, MLP((32,)), latent=5))
    stage = Likelihood(
        steps=200, batch_size=128, likelihood="gaussian", sigma=SIGMA, learning_rate=5e-4, ema=0.99
    )
    _, steps = trained(model, data, stage)
    losses = [step.metrics["heldout_loss"] for step in steps[:-1]]
    assert losses[0] == pytest.approx(closed_form_loss(data, 5), abs=0.5)
    assert losses[-1] < losses[0] + 0.2


@pytest.mark.slow
def test_a_vae_without_the_start_finds_its_way_to_the_closed_form():
    data = gaussian_images()
    model = fresh(AutoencoderConfig(data.spec, MLP((64,)), latent=5, linear=False))
    stage = Likelihood(
        steps=3000, batch_size=128, likelihood="gaussian", sigma=SIGMA, learning_rate=3e-3
    )
    _, steps = trained(model, data, stage)
    first, last = steps[0].metrics["heldout_loss"], steps[-2].metrics["heldout_loss"]
    target = closed_form_loss(data, 5)
    assert first > 5 * target
    assert last == pytest.approx(target, rel=0.05)  # from above: tanh is not linear


def eight_patterns(n=1600, noise=8):
    """8×8 images, one of eight patterns each, with a little noise; and the patterns."""
    numbers = np.random.default_rng(0)
    patterns = np.where(numbers.random((8, 1, 8, 8)) < 0.5, 40, 215)
    k = numbers.integers(0, 8, n)
    images = (patterns[k] + noise * numbers.standard_normal((n, 1, 8, 8))).clip(0, 255)
    return from_arrays(images.astype(np.uint8), k, name="patterns"), patterns / 127.5 - 1


@pytest.mark.slow
def test_a_relativistic_gan_with_both_penalties_covers_every_mode():
    data, patterns = eight_patterns()
    net = MLP((128, 64))
    model = fresh(GANConfig(data.spec, net, net, latent=8))
    stage = Adversarial(
        steps=2500, batch_size=64, learning_rate=1e-3, critic_rate=1e-3, r1=0.1, r2=0.1, final=0.1
    )
    trainer, _ = trained(model, data, stage, validations=2)
    x = trainer.average.sample(800).flatten(1)
    distances = torch.cdist(x, torch.from_numpy(patterns).float().flatten(1))
    near = distances.min(1).values < 3.0  # patterns are about 11 apart
    shares = torch.bincount(distances.argmin(1)[near], minlength=8) / len(x)
    assert near.float().mean() > 0.7
    assert shares.min() > 0.01


def test_a_generator_that_draws_one_image_is_warned_about():
    data, _ = eight_patterns(400)
    net = MLP((16,))
    model = fresh(GANConfig(data.spec, net, net, latent=4))
    torch.nn.init.zeros_(model.generator.output.weight)
    stage = Adversarial(steps=1, batch_size=16, learning_rate=1e-9, critic_rate=1e-9)
    _, steps = trained(model, data, stage, validations=1)
    assert steps[0].metrics["diversity"] < 0.01
    assert any("collapsing" in note for note in steps[0].notes)


@pytest.mark.slow
def test_a_sparse_autoencoder_is_sparser_and_still_reconstructs():
    data, _ = eight_patterns(600)
    errors, activity = {}, {}
    for sparsity in (0.0, 10.0):
        model = fresh(AutoencoderConfig(data.spec, MLP((64,)), latent=16, variational=False))
        stage = Likelihood(
            steps=400, batch_size=64, likelihood="gaussian", sparsity=sparsity, ema=0.9
        )
        trainer, _ = trained(model, data, stage)
        x = data.batch(data.heldout)
        with torch.no_grad():
            z = trainer.average.encode(x).mean
            errors[sparsity] = (trainer.average.decode(z) - x).square().mean().item()
            activity[sparsity] = hoyer_sparsity(z).mean().item()
    assert activity[10.0] < 0.8 * activity[0.0]
    assert errors[10.0] < 0.1 * x.var().item()


def bright_and_dark(n=600):
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 2, n)
    images = 60 + 120 * labels[:, None, None] + 15 * numbers.standard_normal((n, 8, 8))
    return from_arrays(images.clip(0, 255).astype(np.uint8), labels, classes=("dark", "bright"))


def class_means(trainer, data):
    drawn = [trainer.average.sample(200, label=k).mean().item() for k in (0, 1)]
    real = [data.batch(np.flatnonzero(data.labels == k)).mean().item() for k in (0, 1)]
    return drawn, real


@pytest.mark.slow
def test_a_conditional_vae_draws_the_class_it_is_told():
    data = bright_and_dark()
    config = AutoencoderConfig(data.spec, MLP((32,)), latent=2, classes=data.classes)
    stage = Likelihood(steps=600, batch_size=64, likelihood="gaussian", learning_rate=3e-3)
    drawn, real = class_means(trained(fresh(config), data, stage)[0], data)
    assert drawn == pytest.approx(real, abs=0.12)


@pytest.mark.slow
def test_a_conditional_gan_draws_the_class_it_is_told():
    data = bright_and_dark()
    net = MLP((32,))
    config = GANConfig(data.spec, net, net, latent=4, classes=data.classes)
    stage = Adversarial(steps=500, batch_size=32, r1=0.1, r2=0.1, critic_rate=1e-3, ema=0.98)
    drawn, real = class_means(trained(fresh(config), data, stage, validations=2)[0], data)
    assert drawn == pytest.approx(real, abs=0.12)
