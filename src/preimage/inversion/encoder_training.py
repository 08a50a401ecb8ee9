"""Training a learned encoder on generated pairs and on real images at once.

Of a generated pair the latent is known: ‖E(G(z)) − z‖². Of a real image only the image is: its
error under G(E(x)), and the distance of features and the critic's opinion where the generator has
them (f-AnoGAN's izi_f: Schlegl et al. 2019, equation 5). Every pass of the refinement has its loss,
and starts from where the pass before it came to, detached (Alaluf et al. 2021, §3.2). The slope
that a pass is told is the gradient of the loss of the one before it: a step goes forward and
backward through the generator once a pass. Pairs are drawn afresh for each step: a fixed set is
learned by heart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import InputError, LatentModel, seeds
from preimage.core.words import counted
from preimage.data import Dataset
from preimage.inversion.closed_form import centre, drawn_labels, start_in_closed_form
from preimage.inversion.encoder import EncodedModel, Guess, slope_of
from preimage.training.likelihood import heldout_batches, image_batch
from preimage.training.losses import non_saturating_generator
from preimage.training.stage import Batch, Context, Player, Stage, Update

JUDGED = 128  # images by which the closed-form start is judged
VALIDATED = 512  # held-out images by which weights are
STAND_INS = 2048  # generated images, where there are no real ones

LEAST = {"steps": 1, "batch_size": 1, "pairs": 2}  # of options; of the others below, 0
WEIGHTS = ("latent", "image", "features", "adversarial")
OTHERS = ("warmup", "final", "clip", "noise", "shift", "start_rate")


@dataclass(frozen=True, kw_only=True)
class Encoding(Stage):
    """Options of training an encoder. Each loss is a share: 1 is what the centre would have."""

    steps: int = 1000
    batch_size: int = 128  # real images, and as many generated ones
    learning_rate: float = 3e-3
    ema: float = 0.998
    clip: float = 1.0
    latent: float = 0.02  # weight of ‖E(G(z)) − z‖², of generated images
    image: float = 1.0  # weight of ‖G(E(x)) − x‖², of real ones and generated ones
    features: float = 0.02  # weight of the distance of features, of real ones, at the last pass
    adversarial: float = 0.002  # weight of −log D(G(E(x))), likewise
    noise: float = 0.02  # largest standard deviation of noise on what the encoder sees
    shift: int = 1  # real images are moved by up to so many pixels
    pairs: int = 8192  # generated for the closed-form start
    start_rate: float = 0.1  # on the learning rate of what the closed-form start has set

    def __post_init__(self) -> None:
        """Raises InputError for a value that nothing can be trained with."""
        super().__post_init__()
        for name, least in {**LEAST, **dict.fromkeys((*WEIGHTS, *OTHERS), 0)}.items():
            self._require(name, getattr(self, name) >= least, f"{least} or more")
        self._require("learning_rate", self.learning_rate > 0, "more than 0")
        for name, shares in {"ema": (self.ema,), "betas": self.betas}.items():
            possible = all(isinstance(share, int | float) and 0 <= share < 1 for share in shares)
            self._require(name, possible, "0 or more, and less than 1")

    def _require(self, name: str, possible: bool, mend: str) -> None:
        if not possible:
            raise InputError(f"{name}={getattr(self, name)} is not possible; give {mend}")

    def method(self, model: LatentModel, context: Context) -> EncoderMethod:
        if not isinstance(model, EncodedModel):
            raise InputError("training an encoder needs a generator with an encoder beside it")
        return EncoderMethod(self, model, context)


@dataclass(frozen=True)
class Pair:
    """What a step is about: images, real ones first, and latents of those that were generated."""

    x: Tensor  # (B, C, H, W)
    seen: Tensor  # (B, C, H, W): x as the encoder sees it
    labels: Tensor | None  # (B,)
    z: Tensor  # (G, *latent) of the last G images
    real: int  # how many were not generated


class EncoderMethod:
    """One player, the encoder."""

    metric = "heldout_objective"

    def __init__(self, config: Encoding, model: EncodedModel, context: Context):
        self.config, self.model, self.context = config, model, context
        self.image_scale, self.feature_scale = 1.0, 1.0
        self.use_critic = bool(config.adversarial) and model.can("critic")
        self.use_features = bool(config.features) and model.can("features")
        self._scaled = False

    def players(self) -> dict[str, Player]:
        encoder = self.model.encoder
        slow = [*encoder.first.parameters()]
        slow += [] if encoder.again is None else [*encoder.again.parameters()]
        slow += [] if encoder.descent is None else [encoder.descent.basis, encoder.descent.momentum]
        held = {id(p) for p in slow}
        quick = [p for p in encoder.parameters() if id(p) not in held]
        groups = [(quick, 1.0), (slow, self.config.start_rate)]
        return {"encoder": Player(groups, self.config.clip)}

    def begin(self) -> tuple[str, ...]:
        """Start the linear part where closed forms can bring it."""
        judged = next(heldout_batches(self.context, JUDGED))
        labels = judged.labels if self.model.conditional else None
        centre(self.model, seed=self.context.seed)
        start_in_closed_form(
            self.model, judged.x, labels, pairs=self.config.pairs, seed=self.context.seed
        )
        return ("started from the ridge regression of latents on generated images",)

    @torch.no_grad()
    def measure_scales(self) -> None:
        """What the losses are shares of: the variance of generated images, and of features."""
        if self._scaled:
            return
        x = torch.cat(list(self.model.sample_batches(JUDGED, seed=self.context.seed)))
        x = x.to(self.context.device)
        self.image_scale = x.var(0).mean().clamp_min(1e-6).item()
        if self.use_features:
            self.feature_scale = self.model.features(x).var(0).mean().clamp_min(1e-6).item()
        self._scaled = True

    def batch(self, indices: np.ndarray, mirrored: Tensor | None = None) -> Batch:
        return image_batch(self.context, indices, mirrored)

    def updates(self, batch: Batch, *, step: int) -> Iterator[Update]:
        self.measure_scales()
        encoder, pair = self.model.encoder, self.pair(batch)
        with self.context.autocast():
            guess = encoder.start(len(pair.seen), pair.labels)
            look, metrics = encoder.look(pair.seen, guess, pair.labels), dict[str, Tensor]()
            loss = pair.seen.new_zeros(())
            if pair.labels is not None:
                loss = loss + F.cross_entropy(self.logits(pair), pair.labels)
            for left in reversed(range(encoder.config.refinements)):
                if not (guess.first or encoder.config.slope):
                    look = encoder.look(pair.seen, guess, pair.labels)
                z = encoder(look, guess)
                of_pass, guess, metrics = self.loss(pair, z, guess, last=left == 0)
                loss = loss + of_pass
        yield Update("encoder", loss, {**metrics, "loss": loss.detach()})

    def pair(self, batch: Batch) -> Pair:
        """Real images, and as many generated ones."""
        n = len(batch.x)
        z = self.model.space.draw(n).to(self.context.device)
        labels = drawn_labels(self.model, n)
        with torch.no_grad(), self.context.autocast():
            made = self.model.decode(z, labels).float()
        x = torch.cat([shifted(batch.x, self.config.shift), made])
        if labels is not None and batch.labels is not None:
            labels = torch.cat([batch.labels, labels])
        return Pair(x, noisy(x, self.config.noise), labels, z, n)

    def loss(
        self, pair: Pair, z: Tensor, guess: Guess, *, last: bool
    ) -> tuple[Tensor, Guess, dict[str, Tensor]]:
        """The loss () of a pass that found z, what the next one is told, and parts of the loss."""
        config, n, at = self.config, pair.real, z.detach().requires_grad_()
        x̂ = self.model.draw(at, pair.labels)
        error = (x̂ - pair.seen).square().flatten(1).mean(1) / self.image_scale
        off = (z[n:] - pair.z).flatten(1) / self.model.encoder.scale
        latent = off.square().mean()
        drawn = config.image * error.mean()
        if last:
            drawn = drawn + self._looks(pair, x̂[:n])
        told = self.model.encoder.config.slope and not last
        slope = slope_of(x̂, at, pair.seen) if told else None
        gradient = torch.zeros_like(at)
        if slope is not None:
            gradient = slope * (-2 * config.image / (error.numel() * x̂[0].numel()))
            gradient = gradient / self.image_scale
        elif drawn.requires_grad:
            (gradient,) = torch.autograd.grad(drawn, at)
        # Its value is that of `drawn`, and so is its gradient in z.
        loss = drawn.detach() + (gradient * (z - at.detach())).sum() + config.latent * latent
        metrics = {"error": error[:n].detach().mean(), "latent_error": latent.detach()}
        return loss, guess.followed(at, x̂, slope), metrics

    def _looks(self, pair: Pair, x̂: Tensor) -> Tensor:
        """The losses of features and by the critic, of what real images became."""
        config, n, loss = self.config, pair.real, x̂.new_zeros(())
        if self.use_features:
            distance = self.model.features(x̂) - self.model.features(pair.x[:n]).detach()
            loss = loss + config.features * distance.square().mean() / self.feature_scale
        if self.use_critic:
            known = None if pair.labels is None else pair.labels[:n]
            score = self.model.critic(x̂, known)
            loss = loss + config.adversarial * non_saturating_generator(score, score)
        return loss

    def logits(self, pair: Pair) -> Tensor:
        return self.model.encoder.class_logits(pair.seen)

    @torch.no_grad()
    def validate(self, model: LatentModel) -> tuple[dict[str, float], tuple[str, ...]]:
        """The mean squared error of held-out images after the last pass, and after the first."""
        assert isinstance(model, EncodedModel)
        self.measure_scales()
        first, last, found, count = 0.0, 0.0, 0.0, 0
        for batch in islice(heldout_batches(self.context, JUDGED), VALIDATED // JUDGED):
            labels = batch.labels if model.conditional else None
            with self.context.autocast():
                passes = list(model.passes(batch.x, labels))
                errors = [
                    (model.decode(z, labels).float() - batch.x).square().flatten(1).mean(1).sum()
                    for z in (passes[0], passes[-1])
                ]
                if labels is not None:
                    found += float((model.classify(batch.x) == labels).sum())
            first, last = first + errors[0].item(), last + errors[1].item()
            count += len(batch.x)
        figures = {"heldout_loss": last / count, "heldout_first_pass": first / count}
        objective = figures["heldout_loss"] / self.image_scale
        if model.conditional:
            figures["heldout_accuracy"] = found / count
            objective += 1 - found / count
        return {**figures, "heldout_objective": objective}, ()

    def finish(self, model: LatentModel) -> None:
        """Nothing."""


def shifted(x: Tensor, reach: int) -> Tensor:
    """Each image moved by up to `reach` pixels either way, its border repeated."""
    if not reach or x.dim() != 4:
        return x
    _, _, h, w = x.shape
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    down, right = torch.randint(2 * reach + 1, (2, len(x))).tolist()
    moved = [p[:, i : i + h, j : j + w] for p, i, j in zip(padded, down, right, strict=True)]
    return torch.stack(moved)


def noisy(x: Tensor, most: float) -> Tensor:
    """With noise of a strength of each image's own, in 256 steps as pictures have.

    It is all that may be done to a generated image: moved or mirrored, it has another latent.
    """
    strength = most * torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device)
    x = (x + strength * torch.randn_like(x)).clamp(-1, 1)
    return ((x + 1) * 127.5).round() / 127.5 - 1


def stand_ins(model: LatentModel, *, name: str, fingerprint: str, seed: int) -> Dataset:
    """Generated images where real ones would be, as a data set of 8-bit images."""
    x = model.sample(STAND_INS, seed=seeds.derive(seed, "stand-ins"))
    order, heldout = np.arange(STAND_INS), STAND_INS // 8
    labels = model.labels_for(STAND_INS)
    return Dataset(
        name=name,
        source=name,
        spec=model.data,
        images=((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy(),
        names=[f"{i:05d}" for i in order],
        hashes=order.astype(np.uint64),
        train=order[heldout:],
        heldout=order[:heldout],
        fingerprint=fingerprint,
        labels=None if labels is None else labels.cpu().numpy(),
        classes=model.classes,
        notes=(f"{counted(STAND_INS, 'generated image')} stand in for real ones",),
    )


def frozen(model: LatentModel) -> LatentModel:
    """The model in evaluation mode, none of its parameters asking for a gradient."""
    nn.Module.requires_grad_(model, False)
    return model.eval()
