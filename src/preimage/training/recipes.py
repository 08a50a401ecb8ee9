"""Recipes by name: a model and the stages that train it, fitted to the data at hand.

A recipe is a function of the data's shape and number; what it returns is a plan of frozen configs,
every field of which a person may replace (`customised`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise
from typing import Any

from preimage.core import DataSpec, InputError
from preimage.core.config import changed, from_json, unknown_option
from preimage.core.errors import nearest_name
from preimage.models import CONFIGS, AutoencoderConfig, GANConfig, ModelConfig
from preimage.nets import MLP, Conv, Gated, Patch, Progressive, Residual
from preimage.training.adversarial import Adversarial
from preimage.training.likelihood import Likelihood
from preimage.training.private import PrivateLikelihood
from preimage.training.sharpen import Sharpen
from preimage.training.stage import Stage


@dataclass(frozen=True)
class Plan:
    """A model and the stages that train it."""

    model: ModelConfig
    stages: tuple[Stage, ...]


TYPES: dict[str, type] = {
    **CONFIGS,
    **{config.__name__: config for config in (Plan, Likelihood, Adversarial, Sharpen)},
    "PrivateLikelihood": PrivateLikelihood,
}
"""Every dataclass that may stand in a saved plan."""


@dataclass(frozen=True)
class Facts:
    """What a recipe may look at."""

    data: DataSpec
    n: int  # images to train on
    classes: tuple[str, ...] = ()

    def steps(self, epochs: float, batch_size: int, least: int = 1000) -> int:
        """The steps of so many epochs, and no fewer than `least`."""
        return max(least, round(epochs * self.n / batch_size))

    def components(self, latent: int) -> int:
        """How many Gaussians the mixture prior has: one for each 5 d images, at most 300.

        Each has a covariance to learn; more of them fit the images they saw better, and others
        worse. Held-out likelihood was best near this number for 16 latents and for 48.
        """
        return max(1, min(300, self.n // (5 * latent)))

    @property
    def flip(self) -> bool:
        """Colour images are taken to look as natural mirrored; digits and letters are not."""
        return self.data.channels == 3


@dataclass(frozen=True)
class Recipe:
    """A named way to train."""

    summary: str
    source: str  # the paper it follows
    plan: Callable[[Facts], Plan]


def ae(facts: Facts) -> Plan:
    net = MLP((512,), blocks=1) if facts.data.size <= 1024 else Conv(32, norm=False, dense=256)
    model = AutoencoderConfig(
        facts.data,
        net,
        latent=16,
        variational=False,
        components=facts.components(16),
        linear=True,
    )
    stage = Likelihood(
        steps=facts.steps(20, 256), batch_size=256, likelihood="gaussian", flip=facts.flip
    )
    return Plan(model, (stage,))


def sparse_ae(facts: Facts) -> Plan:
    plan = ae(facts)
    (stage,) = plan.stages
    assert isinstance(stage, Likelihood)
    model = replace(plan.model, latent=64, components=facts.components(64))
    return Plan(model, (replace(stage, sparsity=2.0),))


def vae_mlp(facts: Facts) -> Plan:
    model = AutoencoderConfig(facts.data, MLP((400,)), latent=20)
    stage = Likelihood(
        steps=facts.steps(30, 128, least=2000), batch_size=128, likelihood="bernoulli"
    )
    return Plan(model, (stage,))


def vae_2d(facts: Facts) -> Plan:
    net = Conv(channels=(32, 64, 64, 64), strides=(1, 2, 1, 1), norm=False, dense=32)
    model = AutoencoderConfig(facts.data, net, latent=2)
    stage = Likelihood(steps=facts.steps(10, 128), batch_size=128, likelihood="bernoulli")
    return Plan(model, (stage,))


def vae_conv(facts: Facts) -> Plan:
    model = AutoencoderConfig(facts.data, Conv(32, dense=1024), latent=128)
    stage = Likelihood(
        steps=facts.steps(10, 128), batch_size=128, likelihood="gaussian", flip=facts.flip, clip=100
    )
    return Plan(model, (stage,))


def vae_pca(facts: Facts) -> Plan:
    axes = min(384, facts.data.size)
    model = AutoencoderConfig(facts.data, Gated(512), latent=128, axes=axes, gated=True)
    stage = Likelihood(
        steps=facts.steps(6, 512, least=300),
        batch_size=512,
        likelihood="gaussian",
        learning_rate=5e-3,
        betas=(0.9, 0.98),
        warmup=30,
        start_rate=0.3,
        decay="linear",
        final=0.0,
        clip=20,
        flip=facts.flip,
    )
    return Plan(model, (stage,))


def cvae(facts: Facts) -> Plan:
    plan = vae_mlp(facts)
    return Plan(replace(plan.model, classes=labelled(facts)), plan.stages)


def vae_gan(facts: Facts) -> Plan:
    grey = facts.data.size <= 1024
    net = MLP((512,), blocks=1) if grey else Residual(32, blocks=1, dense=512)
    critic = Conv(32, norm=False, dense=256)
    latent = 16 if grey else 48
    model = AutoencoderConfig(
        facts.data, net, latent=latent, components=facts.components(latent), critic=critic
    )
    # β is low since the mixture, not N(0, I), is what is sampled: sharper, and nearer to the image
    likelihood = Likelihood(
        steps=facts.steps(13, 256), batch_size=256, beta=0.1, start_rate=1.0, flip=facts.flip
    )
    batch_size = 256 if facts.n >= 10_000 else 128
    adversarial = Adversarial(
        steps=facts.steps(4, batch_size),
        batch_size=batch_size,
        learning_rate=3e-4,
        critic_rate=5e-4,
        r1=1.0,
        r2=1.0,
        lazy=4,
        final=0.1,
        flip=facts.flip,
    )
    return Plan(model, (likelihood, adversarial))


def vae_sharp(facts: Facts) -> Plan:
    net = Residual(32, widest=128, blocks=1, dense=512)
    model = AutoencoderConfig(
        facts.data, net, latent=64, components=facts.components(64), critic=Patch(32)
    )
    steps = facts.steps(8, 64)
    likelihood = Likelihood(steps=steps, batch_size=64, flip=facts.flip, clip=1000)
    sharpen = Sharpen(
        steps=steps // 2, batch_size=64, learning_rate=3e-4, flip=facts.flip, ema=0.99, clip=1000
    )
    return Plan(model, (likelihood, sharpen))


def gan_mlp(facts: Facts) -> Plan:
    model = GANConfig(facts.data, MLP((256, 128)), MLP((256, 128)), latent=100)
    stage = Adversarial(
        steps=facts.steps(30, 128),
        loss="non-saturating",
        learning_rate=2e-4,
        critic_rate=2e-4,
        betas=(0.5, 0.999),
        final=1.0,
        warmup=0,
    )
    return Plan(model, (stage,))


def dcgan(facts: Facts) -> Plan:
    net = Conv(32, norm=True, initial_std=0.02)
    model = GANConfig(facts.data, net, net, latent=100)
    stage = Adversarial(
        steps=facts.steps(10, 128),
        loss="non-saturating",
        learning_rate=2e-4,
        critic_rate=2e-4,
        betas=(0.5, 0.999),
        ema=0.0,  # as published: so early, an average of the weights lags behind them
        final=1.0,
        warmup=0,
        flip=facts.flip,
    )
    return Plan(model, (stage,))


def cgan(facts: Facts) -> Plan:
    plan = gan(facts)
    return Plan(replace(plan.model, classes=labelled(facts)), plan.stages)


def wgan_gp(facts: Facts) -> Plan:
    model = GANConfig(facts.data, Conv(32), Conv(32, norm=False), latent=100)
    stage = Adversarial(
        steps=facts.steps(10, 64),
        batch_size=64,
        loss="wasserstein",
        lipschitz=10.0,
        critic_steps=5,
        learning_rate=1e-4,
        critic_rate=1e-4,
        betas=(0.0, 0.9),
        final=1.0,
        warmup=0,
        flip=facts.flip,
    )
    return Plan(model, (stage,))


def progressive(facts: Facts) -> Plan:
    net = Progressive(16, widest=128)
    model = GANConfig(facts.data, net, net, latent=64, prior="sphere")
    stage = Adversarial(
        steps=facts.steps(10, 64),
        batch_size=64,
        learning_rate=1e-3,
        critic_rate=1e-3,
        r1=0.5,
        r2=0.5,
        lazy=4,
        final=0.1,
        flip=facts.flip,
    )
    return Plan(model, (stage,))


def gan(facts: Facts) -> Plan:
    small_data, small_images = facts.n < 10_000, facts.data.size <= 3 * 32 * 32
    if small_images:  # dense nets are quick, and so learn more in the same time
        generator = critic = MLP((512,), blocks=1)
    else:
        generator, critic = Residual(32, widest=128), Conv(32, norm=False, dense=256)
    rate, slope = (1e-3, 0.1) if small_images else (5e-4, 1.0)
    stage = Adversarial(
        steps=facts.steps(15, 128),
        learning_rate=rate,
        critic_rate=rate,
        r1=slope,
        r2=slope,
        lazy=4,
        final=0.1,
        flip=facts.flip,
        augment=("translation",) if small_data else (),
    )
    return Plan(GANConfig(facts.data, generator, critic, latent=64), (stage,))


RECIPES: dict[str, Recipe] = {
    "ae": Recipe("plain autoencoder", "Hinton & Salakhutdinov 2006", ae),
    "ae-sparse": Recipe("autoencoder with few active latents", "Hoyer 2004", sparse_ae),
    "vae-mlp": Recipe("fully connected VAE, 20 latents", "Kingma & Welling 2014", vae_mlp),
    "vae-2d": Recipe("VAE of 2 latents, for the manifold grid", "Kingma & Welling 2014", vae_2d),
    "vae-conv": Recipe("convolutional VAE, 128 latents", "Kingma & Welling 2014", vae_conv),
    "vae-pca": Recipe(
        "gated VAE on principal coefficients: `vae-conv`'s loss in seconds",
        "Lucas et al. 2019; Wainwright & Simoncelli 1999",
        vae_pca,
    ),
    "cvae": Recipe("VAE that is told the class", "Sohn et al. 2015", cvae),
    "vae-gan": Recipe(
        "the default: VAE, mixture prior, adversarial fine-tuning", "Larsen et al. 2016", vae_gan
    ),
    "vae-sharp": Recipe("VAE with a patch critic, for larger images", "Esser 2021", vae_sharp),
    "gan-mlp": Recipe("fully connected GAN", "Goodfellow et al. 2014", gan_mlp),
    "dcgan": Recipe("convolutional GAN with batch norm", "Radford et al. 2016", dcgan),
    "cgan": Recipe("GAN that is told the class", "Mirza & Osindero 2014", cgan),
    "wgan-gp": Recipe("Wasserstein GAN with gradient penalty", "Gulrajani et al. 2017", wgan_gp),
    "progressive": Recipe("GAN whose resolution grows", "Karras et al. 2018", progressive),
    "gan": Recipe("modern GAN: relativistic, R1 and R2", "Huang et al. 2024", gan),
}


def labelled(facts: Facts) -> tuple[str, ...]:
    """The classes a conditional recipe needs; raises InputError where there are none."""
    if not facts.classes:
        raise InputError(
            "a conditional recipe needs class labels: one subfolder for each class, or --labels"
        )
    return facts.classes


def named(name: str) -> Recipe:
    """The recipe of that name. Raises InputError where there is none."""
    if name not in RECIPES:
        raise InputError(f"no recipe '{name}'; {nearest_name(name, RECIPES)}")
    return RECIPES[name]


def plan(name: str, facts: Facts) -> Plan:
    """The plan of a recipe for this data. Raises InputError for an unknown name."""
    return named(name).plan(facts)


def chosen(facts: Facts) -> tuple[str, str]:
    """The recipe for someone who names none, and the reason, in a sentence."""
    if facts.n < 1000:
        return "vae-mlp" if facts.data.size <= 1024 else "vae-conv", (
            f"{facts.n} images are too few for adversarial training"
        )
    if max(facts.data.height, facts.data.width) > 32:
        return "vae-sharp", f"images of {facts.data} want a patch critic"
    return "vae-gan", f"{facts.n} small images: it samples, inverts and edits well"


def customised(plan: Plan, **options: Any) -> Plan:
    """The plan with options replaced, wherever the model or a stage has one of that name.

    Raises InputError for an option that neither has, and for a value it cannot have.
    """
    options = {name: _allowed(name, value) for name, value in options.items()}
    model, used = changed(plan.model, **options)
    stages = []
    for stage in plan.stages:
        stage, taken = changed(stage, **options)
        stages.append(stage)
        used |= taken
    if unused := options.keys() - used:
        known = {f.name for config in (plan.model, *plan.stages) for f in fields(config)}
        raise unknown_option(sorted(unused)[0], known - {"data", "net"})
    return Plan(model, tuple(stages))


POSITIVE = {"latent", "batch_size", "learning_rate", "critic_rate", "critic_steps", "lazy", "sigma"}
POSITIVE |= {"delta", "max_grad_norm", "noise_multiplier"}
SHARES = {"ema", "betas"}


def _allowed(name: str, value: Any) -> Any:
    """An option's value; JSON of a net becomes that net."""
    if isinstance(value, dict):
        return from_json(value, TYPES)
    shares = value if isinstance(value, list | tuple) else [value]
    if name in SHARES and not all(isinstance(n, int | float) and 0 <= n < 1 for n in shares):
        raise InputError(f"{name}={value} is not possible; give 0 or more, and less than 1")
    if isinstance(value, int | float) and (value < 0 or (value == 0 and name in POSITIVE)):
        least = "more than 0" if name in POSITIVE else "0 or more"
        raise InputError(f"{name}={value} is not possible; give {least}")
    return value


def scaled(plan: Plan, *, steps: int) -> Plan:
    """The plan with its stages shortened or lengthened in proportion, to `steps` in all."""
    total = max(sum(stage.steps for stage in plan.stages), 1)
    ends = [round(end * steps / total) for end in accumulate(stage.steps for stage in plan.stages)]
    lengths = [max(1, end - begin) for begin, end in pairwise([0, *ends])]
    stages = zip(plan.stages, lengths, strict=True)
    return Plan(plan.model, tuple(replace(stage, steps=n) for stage, n in stages))
