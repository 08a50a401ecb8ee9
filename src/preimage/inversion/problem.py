"""The inverse problem of a batch of images: find z with A(G(z)) ≈ y, each image by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from preimage.core import LatentModel, Unsupported
from preimage.inversion.objective import Objective

Decode = Callable[[Tensor, Tensor | None], Tensor]  # (z (B, *shape), labels) → images
Tangents = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]  # likewise → G(z), dG/dz


class Operator(Protocol):
    """A: what was done to an image before it was observed; differentiable."""

    linear: bool  # whether A(x) is linear in x, so that A maps tangents as it maps images

    def __call__(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) → observations (B, …)."""
        ...

    def select(self, rows: Tensor) -> Operator:
        """The same for some images of the batch: `rows` (M,) are indices; they may repeat."""
        ...


@runtime_checkable
class Weighted(Protocol):
    """An operator that may see some values more than others, or not at all."""

    def weights(self, y: Tensor) -> Tensor | None:
        """How much each value of y (B, …) counts, from 0 for one not seen; None: all alike."""
        ...


@dataclass(frozen=True)
class Problem:
    """min F(z) for B images at once; every quantity has one value a sample.

    Latents travel flat, (B, d), whatever the shape of the space. The generator is not trained
    here: gradients flow to z alone.
    """

    model: LatentModel
    target: Tensor  # y: (B, …), as `through` gives them
    objective: Objective
    through: Operator
    labels: Tensor | None = None  # (B,) classes, of a conditional model
    seeds: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))  # (B,)
    prepared: dict[str, Tensor] = field(default_factory=dict)  # by term, each (B, …)
    decode: Decode | None = None  # a quicker decoder than the model's own
    tangents: Tangents | None = None  # images (B, C, H, W) and all dG/dzⱼ (B, d, C, H, W)

    @classmethod
    def of(
        cls,
        model: LatentModel,
        target: Tensor,
        objective: Objective,
        through: Operator,
        *,
        labels: Tensor | None = None,
        seed: int = 0,
        decode: Decode | None = None,
        tangents: Tangents | None = None,
    ) -> Problem:
        """The problem of observations y (B, …), as `through` gives them.

        What `through` does not see of y counts for nothing, and is set to 0.
        """
        weights = through.weights(target) if isinstance(through, Weighted) else None
        if weights is not None:
            target = torch.where(weights > 0, target, 0)
        return cls(
            model=model,
            target=target,
            objective=objective,
            through=through,
            labels=labels,
            seeds=content_seeds(target, seed),
            prepared=objective.prepare(target, weights),
            decode=decode,
            tangents=tangents,
        )

    def __len__(self) -> int:
        return len(self.target)

    @property
    def d(self) -> int:
        """Numbers in a latent."""
        return self.model.space.size

    def select(self, rows: Tensor) -> Problem:
        """The problem of some of the images (indices (M,)); they may repeat."""
        return replace(
            self,
            target=self.target[rows],
            through=self.through.select(rows),
            labels=None if self.labels is None else self.labels[rows],
            seeds=self.seeds[rows],
            prepared={name: value[rows] for name, value in self.prepared.items()},
        )

    def images(self, z: Tensor) -> Tensor:
        """G(z): latents (B, d) → images (B, C, H, W)."""
        z = z.reshape(len(z), *self.model.space.shape)
        return (self.decode or self.model.decode)(z, self.labels)

    def observe(self, z: Tensor) -> Tensor:
        """A(G(z)): (B, d) → (B, …)."""
        return self.through(self.images(z))

    def loss(self, z: Tensor) -> Tensor:
        """F(z): (B, d) → (B,)."""
        return self.objective.loss(z, self.observe(z), self.prepared)

    def residual(self, z: Tensor) -> Tensor:
        """R(z) with ‖R‖² = F: (B, d) → (B, m).

        Raises Unsupported where the objective is no sum of squares.
        """
        r = self.objective.residual(z, self.observe(z), self.prepared)
        if r is None:
            names = ", ".join([*self.objective.terms, *self.objective.penalties])
            raise Unsupported(
                f"the objective ({names}) is no sum of squares; use method='l-bfgs' or 'adam'"
            )
        return r

    def loss_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """F (B,) and dF/dz (B, d), of the samples one by one."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            loss = self.loss(z)
            if not loss.requires_grad:
                raise Unsupported("the generator gives no gradient; use method='cma'")
            (gradient,) = torch.autograd.grad(loss.sum(), z)
        return loss.detach(), gradient

    def project(self, z: Tensor, *, iteration: int = 0) -> Tensor:
        """Latents brought into the sets that the objective names."""
        return self.objective.project(z, seeds=self.seeds, iteration=iteration)


def content_seeds(y: Tensor, seed: int) -> Tensor:
    """One seed an image, (B,) int64, from its content: its answer is the same in any batch."""
    rows = y.detach().cpu().contiguous().flatten(1).float().numpy()
    salt = str(seed).encode()
    digests = [hashlib.blake2b(row.tobytes(), key=salt, digest_size=8).digest() for row in rows]
    return torch.tensor([int.from_bytes(d, "big") >> 1 for d in digests], dtype=torch.int64)
