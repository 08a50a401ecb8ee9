"""Where latents go that are edited: along named directions, as far as a person asked.

Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face Editing": latents move
along directions n_k by strengths s_k,

    z' = z + Σ_k s_k n_k.

`Mover` is all that an editor has to know of a way to move; `counterfactuals.py` is another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Unsupported
from preimage.core.errors import nearest_name
from preimage.exploration.conditioning import conditioned, kept
from preimage.exploration.direction import Direction

SOLVABLE = 1e-6  # of the readings' effects on one another: below, wanted readings exclude another
FARTHEST = 1e4  # standard deviations
Value = float | str  # a number, perhaps as a person typed it; of a wanted reading also a word
WORDS = {"no": (0.0, -1), "yes": (1.0, 1)}
"""Of an attribute of two values: what is to be read, and that more of it does no harm."""


class Mover(Protocol):
    """A way to move latents: which attributes, and how far."""

    def check(self, model: LatentModel) -> None:
        """Raises InputError where it does not belong to the model."""
        ...

    def strengths(self, z: Tensor) -> dict[str, Tensor]:
        """How far each latent (B, *shape) goes, by name, in standard deviations: (B,) each."""
        ...

    def moved(self, z: Tensor, strengths: Mapping[str, Tensor]) -> Tensor:
        """The latents (B, *shape), so far moved."""
        ...

    def readings(self, z: Tensor, strengths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What is read after these moves, in the attributes' own units: (B,) each."""
        ...

    def notes(self, z: Tensor, strengths: Mapping[str, Tensor]) -> list[tuple[str, ...]]:
        """What a person should know of each of the B moves."""
        ...


@dataclass(frozen=True)
class Wanted:
    """A reading that images are to have."""

    reading: float  # in standard deviations above the mean
    side: int = 0  # 1: at least this, −1: at most this, 0: exactly this

    def missing(self, readings: Tensor) -> Tensor:
        """By how much readings (B,) must change."""
        change = self.reading - readings
        if self.side == 0:
            return change
        return change.clamp_min(0) if self.side > 0 else change.clamp_max(0)


@dataclass(frozen=True)
class Moves:
    """Which way to move, and how far: `by` in units of each direction, `to` wanted readings."""

    directions: Mapping[str, Direction]  # conditioned on what is to stay
    by: Mapping[str, float]
    to: Mapping[str, Wanted]

    @staticmethod
    def of(
        known: Mapping[str, Direction],
        *,
        by: Mapping[str, Value] | None = None,
        to: Mapping[str, Value] | None = None,
        keep: Sequence[str] = (),
    ) -> Moves:
        """What a person asked for, by names of directions that are known.

        Raises InputError for a name that is none, a strength that is no number, a direction that
        is to move and to stay, or one of which nothing is left beside what stays.
        """
        by, to = by or {}, to or {}
        if not by and not to:
            raise InputError("nothing to change; give a direction and how far, as in --by smile=2")
        if both := by.keys() & to.keys():
            raise InputError(
                f"'{min(both)}' is to move by so much and to a value; give one of --by and --to"
            )
        staying = kept(keep, known)
        directions = {n: conditioned(_known(n, known), staying) for n in (*by, *to)}
        strengths = {n: strength(s, f"--by {n}={s}", f"{n}=2") for n, s in by.items()}
        wanted = {n: _wanted(n, value, directions[n]) for n, value in to.items()}
        return Moves(directions, strengths, wanted)

    def check(self, model: LatentModel) -> None:
        for direction in self.directions.values():
            direction.check(model)
            check_space(f"'{direction.name}' lies", direction.space, model)

    def strengths(self, z: Tensor) -> dict[str, Tensor]:
        found = {name: torch.full((len(z),), s) for name, s in self.by.items()}
        return found | self._towards(z, found) if self.to else found

    def moved(self, z: Tensor, strengths: Mapping[str, Tensor]) -> Tensor:
        for name, s in strengths.items():
            z = self.directions[name].move(z, s.to(z.device))
        return z

    def readings(self, z: Tensor, strengths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As the strengths promise; of latents as they are where the strengths are none."""
        return {
            name: (low + (high - low) * (d.mean + d.deviation * reading)).float()
            for name, reading in self._standardised(z, strengths).items()
            for d in (self.directions[name],)
            for low, high in (d.sides,)
        }

    def notes(self, z: Tensor, strengths: Mapping[str, Tensor]) -> list[tuple[str, ...]]:
        unread = (name for name in strengths if self.directions[name].unread)
        said = tuple(f"'{name}' tells images no better than chance" for name in unread)
        return [said] * len(z)

    def _standardised(self, z: Tensor, strengths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the directions that read something will read, in standard deviations: (B,) each."""
        return {
            name: sum(
                (s * _effect(d, self.directions[along]) for along, s in strengths.items()),
                d.read(z.double()).cpu(),
            )
            for name, d in self.directions.items()
            if d.normal is not None
        }

    def _towards(self, z: Tensor, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The strengths a with M a = wanted − r(z): M_ij is what direction j does to reading i."""
        along = [self.directions[name] for name in self.to]
        M = torch.tensor([[_effect(i, j) for j in along] for i in along], dtype=torch.float64)
        if torch.linalg.svdvals(M)[-1] < SOLVABLE * len(M):
            raise InputError(f"--to: {' and '.join(self.to)} cannot be had at once; ask for one")
        readings = self._standardised(z, given)
        missing = torch.stack([w.missing(readings[name]) for name, w in self.to.items()])
        a = torch.linalg.solve(M, missing)
        return {name: row.float() for name, row in zip(self.to, a, strict=True)}


def _effect(reading: Direction, along: Direction) -> float:
    """By how much one unit along a direction moves a reading."""
    if "slope" in along.report:  # it is true in images, whatever the latents say
        return float(reading.name == along.name)
    assert reading.normal is not None
    return (reading.normal.double() * along.vector.double()).sum().item()


def _known(name: str, known: Mapping[str, Direction]) -> Direction:
    if name not in known:
        mend = nearest_name(name, known) if known else "fit one with: preimage direction"
        raise InputError(f"no direction '{name}'; {mend}")
    return known[name]


def _wanted(name: str, value: Value, direction: Direction) -> Wanted:
    if direction.normal is None:
        raise InputError(
            f"'{name}' was found without labels, so nothing can be read of it; use --by {name}=2"
        )
    given, (low, high) = f"--to {name}={value}", direction.sides
    amount, side = WORDS.get(said := spoken(value, direction.meaning), (value, 0))
    amount = number(amount, given, f"{name}=0.8, or {name}=yes")
    if said not in WORDS:
        amount = (amount - low) / (high - low)
    reading = (amount - direction.mean) / direction.deviation
    return Wanted(strength(reading, given, f"{name}=yes"), side)


def spoken(value: Value, meaning: tuple[str, str] | None) -> str:
    """Yes or no for what an attribute of two values is called, anything else as it is."""
    text = value if isinstance(value, str) else f"{value:g}"
    if meaning is not None and text in meaning:
        return "no" if text == meaning[0] else "yes"
    return text


def number(value: Value, given: str, example: str) -> float:
    """What a person typed. Raises InputError where it is no finite number."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not abs(found) < float("inf"):
        raise InputError(f"{given}: '{value}' is no number; give one, as in {example}")
    return found


def strength(value: Value, given: str, example: str) -> float:
    """The same of so many standard deviations. Raises InputError where nothing goes so far."""
    found = number(value, given, example)
    if abs(found) > FARTHEST:
        raise InputError(f"{given} is out of all reach; give less, as in {example}")
    return found


def check_space(what: str, space: str | None, model: LatentModel) -> None:
    """Raises Unsupported where something lies in another space than images are found in."""
    if space not in (None, found := next(iter(model.spaces))):
        raise Unsupported(
            f"{what} in the space '{space}', and images are found in '{found}'; fit it there"
        )
