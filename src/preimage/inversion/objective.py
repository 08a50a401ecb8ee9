"""What is minimised: a weighted sum of named terms on the image and on the latent, per sample.

    F(z) = Σᵢ wᵢ · Tᵢ(A(G(z)), y) + Σⱼ vⱼ · Pⱼ(z)

A term that is a sum of squares also gives its residual vector r, with ‖r‖² equal to its loss; where
every part of an objective does, Gauss–Newton methods apply: F(z) = ‖R(z)‖².
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from preimage.core import InputError


class Term(Protocol):
    """A distance between what was observed, y, and what the generator shows, a = A(G(z))."""

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> Tensor:
        """What the term needs of y (B, …), computed once: (B, …).

        weights: how much each value of y counts, of its shape, from 0 where it was not seen; given
            only where they do not all count alike. Losses are means over what was seen.
        """
        ...

    def loss(self, a: Tensor, prepared: Tensor) -> Tensor:
        """The distance of each sample: (B,), at least 0."""
        ...

    def residual(self, a: Tensor, prepared: Tensor) -> Tensor | None:
        """(B, m) whose squared norm is the loss; None where the term is no sum of squares."""
        ...


class Penalty(Protocol):
    """What a latent costs, whatever it decodes to; `z` comes flat, (B, d)."""

    def loss(self, z: Tensor) -> Tensor:
        """The cost of each sample: (B,)."""
        ...

    def residual(self, z: Tensor) -> Tensor | None:
        """(B, m) whose squared norm is the loss; None where the penalty is no sum of squares."""
        ...


class Projection(Protocol):
    """A set that latents are brought back to after every step."""

    def __call__(self, z: Tensor, *, seeds: Tensor, iteration: int) -> Tensor:
        """Latents (B, d) → (B, d). `seeds` (B,) int64 are the samples' own, for what is random."""
        ...


@dataclass(frozen=True)
class Objective:
    """The sum, and the sets that latents must stay in."""

    terms: Mapping[str, tuple[float, Term]]
    penalties: Mapping[str, tuple[float, Penalty]] = field(default_factory=dict)
    projections: tuple[Projection, ...] = ()

    def __post_init__(self) -> None:
        if not self.terms:
            raise InputError("the objective has no term on the image; give at least one, like l2")
        for name, (weight, _) in {**self.terms, **self.penalties}.items():
            if not weight > 0 or not math.isfinite(weight):
                raise InputError(f"the weight of '{name}' is {weight:g}; give one above 0")

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        """What each term needs of the target, and of its weights, by name; each (B, …)."""
        seen = () if weights is None else (weights,)
        return {name: term.prepare(y, *seen) for name, (_, term) in self.terms.items()}

    def loss(self, z: Tensor, a: Tensor, prepared: Mapping[str, Tensor]) -> Tensor:
        """F of each sample: (B,)."""
        loss = a.new_zeros(len(a))
        for name, (w, term) in self.terms.items():
            loss = loss + w * term.loss(a, prepared[name])
        for v, penalty in self.penalties.values():
            loss = loss + v * penalty.loss(z)
        return loss

    def residual(self, z: Tensor, a: Tensor, prepared: Mapping[str, Tensor]) -> Tensor | None:
        """R (B, m) with ‖R‖² = F, or None where some part is no sum of squares."""
        of_image = self.image_residual(a, prepared)
        of_latent = self.latent_residual(z)
        if of_image is None or of_latent is None:
            return None
        return torch.cat([of_image, of_latent], 1)

    def image_residual(self, a: Tensor, prepared: Mapping[str, Tensor]) -> Tensor | None:
        """The terms' part of R: (B, m₁)."""
        parts = []
        for name, (w, term) in self.terms.items():
            r = term.residual(a, prepared[name])
            if r is None:
                return None
            parts.append(math.sqrt(w) * r)
        return torch.cat(parts, 1)

    def latent_residual(self, z: Tensor) -> Tensor | None:
        """The penalties' part of R: (B, m₂), with m₂ = 0 where there are none."""
        parts = [z.new_empty(len(z), 0)]
        for v, penalty in self.penalties.values():
            r = penalty.residual(z)
            if r is None:
                return None
            parts.append(math.sqrt(v) * r)
        return torch.cat(parts, 1)

    def project(self, z: Tensor, *, seeds: Tensor, iteration: int) -> Tensor:
        """Latents (B, d) brought into every set that was asked for."""
        for projection in self.projections:
            z = projection(z, seeds=seeds, iteration=iteration)
        return z
