"""Generative adversarial networks: a generator and the critic it learns from.

Goodfellow et al. 2014. Every variant (DCGAN, conditional, Wasserstein, relativistic, progressive)
is this family with other nets and another objective; the objective belongs to training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import DataSpec, InputError, LatentModel, LatentSpace
from preimage.core.latent import Prior, Sphere, StandardNormal, Uniform
from preimage.models.critic import Critic
from preimage.nets import Net

PRIORS: dict[str, type[Prior]] = {
    "normal": StandardNormal,
    "sphere": Sphere,
    "uniform": Uniform,
}


@dataclass(frozen=True)
class GANConfig:
    """What a GAN is made of."""

    data: DataSpec
    generator: Net
    critic: Net
    latent: int = 64
    prior: str = "normal"  # or "sphere", "uniform"
    classes: tuple[str, ...] = ()  # class names, if conditional


class GAN(LatentModel):
    """z → image; the critic stays with the model, for scores and for features."""

    def __init__(self, config: GANConfig):
        super().__init__()
        if config.prior not in PRIORS:
            raise InputError(f"no prior '{config.prior}'; choose from: {', '.join(PRIORS)}")
        self.config = config
        self.data = config.data
        self.classes = config.classes
        space = LatentSpace((config.latent,), {config.prior: PRIORS[config.prior]()}, config.prior)
        self.spaces = {"z": space}
        n = len(config.classes)
        self.generator = config.generator.decoder(config.data, config.latent + n)
        self.critic_net = Critic(config.critic, config.data, n)

    def decode(
        self, z: Tensor, labels: Tensor | None = None, *, space: str | None = None
    ) -> Tensor:
        self.check_space(space)
        if self.classes:
            if labels is None:
                raise InputError("this model is conditional; give a class label for each latent")
            z = torch.cat([z, F.one_hot(labels, len(self.classes)).to(z.dtype)], 1)
        return self.generator(z).float().tanh()

    def critic(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.critic_net(x, labels)

    def features(self, x: Tensor) -> Tensor:
        return self.critic_net.features(x)

    def generator_parameters(self) -> list[nn.Parameter]:
        return list(self.generator.parameters())
