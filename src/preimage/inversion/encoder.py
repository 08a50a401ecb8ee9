"""Learned encoders: a net beside a generator that says which latent an image has.

Iterative refinement (ReStyle: Alaluf et al. 2021, equation 3): the net sees the image and what
the latent found so far decodes to, and says how the latent should change,

    z ← z + E([x; G(z)]),        z₀ the centre of the latent space.

Beside the net stands the linear regression of the change on x − G(z), which is known in closed
form; the net begins at zero, so that training starts where the regression ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import DataSpec, Gaussian, InputError, LatentModel, LatentSpace
from preimage.models.autoencoder import POINT
from preimage.models.linear import reduction
from preimage.nets import Net
from preimage.nets.blocks import zeroed
from preimage.training.precision import bfloat16


@dataclass(frozen=True)
class EncoderConfig:
    """What a learned encoder is made of."""

    data: DataSpec  # of the generator's images
    net: Net
    latent: tuple[int, ...]  # shape of the generator's latents
    classes: tuple[str, ...] = ()  # of a conditional generator
    refinements: int = 5  # passes; the first starts from the centre, and decodes nothing

    def __post_init__(self) -> None:
        if self.refinements < 1:
            raise InputError(f"--refinements {self.refinements} encodes nothing; give at least 1")


class Encoder(nn.Module):
    """One pass: an image, its reconstruction so far and the latent → a better latent."""

    centre: Tensor  # (d,): where the first pass starts
    scale: Tensor  # (d,): standard deviations of latents; the net thinks in these units
    central: Tensor  # (max(classes, 1), C, H, W): what the centre decodes to

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        data, d, n = config.data, prod(config.latent), len(config.classes)
        both = DataSpec(data.kind, (2 * data.shape[0], *data.shape[1:]))
        self.net = config.net.encoder(both)
        features = int(self.net.features)  # type: ignore[arg-type]
        self.head = zeroed(nn.Linear(features + n, d))
        self.class_head = zeroed(nn.Linear(features, n)) if n else None
        self.factor = reduction(data)
        size = self.reduced(torch.zeros(1, *data.shape)).shape[1]
        self.first, self.again = zeroed(nn.Linear(size, d)), zeroed(nn.Linear(size, d))
        self.register_buffer("centre", torch.zeros(d))
        self.register_buffer("scale", torch.ones(d))
        self.register_buffer("central", torch.zeros(max(n, 1), *data.shape))

    def start(self, n: int, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """The centre of the space, (n, *latent), and what it decodes to, (n, C, H, W)."""
        z = self.centre.reshape(1, *self.config.latent).expand(n, *self.config.latent)
        if labels is None:
            return z, self.central.mean(0, keepdim=True).expand(n, *self.config.data.shape)
        return z, self.central[labels]

    def forward(
        self, x: Tensor, x̂: Tensor, z: Tensor, labels: Tensor | None, *, first: bool
    ) -> Tensor:
        """z + E([x; x̂]): images (B, C, H, W) and latents (B, *latent) → latents."""
        h = self.net(torch.cat([x, x̂], 1))
        if self.config.classes:
            known = F.one_hot(cast(Tensor, labels), len(self.config.classes))
            h = torch.cat([h, known.to(h.dtype)], 1)
        linear = self.first if first else self.again
        Δ = self.head(h).float() + linear(self.reduced(x - x̂)).float()
        return z + (Δ * self.scale).reshape(z.shape)

    def reduced(self, residual: Tensor) -> Tensor:
        """What the linear regression sees of x − x̂: (B, D), large images at a lower resolution."""
        if self.factor > 1:
            residual = F.avg_pool2d(residual, self.factor)
        return residual.flatten(1)

    def class_logits(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, classes), of a conditional generator's encoder."""
        assert self.class_head is not None
        _, x̂ = self.start(len(x), None)
        return self.class_head(self.net(torch.cat([x, x̂], 1))).float()


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
        z, x̂ = self.encoder.start(len(x), labels)
        count = refinements or self.encoder.config.refinements
        for k in range(count):
            z = self.encoder(x, x̂, z, labels, first=k == 0)
            yield z
            if k < count - 1:
                x̂ = self.decode(z, labels)

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
        with autocast(precision, device):
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


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.dim() == 4 else torch.contiguous_format
