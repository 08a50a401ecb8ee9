"""Autoencoders, variational and plain: an image to a latent and back.

Kingma & Welling 2014: maximise E_q[log p(x|z)] − KL(q(z|x) ‖ N(0, I)). Plain (Hinton &
Salakhutdinov 2006) is the same without the second term and without noise in z. Conditional (Sohn
et al. 2015) gives both halves the class. The likelihood belongs to training, not to the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import (
    DataSpec,
    Gaussian,
    GaussianMixture,
    InputError,
    LatentModel,
    LatentSpace,
)
from preimage.core.latent import StandardNormal
from preimage.models.axes import PrincipalAxes
from preimage.models.critic import Critic
from preimage.models.linear import LinearPart, soft_clip
from preimage.nets import MLP, Gated, Net
from preimage.nets.blocks import zeroed
from preimage.nets.gated import GatedEncoder

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
    axes: int = 0  # principal axes along which the nets see images; 0: they see pixels
    gated: bool = False  # the nets multiply the linear part as well as add to it
    classes: tuple[str, ...] = ()  # class names, if conditional
    components: int = 0  # of the mixture prior fitted to posterior means; none where 0
    critic: Net | None = None  # a discriminator, for sharpening


class Autoencoder(LatentModel):
    """x → q(z|x) → x̂, with a linear part beside the nets if the config has one.

    Between `encode` and the nets, and between the nets and `decode`, stand the principal axes, if
    the config has any: `posterior` and `raw` work on what the nets see.
    """

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.data = config.data
        self.classes = config.classes
        n, d = len(config.classes), config.latent
        if config.gated and not isinstance(config.net, Gated):
            raise InputError("gated=True needs the net 'Gated', whose hidden units gates can read")
        if config.axes and not isinstance(config.net, Gated | MLP):
            raise InputError(f"axes={config.axes} needs a fully connected net: 'Gated' or 'MLP'")
        if not config.linear and (config.axes or config.gated):
            what = "gated=True" if config.gated else f"axes={config.axes}"
            raise InputError(f"{what} rests on the linear part; leave linear on")
        self.axes = PrincipalAxes(config.data, config.axes) if config.axes else None
        seen = config.data if self.axes is None else self.axes.coordinates
        self.encoder = config.net.encoder(seen)
        outputs = 2 * d if config.variational else d
        self.head = nn.Linear(int(self.encoder.features) + n, outputs)  # type: ignore[arg-type]
        self.decoder = config.net.decoder(seen, d + n)
        self.linear = LinearPart(seen, d) if config.linear else None
        if config.linear:
            zeroed(self.head)
            zeroed(self.decoder.output)  # type: ignore[arg-type]
        self.gates = Gates(self.encoder, self.decoder, d) if config.gated else None
        if self.linear is not None and config.gated:
            self.linear.requires_grad_(False)  # it is optimal, and the gates do the rest
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
        return self.posterior(x if self.axes is None else self.axes.coefficients(x), labels)

    def posterior(self, y: Tensor, labels: Tensor | None = None) -> Gaussian:
        """q(z|x), from images or, where the model has axes, their coefficients (B, K)."""
        h = self.encoder(y if self.axes is None else self.axes.standardised(y))
        out = self.head(self.with_class(h, labels)).float()
        if self.config.variational:
            mean, log_variance = out.chunk(2, 1)
        else:
            mean, log_variance = out, torch.full_like(out, POINT)
        if self.linear is not None:
            linear = self.linear.encode(y)
            mean = mean + (linear if self.gates is None else self.gates.encoding(h) * linear)
            if self.config.variational:
                log_variance = log_variance + self.linear.log_variance
        if self.config.variational:
            log_variance = log_variance.clamp(*LOG_VARIANCE)
        return Gaussian(mean, log_variance)

    def decode(
        self, z: Tensor, labels: Tensor | None = None, *, space: str | None = None
    ) -> Tensor:
        self.check_space(space)
        u = self.raw(z, labels)
        if self.axes is not None:
            u = self.axes.images(u)
        return u.tanh() if self.linear is None else soft_clip(u)

    def raw(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images before they are clipped or, where the model has axes, their coefficients."""
        inputs = self.with_class(z, labels)
        if self.gates is None:
            u = self.decoder(inputs).float()
        else:
            h = self.decoder.hidden(inputs)  # type: ignore[operator]
            u = self.decoder.drawn(h).float()  # type: ignore[operator]
            z = z * self.gates.decoding(h)
        return u if self.linear is None else u + self.linear.decode(z)

    def features(self, x: Tensor) -> Tensor:
        if self.axes is not None:
            x = self.axes.standardised(self.axes.coefficients(x))
        return self.encoder(x).float()

    def critic(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.critic_net is None:
            return super().critic(x, labels)
        return self.critic_net(x, labels)

    def generator_parameters(self) -> list[nn.Parameter]:
        """What draws the image: the decoder, and the linear part's."""
        linear = [] if self.linear is None else list(self.linear.decoder.parameters())
        gate = [] if self.gates is None else list(self.gates.decoder.parameters())
        return [*self.decoder.parameters(), *linear, *gate]

    def start_parameters(self) -> list[nn.Parameter]:
        """What the closed-form start has set, or has set to zero: trained at a lower rate."""
        if self.linear is None:
            return []
        zero = [*self.head.parameters(), *self.decoder.output.parameters()]  # type: ignore[union-attr]
        gates = [] if self.gates is None else list(self.gates.parameters())
        return [*self.linear.parameters(), *zero, *gates]

    @torch.no_grad()
    def start_contrast(self, x: Tensor, variance: float = 0.1) -> bool:
        """Let the last latent carry the contrast of images (B, C, H, W), if it is free to.

        It is free where the linear part has collapsed it. What gates multiply by depends on the
        contrast most of all, so a latent that already knows it saves them finding it.
        """
        free = self.linear is not None and not self.linear.decoder.weight[:, -1].any()
        if self.axes is None or not isinstance(self.encoder, GatedEncoder) or not free:
            return False
        self.encoder.standardise_contrast(self.axes.standardised(self.axes.coefficients(x)))
        last, contrast = self.config.latent - 1, self.encoder.features - 1
        self.head.weight[last, contrast] = (1 - variance) ** 0.5
        if self.config.variational:
            self.head.bias[self.config.latent + last] = math.log(variance)
        return True


class Gates(nn.Module):
    """Factors on the linear part's latents, read off the nets' hidden units; all 1 at first."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, d: int, bound: float = 1.5):
        super().__init__()
        self.encoder = zeroed(nn.Linear(int(encoder.hidden_units), d))  # type: ignore[arg-type]
        self.decoder = zeroed(nn.Linear(int(decoder.hidden_units), d))  # type: ignore[arg-type]
        self.bound = bound  # on the logarithm of a factor: unbounded ones blow up

    def encoding(self, h: Tensor) -> Tensor:
        return self._factor(self.encoder(h[:, : self.encoder.in_features]))

    def decoding(self, h: Tensor) -> Tensor:
        return self._factor(self.decoder(h[:, : self.decoder.in_features]))

    def _factor(self, u: Tensor) -> Tensor:
        return (self.bound * torch.tanh(u.float() / self.bound)).exp()
