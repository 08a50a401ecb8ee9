"""A named way through the latent space: along it one attribute changes.

z' = z + s·n moves the attribute by s of its standard deviations. The reading r(z) = w·z + c says
how many standard deviations above its mean the attribute stands at z, as far as a linear map can
tell, and w·n = 1: moving by s moves the reading by s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel
from preimage.inversion.fingerprint import fingerprint

CHANCE = 0.5  # accuracy of guessing, each of two classes counting half


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction in the latent space of one model.

    One unit of strength is one standard deviation of the attribute; of a direction found without
    labels, one standard deviation of the latents along it.
    """

    name: str
    vector: Tensor  # (*space.shape): n
    model: str  # fingerprint of the model it belongs to
    method: str  # how it was found
    space: str | None = None  # of the model's latent spaces; the default where None
    normal: Tensor | None = None  # (*space.shape): w of the reading; None without labels
    offset: float = 0.0  # c of the reading
    mean: float = 0.0  # of the attribute, in its own units
    deviation: float = 1.0  # of the attribute, in its own units
    meaning: tuple[str, str] | None = None  # of one of two values: what 0 and 1 of these units are
    conditioned: tuple[str, ...] = ()  # attributes that are meant to stay as they are
    report: dict[str, object] = field(default_factory=dict)  # accuracy, …: JSON values

    @property
    def attribute(self) -> str:
        """The attribute it is of: `hair` of `hair:red`."""
        return self.name.partition(":")[0]

    def move(self, z: Tensor, strength: float | Tensor) -> Tensor:
        """Latents (B, *shape) moved by so many units: one number, or one of each (B,)."""
        s = torch.as_tensor(strength, dtype=z.dtype, device=z.device)
        s = s.expand(len(z)).view(-1, *[1] * (z.ndim - 1))
        return z + s * self.vector.to(z)

    def read(self, z: Tensor) -> Tensor:
        """How many standard deviations above its mean the attribute stands: (B, *shape) → (B,)."""
        if self.normal is None:
            raise InputError(f"'{self.name}' was found without labels: it reads nothing")
        return (z * self.normal.to(z)).flatten(1).sum(1) + self.offset

    @property
    def sides(self) -> tuple[float, float]:
        """The numbers that 0 and 1 stand for: themselves, where the two values are words."""
        try:
            low, high = map(float, self.meaning or ())
        except ValueError:
            return 0.0, 1.0
        return (low, high) if math.isfinite(high - low) and low != high else (0.0, 1.0)

    @property
    def unread(self) -> bool:
        """Whether, by its report, it tells images no better than chance would."""
        accuracy, r_squared = self.report.get("accuracy"), self.report.get("r_squared")
        if isinstance(accuracy, dict):
            return accuracy["low"] <= CHANCE
        return isinstance(r_squared, dict) and r_squared["value"] <= 0

    def named(self, name: str) -> Direction:
        return replace(self, name=name)

    def check(self, model: LatentModel) -> None:
        """Raises InputError where the direction belongs to another model, naming both, or does not
        fit into its latents.
        """
        if self.model != (weights := owner(model)):
            raise InputError(
                f"direction '{self.name}' was fitted on model {self.model}, and this is model "
                f"{weights}; fit it again with: preimage direction"
            )
        if self.space is not None and self.space not in model.spaces:
            raise InputError(
                f"direction '{self.name}' is of a latent space '{self.space}', which this model "
                "does not have; fit it again with: preimage direction"
            )
        shape = model.named_space(self.space).shape
        if self.vector.shape != shape:
            given, own = tuple(self.vector.shape), tuple(shape)
            raise InputError(
                f"direction '{self.name}' is of latents of shape {given}; this model's are {own}"
            )


def owner(model: LatentModel) -> str:
    """The fingerprint of the generator: an encoder learned beside it changes no direction."""
    return fingerprint(bare(model))


def bare(model: LatentModel) -> LatentModel:
    """The generator alone, of a model with a learned encoder beside it."""
    generator = getattr(model, "generator", None)
    return generator if isinstance(generator, LatentModel) else model


def summary(direction: Direction) -> dict[str, object]:
    """All that is known of a direction but its numbers, as JSON holds it."""
    return {
        "name": direction.name,
        "method": direction.method,
        "mean": direction.mean,
        "deviation": direction.deviation,
        "meaning": None if direction.meaning is None else list(direction.meaning),
        "conditioned": list(direction.conditioned),
        **direction.report,
    }
