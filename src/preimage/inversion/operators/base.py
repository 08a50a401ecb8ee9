"""What every operator has, and operators one after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from preimage.core import InputError


class ImageOperator(ABC):
    """A: images (B, C, H, W) → observations (B, …), each sample by itself, differentiable.

    `str` of an operator describes it in a few words, as a person would.
    """

    name: str
    linear: bool = True
    noise: float = 0.0  # σ of the noise in y, in units of images in [−1, 1]; 0 where none is known

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A(x). Raises InputError where the operator is not for images of this size."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What it is, for results that are saved; tensors are summed up, not written out."""

    @abstractmethod
    def __str__(self) -> str: ...

    def select(self, rows: Tensor) -> ImageOperator:
        """The same for some images of the batch: indices (M,), which may repeat."""
        return self

    def then(self, after: ImageOperator) -> Compose:
        """x ↦ after(A(x))."""
        return Compose(self, after)

    def carry(self, seen: Tensor | None) -> Tensor | None:
        """How far, from 0 to 1, each value of A(x) is seen, given how far those of x are.

        Both broadcast to their images, (1 or B, 1 or C, H, W); None says that everything is seen.
        """
        return seen

    def weights(self, y: Tensor) -> Tensor | None:
        """How much each value of observations y (B, …) counts, from 0 for one that was not seen
        to 1: of y's shape, or None where all count alike.

        Raises InputError where y cannot be what A gives.
        """
        seen = self.carry(None)
        return None if seen is None else fitted(seen, y, self.name).expand(y.shape)

    def observed(self, y: Tensor) -> Tensor:
        """How many values of each observation (B, …) were seen; half seen counts a half: (B,)."""
        weights = self.weights(y)
        if weights is None:
            return torch.full((len(y),), float(y[0].numel()), device=y.device)
        return weights.flatten(1).sum(1)


class Compose(ImageOperator):
    """Operators one after another, the first one first."""

    name = "compose"

    def __init__(self, *operators: ImageOperator):
        """Operators, at least one. Compositions among them are laid open."""
        if not operators:
            raise InputError("a composition of no operators; give at least one, like Identity()")
        self.operators: tuple[ImageOperator, ...] = tuple(
            part for op in operators for part in (op.operators if isinstance(op, Compose) else [op])
        )
        self.linear = all(op.linear for op in self.operators)
        self.noise = next((op.noise for op in reversed(self.operators) if op.noise), 0.0)

    def __call__(self, x: Tensor) -> Tensor:
        for operator in self.operators:
            x = operator(x)
        return x

    def select(self, rows: Tensor) -> Compose:
        return Compose(*(operator.select(rows) for operator in self.operators))

    def carry(self, seen: Tensor | None) -> Tensor | None:
        for operator in self.operators:
            seen = operator.carry(seen)
        return seen

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name, "operators": [op.to_json() for op in self.operators]}

    def __str__(self) -> str:
        return ", then ".join(map(str, self.operators))


def fitted(seen: Tensor, x: Tensor, name: str) -> Tensor:
    """Weights or a mask (1 or B, 1 or C, H, W) as they stand beside x (B, C, H, W).

    Raises InputError where they are for other images.
    """
    if x.dim() != 4 or seen.shape[2:] != x.shape[2:]:
        raise InputError(
            f"the {name} is for {seen.shape[2]}×{seen.shape[3]} images, and these are "
            f"{'×'.join(map(str, x.shape[2:])) or 'vectors'}; resize it"
        )
    if seen.shape[1] not in (1, x.shape[1]):
        raise InputError(
            f"the {name} has {seen.shape[1]} channels, and the images have {x.shape[1]}; "
            f"give one that is (H, W)"
        )
    if len(seen) not in (1, len(x)):
        raise InputError(
            f"there are {len(seen)} masks for {len(x)} images; give one for all, or one for each"
        )
    return seen.to(x)
