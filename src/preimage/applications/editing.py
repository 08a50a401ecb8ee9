"""Editing: an image moved along named directions, and what the edit does not concern left alone.

Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face Editing": the image x is
inverted, moved along directions n_k by strengths s_k, and decoded,

    z' = z + Σ_k s_k n_k,        x' = G(z').

What the generator cannot draw of x would be lost on the way. Two remedies. Pivotal tuning (Roich et
al. 2021) teaches a copy of the generator this very image before the edit is decoded. And the
residual x − G(z) is carried over,

    x' = G(z') + (1 − λ)(x − G(z)) = x + δ − λ (x − G(z)),        δ = G(z') − G(z),

whole (λ = 0) or only where the edit changed nothing (λ → 1 where |δ| is large), since what was
residual of the old mouth is none of the new one. In the second form x' is x, to the last bit,
wherever nothing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.core import InputError, LatentModel, Step, Unsupported
from preimage.core.errors import nearest_name
from preimage.exploration.conditioning import conditioned, kept
from preimage.exploration.direction import Direction
from preimage.inversion.pivotal import PivotalTuning, applied

# Of pivotal tuning: one image is as near after 100 steps as with the paper's terms after 350.
RATE, FEATURES = 5e-4, 0.0
RESIDUALS = ("unchanged", "whole", "none")
CHANGED = 0.35  # a change of this much on [−1, 1] is one that the residual does not survive
SPREAD = 1 / 64  # of an image's side: how far around a change the residual goes with it
SOLVABLE = 1e-6  # of the readings' effects on one another: below, wanted readings exclude another
Value = float | str  # a number, perhaps as a person typed it; of a wanted reading also a word
WORDS = {"no": (0.0, -1), "yes": (1.0, 1)}
"""Of an attribute of two values: what is to be read, and that more of it does no harm."""


@dataclass(frozen=True)
class Change:
    """What an edit does to images: x' = x + δ − λ (x − G(z))."""

    reconstruction: Tensor  # (B, C, H, W): G(z)
    difference: Tensor  # (B, C, H, W): δ = G(z') − G(z)
    lost: Tensor  # (B, 1, H, W) in [0, 1]: λ, how much of the residual is let go

    def of(self, x: Tensor) -> Tensor:
        """The edited images (B, C, H, W)."""
        λ = self.lost
        δ = torch.where(λ > 0, self.difference - λ * (x - self.reconstruction), self.difference)
        return (x + δ).clamp(-1, 1)

    def within(self, mask: Tensor) -> Change:
        """The change where a mask (H, W) or (B, 1, H, W) in [0, 1] lets it through."""
        m = mask.to(self.difference).expand_as(self.lost)
        return Change(self.reconstruction, m * self.difference, m * self.lost)

    def only(self, row: int) -> Change:
        """That of one image, (1, …)."""
        rows = slice(row, row + 1)
        return Change(self.reconstruction[rows], self.difference[rows], self.lost[rows])


@dataclass(frozen=True)
class Edit:
    """B images, edited."""

    original: Tensor  # (B, C, H, W) in [−1, 1]
    images: Tensor  # likewise: edited
    change: Change
    z: Tensor  # (B, *space.shape): where the images lie
    moved: Tensor  # likewise: where the edited ones lie
    strengths: Mapping[str, Tensor]  # by direction: (B,), how far each image was moved
    before: Mapping[str, Tensor]  # by direction: (B,), readings in the attribute's own units
    after: Mapping[str, Tensor]  # likewise
    strips: Mapping[str, Tensor] = field(default_factory=dict)  # (B, S, C, H, W), by direction
    labels: Tensor | None = None  # (B,) int64, of a conditional model
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @staticmethod
    def concatenated(parts: Sequence[Edit]) -> Edit:
        """The images of several edits, one after another. Raises ValueError where there is none."""
        return Edit(**{f.name: _joined([getattr(p, f.name) for p in parts]) for f in fields(Edit)})

    @property
    def reconstruction(self) -> Tensor:
        """What the model made of the images before anything moved."""
        return self.change.reconstruction


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
        strengths = {n: _number(s, f"--by {n}={s}", f"{n}=2") for n, s in by.items()}
        wanted = {n: _wanted(n, value, directions[n]) for n, value in to.items()}
        return Moves(directions, strengths, wanted)

    def strengths(self, z: Tensor) -> dict[str, Tensor]:
        """How far each latent (B, *shape) goes along each direction: (B,) each."""
        found = {name: torch.full((len(z),), s) for name, s in self.by.items()}
        return found | self._towards(z, found) if self.to else found

    def moved(self, z: Tensor, strengths: Mapping[str, Tensor]) -> Tensor:
        for name, s in strengths.items():
            z = self.directions[name].move(z, s.to(z.device))
        return z

    def readings(self, z: Tensor, strengths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the directions that read something will read after these moves: (B,) each.

        In standard deviations above the mean; of latents (B, *shape) as they are where the
        strengths are none.
        """
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
        readings = self.readings(z, given)
        missing = torch.stack([w.missing(readings[name]) for name, w in self.to.items()])
        a = torch.linalg.solve(M, missing)
        return {name: row.float() for name, row in zip(self.to, a, strict=True)}


def _effect(reading: Direction, along: Direction) -> float:
    """By how much one unit along a direction moves a reading."""
    if "slope" in along.report:  # it is true in images, whatever the latents say
        return float(reading.name == along.name)
    assert reading.normal is not None
    return (reading.normal.double() * along.vector.double()).sum().item()


@dataclass(frozen=True)
class Editor:
    """A generator, the moves to make, and what is to be done about what it cannot draw."""

    model: LatentModel  # the generator itself, without a learned encoder
    moves: Moves
    residual: str = "unchanged"
    tune: int = 0  # steps of pivotal tuning for each image; 0 for none
    seed: int = 0

    def __post_init__(self) -> None:
        if self.residual not in RESIDUALS:
            raise InputError(
                f"no residual '{self.residual}'; {nearest_name(self.residual, RESIDUALS)}"
            )
        if self.tune < 0:
            raise InputError(f"tune={self.tune} steps are none; give 0 or more")
        for direction in self.moves.directions.values():
            direction.check(self.model)
            if direction.space not in (None, next(iter(self.model.spaces))):
                raise Unsupported(
                    f"'{direction.name}' lies in the space '{direction.space}', and images are "
                    f"found in '{next(iter(self.model.spaces))}'; fit the direction there"
                )

    def edit(
        self,
        x: Tensor,  # (B, C, H, W) in [−1, 1]
        z: Tensor,  # (B, *space.shape): the latents found behind them
        labels: Tensor | None = None,  # (B,), of a conditional model
        *,
        mask: Tensor | None = None,  # (H, W) or (B, 1, H, W) in [0, 1]: where they may change
        strip: Sequence[float] = (),  # strengths to show each direction at, the others as asked
        names: tuple[str, ...] = (),
        progress: Callable[[Step], None] | None = None,
    ) -> Edit:
        """Move the latents and decode: no image's answer depends on the others'."""
        strengths = self.moves.strengths(z)
        moved = self.moves.moved(z, strengths)
        places = [z, moved]
        for name in strengths if strip else ():
            for s in strip:
                others = {**strengths, name: torch.full((len(z),), float(s))}
                places.append(self.moves.moved(z, others))
        decoded = self._decoded(x, torch.stack(places, 1), labels, progress)  # (B, P, C, H, W)
        changes = [self._change(decoded[:, 0], decoded[:, p]) for p in range(1, len(places))]
        if mask is not None:
            changes = [change.within(mask) for change in changes]
        images = [change.of(x) for change in changes]
        strips = {}
        if strip:
            rows = torch.stack(images[1:], 1).unflatten(1, (len(strengths), len(strip)))
            strips = {name: rows[:, i] for i, name in enumerate(strengths)}
        readings = [self._readings(z, s) for s in ({}, strengths)]
        return Edit(
            x, images[0], changes[0], z, moved, strengths, readings[0], readings[1],
            strips, labels, names,
        )  # fmt: skip

    def _decoded(
        self,
        x: Tensor,
        places: Tensor,  # (B, P, *space.shape)
        labels: Tensor | None,
        progress: Callable[[Step], None] | None,
    ) -> Tensor:
        """The images at all places, of each image's own generator where it is tuned."""
        if not self.tune:
            return self._decode(places, labels)
        found = []
        for i in range(len(x)):
            y = None if labels is None else labels[i : i + 1]
            tuning = PivotalTuning(
                self.model, x[i : i + 1], places[i : i + 1, 0], labels=y, steps=self.tune,
                learning_rate=RATE, features=FEATURES, seed=self.seed,
            )  # fmt: skip
            for step in tuning:
                if progress is not None:
                    progress(step)
            with applied(self.model, tuning.difference()):
                found.append(self._decode(places[i : i + 1], y))
        return torch.cat(found)

    @torch.no_grad()
    def _decode(self, places: Tensor, labels: Tensor | None) -> Tensor:
        B, P = places.shape[:2]
        y = None if labels is None else labels.repeat_interleave(P).to(self.model.device)
        images = self.model.decode(places.flatten(0, 1).to(self.model.device), y)
        return images.float().cpu().unflatten(0, (B, P))

    def _change(self, reconstruction: Tensor, decoded: Tensor) -> Change:
        δ = decoded - reconstruction
        if self.residual == "unchanged":
            return Change(reconstruction, δ, changed(δ))
        λ = torch.full_like(δ[:, :1], float(self.residual == "none"))
        return Change(reconstruction, δ, λ)

    def _readings(self, z: Tensor, strengths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the attributes' own units."""
        return {
            name: (d.mean + d.deviation * reading).float()
            for name, reading in self.moves.readings(z, strengths).items()
            for d in (self.moves.directions[name],)
        }


def changed(δ: Tensor) -> Tensor:
    """λ = 1 − exp(−(|δ| / `CHANGED`)⁴) of changes (B, C, H, W): (B, 1, H, W), in [0, 1].

    |δ| is the largest around a pixel; λ is exactly 0 where nothing around changed.
    """
    radius = max(1, round(SPREAD * min(δ.shape[2:])))
    size = 2 * radius + 1
    largest = F.max_pool2d(δ.abs().amax(1, keepdim=True), size, stride=1, padding=radius)
    λ = 1 - torch.exp(-((largest / CHANGED) ** 4))
    padded = F.pad(λ, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(padded, size, stride=1)


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
    number, side = WORDS.get(str(value), (value, 0))
    wanted = _number(number, f"--to {name}={value}", f"{name}=0.8, or {name}=yes")
    return Wanted((wanted - direction.mean) / direction.deviation, side)


def _number(value: Value, given: str, example: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) < float("inf"):
        raise InputError(f"{given}: '{value}' is no number; give one, as in {example}")
    return number


def _joined(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, Change):
        return Change(*(_joined([getattr(v, f.name) for v in values]) for f in fields(Change)))
    if isinstance(first, Mapping):
        return {name: _joined([value[name] for value in values]) for name in first}
    return None if first is None else tuple(item for value in values for item in value)
