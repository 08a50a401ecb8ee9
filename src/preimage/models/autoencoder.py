"""Autoencoders, variational and plain: an image to a latent and back.

Kingma & Welling 2014: maximise E_q[log p(x|z)] − KL(q(z|x) ‖ N(0, I)). Plain (Hinton &
Salakhutdinov 2006) is the same without the second term and without noise in z. Conditional (Sohn
et al. 2015) gives both halves the class. The likelihood belongs to training, not to the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import DataSpec, Gaussian, GaussianMixture, LatentModel, LatentSpace
from preimage.core.latent import StandardNormal
from preimage.models.critic import Critic
from preimage.models.linear import LinearPart, soft_clip
from preimage.nets import Net
from preimage.nets.blocks import zeroed

LOG_VARIANCE = (-12.0, 6.0)  # beyond these exp() is of no use to anyone
POINT = -20.0  # the log-variance of a plain autoencoder's Gaussian: a point, for all purposes


@dataclass(frozen=True)
class AutoencoderConfig:
    """What an autoencoder is made of."""

    data: DataSpec
    net: Net
    latent: int = 16
    variational: bool = True
    linear: bool = True  # a linear part, for the closed-form start
    classes: tuple[str, ...] = ()  # class names, if conditional
    components: int = 0  # of the mixture prior fitted to posterior means; none where 0
    critic: Net | None = None  # a discriminator, for sharpening


class Autoencoder(LatentModel):
    """x → q(z|x) → x̂, with a linear part beside the nets if the config has one."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.data = config.data
        self.classes = config.classes
        n, d = len(config.classes), config.latent
        self.encoder = config.net.encoder(config.data)
        outputs = 2 * d if config.variational else d
        self.head = nn.Linear(int(self.encoder.features) + n, outputs)  # type: ignore[arg-type]
        self.decoder = config.net.decoder(config.data, d + n)
        self.linear = LinearPart(config.data, d) if config.linear else None
        if config.linear:
            zeroed(self.head)
            zeroed(self.decoder.output)  # type: ignore[arg-type]
        self.mixture = GaussianMixture(config.components, d) if config.components else None
        self.critic_net = Critic(config.critic, config.data, n) if config.critic else None

    @property
    def spaces(self) -> dict[str, LatentSpace]:  # type: ignore[override]
        """`z`, with the prior N(0, I) and, once fitted, the mixture, which is then the default."""
        if self.mixture is not None and self.mixture.fitted:
            priors = {"normal": StandardNormal(), "mixture": self.mixture}
            return {"z": LatentSpace((self.config.latent,), priors, "mixture")}
        return {"z": LatentSpace((self.config.latent,))}

    def can(self, ability: str) -> bool:
        return self.critic_net is not None if ability == "critic" else super().can(ability)

    def with_class(self, h: Tensor, labels: Tensor | None) -> Tensor:
        """(B, F) → (B, F + classes): the class appended as one-hot; zeros where it is unknown."""
        n = len(self.classes)
        if not n:
            return h
        if labels is None:
            return F.pad(h, (0, n))
        return torch.cat([h, F.one_hot(labels, n).to(h.dtype)], 1)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Gaussian:
        out = self.head(self.with_class(self.encoder(x), labels)).float()
        if self.config.variational:
            mean, log_variance = out.chunk(2, 1)
        else:
            mean, log_variance = out, torch.full_like(out, POINT)
        if self.linear is not None:
            mean = mean + self.linear.encode(x)
            if self.config.variational:
                log_variance = log_variance + self.linear.log_variance
        if self.config.variational:
            log_variance = log_variance.clamp(*LOG_VARIANCE)
        return Gaussian(mean, log_variance)

    def decode(
        self, z: Tensor, labels: Tensor | None = None, *, space: str | None = None
    ) -> Tensor:
        self.named_space(space)
        u = self.decoder(self.with_class(z, labels)).float()
        if self.linear is None:
            return u.tanh()
        return soft_clip(u + self.linear.decode(z))

    def features(self, x: Tensor) -> Tensor:
        return self.encoder(x).float()

    def critic(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.critic_net is None:
            return super().critic(x, labels)
        return self.critic_net(x, labels)

    def generator_parameters(self) -> list[nn.Parameter]:
        """What draws the image: the decoder, and the linear part's."""
        linear = [] if self.linear is None else list(self.linear.decoder.parameters())
        return [*self.decoder.parameters(), *linear]

    def start_parameters(self) -> list[nn.Parameter]:
        """What the closed-form start has set, or has set to zero: trained at a lower rate."""
        if self.linear is None:
            return []
        zero = [*self.head.parameters(), *self.decoder.output.parameters()]  # type: ignore[union-attr]
        return [*self.linear.parameters(), *zero]
