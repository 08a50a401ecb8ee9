"""Adversarial training: a critic learns to tell, a generator to be taken for real.

The same method trains a GAN from scratch and fine-tunes the decoder of an autoencoder whose prior
has been fitted (its encoder then stays as it is).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError, LatentModel
from preimage.metrics.features import RandomFeatures, extract
from preimage.metrics.frechet import Moments, frechet_distance
from preimage.models import GAN, Autoencoder
from preimage.training import losses
from preimage.training.augment import AUGMENTATIONS, augment
from preimage.training.collapse import collapse_warning, diversity, relative_diversity
from preimage.training.likelihood import check_heldout, heldout_batches, image_batch
from preimage.training.stage import Batch, Context, Player, Stage, Update

VALIDATION_SAMPLES = 1024


@dataclass(frozen=True, kw_only=True)
class Adversarial(Stage):
    """Options of adversarial training; `learning_rate` is the generator's."""

    scatter: ClassVar[float] = 0.1

    loss: str = "relativistic"  # a key of losses.ADVERSARIAL
    critic_rate: float = 2e-4  # the critic's learning rate
    critic_steps: int = 1  # updates of the critic for each of the generator
    r1: float = 0.0  # weight γ/2 of the squared slope at real images
    r2: float = 0.0  # and at fakes
    lipschitz: float = 0.0  # weight λ of WGAN's gradient penalty
    lazy: int = 1  # penalties every so many steps, with as many times the weight
    augment: tuple[str, ...] = ()  # of reals and fakes, by name: see augment.py
    reconstruction: float = 0.0  # weight of the squared error, where there is an encoder
    betas: tuple[float, float] = (0.0, 0.99)
    ema: float = 0.998

    def method(self, model: LatentModel, context: Context) -> AdversarialMethod:
        if not isinstance(model, GAN | Autoencoder) or model.critic_net is None:
            raise InputError("adversarial training needs a model with a critic")
        if self.loss not in losses.ADVERSARIAL:
            known = ", ".join(losses.ADVERSARIAL)
            raise InputError(f"no adversarial loss '{self.loss}'; choose from: {known}")
        if unknown := set(self.augment) - AUGMENTATIONS.keys():
            known = ", ".join(AUGMENTATIONS)
            raise InputError(f"no augmentation '{unknown.pop()}'; choose from: {known}")
        check_heldout(context)
        return AdversarialMethod(self, model, context)


class AdversarialMethod:
    """Two players: `critic` and `generator`."""

    metric = "frechet"  # on features of a random net: for comparison within a run only

    def __init__(self, config: Adversarial, model: GAN | Autoencoder, context: Context):
        assert model.critic_net is not None
        self.config, self.model, self.context = config, model, context
        self.critic = model.critic_net
        self.critic_loss, self.generator_loss = losses.ADVERSARIAL[config.loss]
        self.growing = [net for net in model.modules() if hasattr(net, "grow")]
        self._reference: tuple[RandomFeatures, Moments, float] | None = None

    def players(self) -> dict[str, Player]:
        config, model = self.config, self.model
        factor = config.critic_rate / config.learning_rate
        return {
            "critic": Player([(list(self.critic.parameters()), factor)], config.clip),
            "generator": Player([(model.generator_parameters(), 1.0)], config.clip),
        }

    def begin(self) -> tuple[str, ...]:
        return ()

    def batch(self, indices: np.ndarray, mirrored: Tensor | None = None) -> Batch:
        return image_batch(self.context, indices, mirrored)

    def fakes(self, n: int, labels: Tensor | None) -> Tensor:
        """Generated images (n, C, H, W) from latents of the prior."""
        z = self.model.space.draw(n).to(self.context.device)
        with self.context.autocast():
            return self.model.decode(z, labels)

    def logits(self, x: Tensor, labels: Tensor | None) -> Tensor:
        with self.context.autocast():
            return self.critic.logits(augment(x, self.config.augment), labels)

    def updates(self, batch: Batch, *, step: int) -> Iterator[Update]:
        for net in self.growing:
            net.grow(step / max(self.config.steps, 1))  # type: ignore[operator]
        labels = batch.labels if self.model.conditional else None
        penalise = step % self.config.lazy == 0
        self.critic.requires_grad_(True)
        for _ in range(self.config.critic_steps):
            yield self.critic_update(batch.x, labels, penalise)
        self.critic.requires_grad_(False)
        yield self.generator_update(batch, labels)
        self.critic.requires_grad_(True)

    def critic_update(self, real: Tensor, labels: Tensor | None, penalise: bool) -> Update:
        config = self.config
        with torch.no_grad():
            fake = self.fakes(len(real), labels)
        sloped = penalise and bool(config.r1 or config.r2)
        if sloped:
            real, fake = real.clone().requires_grad_(True), fake.requires_grad_(True)
        # each alone: what looks at a whole batch must not see reals and fakes together
        on_real, on_fake = self.logits(real, labels), self.logits(fake, labels)
        loss = adversarial = self.critic_loss(on_real, on_fake)
        if sloped and config.r1:
            loss = loss + config.lazy * config.r1 * losses.squared_slope(on_real, real).mean()
        if sloped and config.r2:
            loss = loss + config.lazy * config.r2 * losses.squared_slope(on_fake, fake).mean()
        if penalise and config.lipschitz:
            between = losses.interpolates(real, fake).detach().requires_grad_(True)
            penalty = losses.lipschitz_penalty(self.logits(between, labels), between).mean()
            loss = loss + config.lazy * config.lipschitz * penalty
        metrics = {"critic_loss": adversarial.detach(), "critic_real": on_real.detach().mean()}
        return Update("critic", loss, {**metrics, "critic_fake": on_fake.detach().mean()})

    def generator_update(self, batch: Batch, labels: Tensor | None) -> Update:
        on_fake = self.logits(self.fakes(len(batch.x), labels), labels)
        on_real = on_fake.detach()  # not looked at, but by these losses:
        if self.config.loss in losses.RELATIVISTIC:
            with torch.no_grad():
                on_real = self.logits(batch.x, labels)
        loss = adversarial = self.generator_loss(on_real, on_fake)
        metrics = {"generator_loss": adversarial.detach()}
        if self.config.reconstruction:
            error = self.reconstruction_error(batch)
            loss = loss + self.config.reconstruction * error
            metrics["squared_error"] = error.detach()
        return Update("generator", loss, metrics)

    def reconstruction_error(self, batch: Batch) -> Tensor:
        """‖G(E(x)) − x‖², with the encoder held: ()."""
        with self.context.autocast():
            with torch.no_grad():
                z = self.model.encode(batch.x, batch.labels).mean
            x̂ = self.model.decode(z, batch.labels)
        return losses.squared_error(x̂, batch.x).mean()

    def reference(self) -> tuple[RandomFeatures, Moments, float]:
        """The feature net, and moments and diversity of held-out images under it."""
        if self._reference is None:
            net = RandomFeatures(self.model.data.channels).to(self.context.device)
            found = extract(net, (batch.x for batch in heldout_batches(self.context)))
            self._reference = net, Moments(found), diversity(found)
        return self._reference

    @torch.no_grad()
    def validate(self, model: LatentModel) -> tuple[dict[str, float], tuple[str, ...]]:
        net, moments, real_diversity = self.reference()
        batches = model.sample_batches(VALIDATION_SAMPLES, seed=self.context.seed)
        found = extract(net, (x.to(self.context.device) for x in batches))
        spread = relative_diversity(diversity(found), real_diversity)
        figures = {"frechet": frechet_distance(Moments(found), moments), "diversity": spread}
        return figures, collapse_warning(spread)

    def finish(self, model: LatentModel) -> None:
        """Nothing: the best weights stay at the resolution they were found best at."""
