"""Sharper autoencoders: likelihood, plus a patch critic and its features.

Larsen et al. 2016 measure reconstructions in the critic's features; Esser et al. 2021 add a patch
critic on reconstructions. Both terms join the ELBO here after it has been trained alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from preimage.core import InputError, LatentModel
from preimage.metrics.features import RandomFeatures
from preimage.metrics.frechet import Moments, frechet_distance
from preimage.models import Autoencoder
from preimage.training import losses
from preimage.training.likelihood import (
    Likelihood,
    LikelihoodMethod,
    check_heldout,
    heldout_batches,
    image_batch,
)
from preimage.training.stage import Batch, Context, Player, Update


@dataclass(frozen=True, kw_only=True)
class Sharpen(Likelihood):
    """Options of sharpening an autoencoder."""

    loss: str = "hinge"
    adversarial: float = 0.5  # weight of the critic's opinion, for each pixel
    feature: float = 1.0  # weight of the squared distance of critic features, for each pixel
    critic_rate: float = 3e-4
    r1: float = 0.0
    lazy: int = 4
    betas: tuple[float, float] = (0.5, 0.99)

    def method(self, model: LatentModel, context: Context) -> SharpenMethod:
        if not isinstance(model, Autoencoder) or model.critic_net is None:
            raise InputError("sharpening needs an autoencoder with a critic")
        if not model.config.variational:
            raise InputError("sharpening needs a variational autoencoder; leave variational on")
        if self.loss not in losses.ADVERSARIAL:
            known = ", ".join(losses.ADVERSARIAL)
            raise InputError(f"no adversarial loss '{self.loss}'; choose from: {known}")
        check_heldout(context)
        super().method(model, context)  # has checks of its own
        return SharpenMethod(self, model, context)


class SharpenMethod(LikelihoodMethod):
    """Two players: `critic` and `autoencoder`."""

    metric = "frechet"  # of reconstructions, on features of a random net
    config: Sharpen

    def __init__(self, config: Sharpen, model: Autoencoder, context: Context):
        super().__init__(config, model, context)
        assert model.critic_net is not None
        self.critic = model.critic_net
        self.critic_loss, self.generator_loss = losses.ADVERSARIAL[config.loss]

    def players(self) -> dict[str, Player]:
        factor = self.config.critic_rate / self.config.learning_rate
        critic = Player([(list(self.critic.parameters()), factor)], self.config.clip)
        return {"critic": critic, **super().players()}

    def batch(self, indices: np.ndarray, mirrored: torch.Tensor | None = None) -> Batch:
        return image_batch(self.context, indices, mirrored)

    def begin(self) -> tuple[str, ...]:
        return ()  # the stage before it has begun from the closed form

    def updates(self, batch: Batch, *, step: int) -> Iterator[Update]:
        model, x, D = self.model, batch.x, batch.x[0].numel()
        labels = batch.labels if model.conditional else None
        with self.context.autocast():
            q = model.encode(x, batch.labels)
            x̂ = model.decode(q.sample(), batch.labels)

        self.critic.requires_grad_(True)
        yield self.critic_update(x, x̂.detach(), labels, penalise=step % self.config.lazy == 0)
        self.critic.requires_grad_(False)

        nll, kl = self.nll(x̂, x).mean(), q.kl().mean()
        with self.context.autocast():
            fake = self.critic.maps(x̂)
            on_fake = self.critic.judge(fake, labels)
            with torch.no_grad():
                real = self.critic.maps(x)
                on_real = self.critic.judge(real, labels)
            feature = (fake - real).float().square().mean()
        opinion = self.generator_loss(on_real, on_fake)
        loss = nll + self.config.beta * kl
        loss = loss + D * (self.config.adversarial * opinion + self.config.feature * feature)
        parts = {"nll": nll, "kl": kl, "opinion": opinion, "feature": feature}
        yield Update("autoencoder", loss, {name: part.detach() for name, part in parts.items()})
        self.critic.requires_grad_(True)

    @torch.no_grad()
    def validate(self, model: LatentModel) -> tuple[dict[str, float], tuple[str, ...]]:
        """The likelihood's figures, and how far reconstructions are from images as a set."""
        figures, notes = super().validate(model)
        net = RandomFeatures(model.data.channels).to(self.context.device)
        real, fake = Moments(), Moments()
        for batch in heldout_batches(self.context):
            mean = model.encode(batch.x, batch.labels).mean
            real.update(net(batch.x))
            fake.update(net(model.decode(mean, batch.labels)))
        return {**figures, "frechet": frechet_distance(real, fake)}, notes

    def critic_update(
        self, real: torch.Tensor, fake: torch.Tensor, labels: torch.Tensor | None, *, penalise: bool
    ) -> Update:
        if penalise and self.config.r1:
            real = real.clone().requires_grad_(True)
        with self.context.autocast():
            on_real = self.critic.logits(real, labels)
            on_fake = self.critic.logits(fake, labels)
        loss = adversarial = self.critic_loss(on_real, on_fake)
        if penalise and self.config.r1:
            slope = losses.squared_slope(on_real, real).mean()
            loss = loss + self.config.lazy * self.config.r1 * slope
        return Update("critic", loss, {"critic_loss": adversarial.detach()})
