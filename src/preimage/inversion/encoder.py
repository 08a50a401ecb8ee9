"""Learned encoders: a net beside a generator that says which latent an image has.

Iterative refinement (ReStyle: Alaluf et al. 2021, equation 3): after the first pass, which starts
from the centre z₀ of the latent space, each is told what the latent found so far decodes to, and
says how the latent should change,

    z ← z + E([x; G(z)]).

With `slope` the net sees the image once. The later passes are told Jᵀ(x − G(z)) instead, the
direction in which the squared error falls, as in learned gradient descent (Adler & Öktem 2017,
"Solving ill-posed inverse problems using iterative deep neural networks", algorithm 1), at the
price of a step backward through the generator each. The change is the average Gauss–Newton step
with a heavy ball's momentum (Polyak 1964) and what a small net adds, which knows the image too:

    Δ = W (Wᵀ Jᵀ(x − G(z)) + a) + β Δ_before,        (W Wᵀ)⁻¹ the average JᵀJ.

The linear parts are known in closed form; the nets begin at zero, so that training starts where
these end.
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
from preimage.inversion.graph.compiled import Compiled, compiled
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
    hidden: int = 512  # units that see it beside the net's features

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

    def followed(self, z: Tensor, x̂: Tensor, slope: Tensor | None = None) -> Guess:
        """What is known when z has been found and drawn: detached."""
        change = None if self.first else (z - self.z).detach()
        return Guess(z.detach(), x̂.detach(), slope, change)


@dataclass(frozen=True)
class Look:
    """What an encoder sees of some images."""

    x: Tensor  # (B, C, H, W)
    features: Tensor  # (B, F)
    by_descent: Tensor | None  # (B, hidden): of them, what the later passes go by with the slope


class Encoder(nn.Module):
    """One pass: an image and what is known of it so far → a better latent."""

    centre: Tensor  # (d,): where the first pass starts
    scale: Tensor  # (d,): standard deviations of latents; the net thinks in these units
    central: Tensor  # (max(classes, 1), C, H, W): what the centre decodes to

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        data, d, n = config.data, prod(config.latent), len(config.classes)
        both = DataSpec(data.kind, (2 * data.shape[0], *data.shape[1:]))
        self.net = config.net.encoder(data if config.slope else both)
        features = int(self.net.features)  # type: ignore[arg-type]
        self.class_head = zeroed(nn.Linear(features, n)) if n else None
        features += n
        self.head = zeroed(nn.Linear(features, d))
        self.factor = reduction(data)
        size = self.reduced(torch.zeros(1, *data.shape)).shape[1]
        self.first = zeroed(nn.Linear(size, d))
        self.again = None if config.slope else zeroed(nn.Linear(size, d))
        self.descent = Descent(features, d, config.hidden) if config.slope else None
        self.register_buffer("centre", torch.zeros(d))
        self.register_buffer("scale", torch.ones(d))
        self.register_buffer("central", torch.zeros(max(n, 1), *data.shape))

    def start(self, n: int, labels: Tensor | None) -> Guess:
        """The centre of the space, for n images; where the class is not known, the mean of all."""
        z = self.centre.reshape(1, *self.config.latent).expand(n, *self.config.latent)
        if labels is None:
            x̂ = self.central.mean(0, keepdim=True).expand(n, *self.config.data.shape)
        else:
            x̂ = self.central[labels]
        return Guess(z, x̂, first=True)

    def look(self, x: Tensor, guess: Guess, labels: Tensor | None) -> Look:
        """What is seen of images (B, C, H, W), and of G(z) where there is no slope."""
        h = self.net(x if self.config.slope else torch.cat([x, guess.x̂], 1))
        if self.config.classes:
            known = F.one_hot(cast(Tensor, labels), len(self.config.classes))
            h = torch.cat([h, known.to(h.dtype)], 1)
        return Look(x, h, None if self.descent is None else self.descent.of_image(h))

    def forward(self, look: Look, guess: Guess) -> Tensor:
        """What is seen and what is known of images → latents (B, *latent)."""
        if look.by_descent is None or guess.first:
            layer = self.first if guess.first else self.again
            assert layer is not None
            Δ = self.head(look.features).float() + layer(self.reduced(look.x - guess.x̂)).float()
        else:
            assert self.descent is not None
            assert guess.slope is not None
            slope, u = guess.slope.flatten(1), guess.z.flatten(1) - self.centre
            before = torch.zeros_like(u) if guess.change is None else guess.change.flatten(1)
            u, before = u / self.scale, before / self.scale
            Δ = self.descent(look.by_descent, u, slope * self.scale, before)
        return guess.z + (Δ * self.scale).reshape(guess.z.shape)

    def reduced(self, residual: Tensor) -> Tensor:
        """What the linear regression sees of x − x̂: (B, D), large images at a lower resolution."""
        if self.factor > 1:
            residual = F.avg_pool2d(residual, self.factor)
        return residual.flatten(1)

    def class_logits(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, classes), of a conditional generator's encoder."""
        assert self.class_head is not None
        if not self.config.slope:
            x = torch.cat([x, self.start(len(x), None).x̂], 1)
        return self.class_head(self.net(x)).float()


class Descent(nn.Module):
    """By how much a latent changes, given the slope; both in units of the latents' scale."""

    def __init__(self, features: int, d: int, hidden: int):
        super().__init__()
        self.basis = nn.Parameter(torch.eye(d))  # W
        self.momentum = nn.Parameter(torch.zeros(()))  # β
        self.of_image = he_linear(features, hidden)
        self.of_guess = he_linear(3 * d, hidden)
        self.out = zeroed(nn.Linear(hidden, d))

    def forward(self, h: Tensor, u: Tensor, slope: Tensor, before: Tensor) -> Tensor:
        """Δ (B, d) of what `of_image` sees, h (B, hidden), and (B, d) each of the rest."""
        step = (slope @ self.basis).float()
        hidden = leaky(h + self.of_guess(torch.cat([u, step, before], 1)))
        Δ = (step + self.out(hidden).float()) @ self.basis.T
        return Δ.float() + self.momentum * before


class EncodedModel(LatentModel):
    """A generator with a learned encoder beside it: now it can `encode`, whatever it is.

    The generator is held, and not trained, and no part of `state_dict`.
    """

    def __init__(self, generator: LatentModel, encoder: Encoder):
        super().__init__()
        self._generator = (generator,)  # in a tuple, so that it is no submodule
        self._folded: tuple[tuple[Any, ...], Compiled] | None = None  # of weights in such a state
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
        self._folded = None
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
        guess = self.encoder.start(len(x), labels)
        look = self.encoder.look(x, guess, labels)
        yield (z := self.encoder(look, guess))
        for _ in range(1, refinements or self.encoder.config.refinements):
            guess = self.after(guess, z, x, labels)
            if not self.encoder.config.slope:
                look = self.encoder.look(x, guess, labels)
            yield (z := self.encoder(look, guess))

    def after(self, guess: Guess, z: Tensor, x: Tensor, labels: Tensor | None) -> Guess:
        """What the pass after this guess is told, having found z: detached."""
        z = z.detach()
        if not self.encoder.config.slope:
            with torch.no_grad():
                return Guess(z, self.draw(z, labels))
        with torch.enable_grad():
            z = z.requires_grad_()
            x̂ = self.draw(z, labels)
            slope = slope_of(x̂, z, x)
        return guess.followed(z, x̂, slope)

    def draw(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """Images (B, C, H, W) float32 of latents, by the generator folded where it can be.

        It is folded anew when weights have changed, but for changes made through `.data`.
        """
        kind = z.device.type
        low = torch.bfloat16 if torch.is_autocast_enabled(kind) else torch.float32
        with torch.autocast(kind, enabled=False):  # a graph has a precision of its own
            if self._folded is None or self._folded[0] != self._state():
                folded = compiled(self.generator)  # which counts as a change of its buffers
                self._folded = self._state(), folded
            folded = self._folded[1]
            if folded.refusal is None:
                return folded.decode(z.float(), labels, dtype=low)
        return self.decode(z, labels).float()

    def _state(self) -> tuple[Any, ...]:
        """What changes when the generator's weights do, or the device they are on."""
        weights = [*self.generator.parameters(), *self.generator.buffers()]
        return (self.generator.training, *((id(w), w._version, w.data_ptr()) for w in weights))

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


def slope_of(x̂: Tensor, z: Tensor, x: Tensor) -> Tensor:
    """Jᵀ(x − x̂) of images x̂ (B, C, H, W) that were drawn from latents z (B, *latent).

    Raises Unsupported where the generator gives no gradient.
    """
    if not x̂.requires_grad:
        raise Unsupported("the generator gives no gradient; train with --no-slope")
    return torch.autograd.grad(x̂, z, (x - x̂).detach())[0]


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
