"""Learned encoders: a net beside a generator that says which latent an image has.

Iterative refinement (ReStyle: Alaluf et al. 2021, equation 3): the net sees the image and what
the latent found so far decodes to, and says how the latent should change,

    z ← z + E([x; G(z)]),        z₀ the centre of the latent space.

Beside the net stands a linear map of x − G(z), known in closed form; the net begins at zero, so
that training starts where the linear map ends. With `slope` the later passes are also told
Jᵀ(x − G(z)), the direction in which the squared error falls, as in learned gradient descent (Adler
& Öktem 2017, "Solving ill-posed inverse problems using iterative deep neural networks", algorithm
1), at the price of a step backward through the generator each. The linear map is then the average
Gauss–Newton step with a heavy ball's momentum (Polyak 1964): Δ = P Jᵀ(x − G(z)) + β Δ_before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import DataSpec, Gaussian, InputError, LatentModel, LatentSpace, Unsupported
from preimage.models.autoencoder import POINT
from preimage.models.linear import reduction
from preimage.nets import Net
from preimage.nets.blocks import he_linear, leaky, zeroed
from preimage.training.precision import bfloat16


@dataclass(frozen=True)
class EncoderConfig:
    """What a learned encoder is made of."""

    data: DataSpec  # of the generator's images
    net: Net
    latent: tuple[int, ...]  # shape of the generator's latents
    classes: tuple[str, ...] = ()  # of a conditional generator
    refinements: int = 5  # passes; the first starts from the centre, and decodes nothing
    slope: bool = True  # whether a pass is told the slope of the squared error
    hidden: int = 256  # units that see it beside the net's features

    def __post_init__(self) -> None:
        if self.refinements < 1:
            raise InputError(f"--refinements {self.refinements} encodes nothing; give at least 1")


@dataclass(frozen=True)
class Guess:
    """What is known of some images before a pass."""

    z: Tensor  # (B, *latent)
    x̂: Tensor  # (B, C, H, W): G(z)
    slope: Tensor | None = None  # (B, *latent): Jᵀ(x − x̂), where the encoder asks for it
    change: Tensor | None = None  # (B, *latent): by which the pass before this one moved z
    first: bool = False  # whether z is but the centre


class Encoder(nn.Module):
    """One pass: an image, its reconstruction so far and the latent → a better latent."""

    centre: Tensor  # (d,): where the first pass starts
    scale: Tensor  # (d,): standard deviations of latents; the net thinks in these units
    central: Tensor  # (max(classes, 1), C, H, W): what the centre decodes to
    slope_scale: Tensor  # (): the usual size of a slope

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        data, d, n = config.data, prod(config.latent), len(config.classes)
        both = DataSpec(data.kind, (2 * data.shape[0], *data.shape[1:]))
        self.net = config.net.encoder(both)
        features = int(self.net.features)  # type: ignore[arg-type]
        self.class_head = zeroed(nn.Linear(features, n)) if n else None
        features += n
        self.hidden = he_linear(features + 2 * d, config.hidden) if config.slope else None
        self.head = zeroed(nn.Linear(config.hidden if config.slope else features, d))
        self.factor = reduction(data)
        size = self.reduced(torch.zeros(1, *data.shape)).shape[1]
        self.first = zeroed(nn.Linear(size, d))
        self.again = zeroed(nn.Linear(d if config.slope else size, d))
        self.momentum = nn.Parameter(torch.zeros(())) if config.slope else None  # β
        self.register_buffer("centre", torch.zeros(d))
        self.register_buffer("scale", torch.ones(d))
        self.register_buffer("slope_scale", torch.ones(()))
        self.register_buffer("central", torch.zeros(max(n, 1), *data.shape))

    def start(self, n: int, labels: Tensor | None) -> Guess:
        """The centre of the space, for n images; where the class is not known, the mean of all."""
        z = self.centre.reshape(1, *self.config.latent).expand(n, *self.config.latent)
        if labels is None:
            x̂ = self.central.mean(0, keepdim=True).expand(n, *self.config.data.shape)
        else:
            x̂ = self.central[labels]
        return Guess(z, x̂, first=True)

    def forward(self, x: Tensor, guess: Guess, labels: Tensor | None) -> Tensor:
        """z + E([x; x̂]): images (B, C, H, W) and what is known so far → latents (B, *latent)."""
        h = self.net(torch.cat([x, guess.x̂], 1))
        if self.config.classes:
            known = F.one_hot(cast(Tensor, labels), len(self.config.classes))
            h = torch.cat([h, known.to(h.dtype)], 1)
        if self.hidden is not None:
            u = (guess.z.flatten(1) - self.centre) / self.scale
            slope = torch.zeros_like(u) if guess.first else self.scaled_slope(guess)
            h = leaky(self.hidden(torch.cat([h.float(), u, slope], 1)))
        Δ = self.head(h).float() + self.linear(x, guess)
        return guess.z + (Δ * self.scale).reshape(guess.z.shape)

    def linear(self, x: Tensor, guess: Guess) -> Tensor:
        """The linear part of the change, in units of the scale: (B, d)."""
        if guess.first or guess.slope is None:
            layer = self.first if guess.first else self.again
            return layer(self.reduced(x - guess.x̂)).float()
        Δ = self.again(self.scaled_slope(guess)).float()
        if guess.change is not None and self.momentum is not None:
            Δ = Δ + self.momentum * guess.change.flatten(1) / self.scale
        return Δ

    def scaled_slope(self, guess: Guess) -> Tensor:
        """(B, d), of a size near 1."""
        assert guess.slope is not None
        return guess.slope.flatten(1) * self.scale / self.slope_scale

    def reduced(self, residual: Tensor) -> Tensor:
        """What the linear regression sees of x − x̂: (B, D), large images at a lower resolution."""
        if self.factor > 1:
            residual = F.avg_pool2d(residual, self.factor)
        return residual.flatten(1)

    def class_logits(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, classes), of a conditional generator's encoder."""
        assert self.class_head is not None
        return self.class_head(self.net(torch.cat([x, self.start(len(x), None).x̂], 1))).float()


class EncodedModel(LatentModel):
    """A generator with a learned encoder beside it: now it can `encode`, whatever it is.

    The generator is held, and not trained, and no part of `state_dict`.
    """

    def __init__(self, generator: LatentModel, encoder: Encoder):
        super().__init__()
        self._generator = (generator,)  # in a tuple, so that it is no submodule
        self.encoder = encoder
        self.data, self.classes = generator.data, generator.classes
        fits = (generator.data.shape, generator.space.shape, generator.classes)
        config = encoder.config
        if fits != (config.data.shape, config.latent, config.classes):
            raise InputError(
                f"the encoder is of a generator of {config.data} and latents {config.latent}, "
                f"this one is of {generator.data} and {generator.space.shape}"
            )

    @property
    def generator(self) -> LatentModel:
        return self._generator[0]

    @property
    def spaces(self) -> dict[str, LatentSpace]:  # type: ignore[override]
        return self.generator.spaces

    def _apply(self, fn: Any, recurse: bool = True) -> EncodedModel:
        self.generator._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def can(self, ability: str) -> bool:
        return ability == "encode" or self.generator.can(ability)

    def decode(
        self, z: Tensor, labels: Tensor | None = None, *, space: str | None = None
    ) -> Tensor:
        return self.generator.decode(z, labels, space=space)

    def critic(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.generator.critic(x, labels)

    def features(self, x: Tensor) -> Tensor:
        return self.generator.features(x)

    def passes(
        self, x: Tensor, labels: Tensor | None = None, *, refinements: int | None = None
    ) -> Iterator[Tensor]:
        """The latents (B, *shape) after each pass; the class is found where it is not given."""
        if self.classes and labels is None:
            labels = self.classify(x)
        z, guess = x, self.encoder.start(len(x), labels)
        for k in range(refinements or self.encoder.config.refinements):
            if k > 0:
                guess = self.after(guess, z, x, labels)
            z = self.encoder(x, guess, labels)
            yield z

    def after(self, guess: Guess, z: Tensor, x: Tensor, labels: Tensor | None) -> Guess:
        """What the pass after this guess is told, having found z: detached."""
        z = z.detach()
        if not self.encoder.config.slope:
            with torch.no_grad():
                return Guess(z, self.decode(z, labels).float())
        change = None if guess.first else z - guess.z
        with torch.enable_grad():
            z = z.requires_grad_()
            x̂ = self.decode(z, labels).float()
            if not x̂.requires_grad:
                raise Unsupported("the generator gives no gradient; train with --no-slope")
            (slope,) = torch.autograd.grad(x̂, z, x - x̂.detach())
        return Guess(z.detach(), x̂.detach(), slope, change)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Gaussian:
        """Images (B, C, H, W) → a point each, as a Gaussian of next to no variance."""
        *_, z = self.passes(x, labels)
        return Gaussian(z, torch.full_like(z, POINT))

    def classify(self, x: Tensor) -> Tensor:
        """The class (B,) of images (B, C, H, W): what to give a conditional generator.

        Raises InputError where the generator has no classes.
        """
        if not self.classes:
            raise InputError("this model was trained without classes; there are none to find")
        return self.encoder.class_logits(x).argmax(1)

    @torch.no_grad()
    def latents(
        self,
        x: Tensor,
        labels: Tensor | None = None,
        *,
        refinements: int | None = None,
        batch_size: int = 512,
        precision: str = "auto",
    ) -> Tensor:
        """The quick way: latents (N, *shape) of images (N, C, H, W) in [−1, 1], on the CPU.

        refinements: passes; unset, as many as it was trained for. 1 is quickest.
        precision: "bf16", "fp32", or "auto" for what is quick on this machine.
        """
        device, found = self.device, []
        with autocast(precision, device), _frozen(self.generator):
            for first in range(0, len(x), batch_size):
                part = x[first : first + batch_size].to(device)
                part = part.contiguous(memory_format=_layout(part))
                known = None if labels is None else labels[first : first + batch_size].to(device)
                *_, z = self.passes(part, known, refinements=refinements)
                found.append(z.float().cpu())
        return torch.cat(found) if found else torch.empty(0, *self.space.shape)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where it is asked for, or quick."""
    if not bfloat16(precision, device):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


@contextmanager
def _frozen(model: LatentModel) -> Iterator[None]:
    """Within it no parameter asks for a gradient: what is not computed takes no time."""
    asking = [p for p in model.parameters() if p.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.dim() == 4 else torch.contiguous_format
