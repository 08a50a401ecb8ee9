"""Edits by counterfactuals: what each image would be with an attribute changed, the others held.

The latent goes as `exploration/counterfactual.py` says. Attributes are named as their columns are,
`smile` or `hair:red`; `to` takes the value of an attribute too, `hair=red`. What the examples did
not hold is not to be had, and a note says where an image went less far than it was asked to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.applications.moves import (
    WORDS,
    Mover,
    Moves,
    Value,
    Wanted,
    check_space,
    number,
    spoken,
    strength,
)
from preimage.core import InputError, LatentModel
from preimage.core.errors import nearest_name
from preimage.exploration.counterfactual import Counterfactual
from preimage.exploration.direction import Direction

MOVES = ("auto", "linear", "counterfactual")
SHORT = 0.01  # standard deviations: by less than this, a strength is had as asked


@dataclass(frozen=True)
class Counterfactuals:
    """`by` in standard deviations of the attributes, `to` wanted values, by columns' names."""

    found: Counterfactual
    by: Mapping[str, float]
    to: Mapping[str, Wanted]

    @staticmethod
    def of(
        found: Counterfactual,
        *,
        by: Mapping[str, Value] | None = None,
        to: Mapping[str, Value] | None = None,
        keep: Sequence[str] = (),
    ) -> Counterfactuals:
        """What a person asked for.

        Raises InputError for an attribute or a value that is none, for one that is to move twice,
        and for one that is to move and to stay; all others stay whether they are named or not.
        """
        strengths = {n: strength(s, f"--by {n}={s}", f"{n}=2") for n, s in (by or {}).items()}
        for name in strengths:
            _column(found, name)
        wanted: dict[str, Wanted] = {}
        for name, value in (to or {}).items():
            column, one = _wanted(found, name, value)
            wanted[column] = one
        groups = {c.name: c.group for c in found.columns}
        moving = [groups[name] for name in (*strengths, *wanted)]
        if twice := [group for group in moving if moving.count(group) > 1]:
            raise InputError(f"'{twice[0]}' is to change twice; say once what it is to be")
        for name in keep:
            if not knows(found, name):
                raise InputError(
                    f"counterfactuals keep what they know, and '{name}' they do not; "
                    f"{nearest_name(name, names(found))} Else use --move linear"
                )
            if groups.get(name, name) in moving:
                raise InputError(f"'{name}' cannot move and be kept at once")
        return Counterfactuals(found, strengths, wanted)

    def check(self, model: LatentModel) -> None:
        self.found.check(model)
        check_space("these counterfactuals lie", self.found.space, model)

    def strengths(self, z: Tensor) -> dict[str, Tensor]:
        """As far as there was anything to learn from."""
        x̂ = self.found.taken(z.cpu())
        had = {}
        for name, s in self._asked(x̂).items():
            j = self.found.index(name)
            had[name] = (self.found.changed(x̂, {name: s}) - x̂)[:, j]
        return had

    def moved(self, z: Tensor, strengths: Mapping[str, Tensor]) -> Tensor:
        return self.found.move(z.cpu(), strengths).to(z)

    def readings(self, z: Tensor, strengths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of the latents that have moved, read again."""
        x̂ = self.found.read(self.moved(z, strengths).cpu())
        x = x̂ * self.found.deviation + self.found.mean
        return {name: x[:, self.found.index(name)] for name in (*self.by, *self.to)}

    def notes(self, z: Tensor, strengths: Mapping[str, Tensor]) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = [()] * len(z)
        for name, asked in self._asked(self.found.taken(z.cpu())).items():
            went = strengths[name]
            for i in ((asked - went).abs() > SHORT).nonzero().flatten().tolist():
                found[i] += (
                    f"'{name}' went {went[i]:+.2f} of {asked[i]:+.2f} standard deviations: no "
                    "example goes farther",
                )
        return found

    def _asked(self, x̂: Tensor) -> dict[str, Tensor]:
        """How far each is to go, (B,), were there no bounds."""
        given = {name: torch.full((len(x̂),), s) for name, s in self.by.items()}
        return given | {n: w.missing(x̂[:, self.found.index(n)]) for n, w in self.to.items()}


@dataclass(frozen=True)
class Chain:
    """One way to move, and from where it leads another."""

    first: Mover
    second: Mover
    names: frozenset[str]  # what the first one moves

    def check(self, model: LatentModel) -> None:
        self.first.check(model)
        self.second.check(model)

    def strengths(self, z: Tensor) -> dict[str, Tensor]:
        far = self.first.strengths(z)
        return far | self.second.strengths(self.first.moved(z, far))

    def moved(self, z: Tensor, strengths: Mapping[str, Tensor]) -> Tensor:
        far, rest = self._parts(strengths)
        return self.second.moved(self.first.moved(z, far), rest)

    def readings(self, z: Tensor, strengths: Mapping[str, Tensor]) -> dict[str, Tensor]:
        far, rest = self._parts(strengths)
        after = self.first.readings(self.moved(z, strengths), {})
        return after | self.second.readings(self.first.moved(z, far), rest)

    def notes(self, z: Tensor, strengths: Mapping[str, Tensor]) -> list[tuple[str, ...]]:
        far, rest = self._parts(strengths)
        later = self.second.notes(self.first.moved(z, far), rest)
        return [a + b for a, b in zip(self.first.notes(z, far), later, strict=True)]

    def _parts(self, strengths: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], ...]:
        far = {name: s for name, s in strengths.items() if name in self.names}
        return far, {name: s for name, s in strengths.items() if name not in self.names}


def mover(
    known: Mapping[str, Direction],
    found: Counterfactual | None,
    *,
    by: Mapping[str, Value] | None = None,
    to: Mapping[str, Value] | None = None,
    keep: Sequence[str] = (),
) -> Mover:
    """By counterfactuals what they know, and then along directions what is left.

    What they were too few examples to learn goes along its direction, where there is one.

    Raises InputError as both do; where both move, for what is to be kept and is no direction.
    """
    by, to = by or {}, to or {}
    if found is None:
        return Moves.of(known, by=by, to=to, keep=keep)
    learned = {name for name in names(found) if reads(found, name) or name not in known}
    rest = [name for name in (*by, *to) if name not in learned]
    if lost := [name for name in rest if name not in known]:
        mend = nearest_name(lost[0], {*names(found), *known})
        raise InputError(f"no attribute or direction '{lost[0]}'; {mend}")
    if len(rest) == len(by) + len(to):
        return Moves.of(known, by=by, to=to, keep=keep)
    kept = [name for name in keep if not rest or knows(found, name)]
    first = Counterfactuals.of(
        found,
        by={n: s for n, s in by.items() if n not in rest},
        to={n: value for n, value in to.items() if n not in rest},
        keep=kept,
    )
    if not rest:
        return first
    second = Moves.of(
        known,
        by={n: s for n, s in by.items() if n in rest},
        to={n: value for n, value in to.items() if n in rest},
        keep=keep,
    )
    return Chain(first, second, frozenset({*first.by, *first.to}))


def knows(found: Counterfactual, name: str) -> bool:
    return name in names(found)


def reads(found: Counterfactual, name: str) -> bool:
    """Whether images tell it better than its mean does."""
    rows = zip(found.columns, found.reader.r_squared.tolist(), strict=True)
    return any(not r <= 0 for c, r in rows if name in (c.name, c.group))


def names(found: Counterfactual) -> set[str]:
    """Of columns, and of the attributes that they are of."""
    return {name for c in found.columns for name in (c.name, c.group)}


def _values(found: Counterfactual, group: str) -> list[str]:
    """What an attribute of several values can be, as columns `group:value` name it."""
    return [c.name.removeprefix(f"{group}:") for c in found.columns if c.group == group]


def _column(found: Counterfactual, name: str) -> int:
    """Raises InputError for the name of an attribute of several values, and of none."""
    if knows(found, name) and name not in (c.name for c in found.columns):
        value = _values(found, name)[0]
        raise InputError(
            f"'{name}' has several values; choose one, as in --by {name}:{value}=2 or "
            f"--to {name}={value}"
        )
    return found.index(name)


def _wanted(found: Counterfactual, name: str, value: Value) -> tuple[str, Wanted]:
    """The column that is to change, and the reading it is to have."""
    value = value if isinstance(value, str) else f"{value:g}"
    if knows(found, name) and name not in (c.name for c in found.columns):
        values = _values(found, name)
        if value not in values:
            raise InputError(f"no value '{value}' of '{name}'; {nearest_name(value, values)}")
        return _wanted(found, f"{name}:{value}", "yes")
    j = found.index(name)
    column, given = found.columns[j], f"--to {name}={value}"
    amount, side = WORDS.get(spoken(value, column.meaning), (value, 0))
    amount = number(amount, given, f"{name}=0.8, or {name}=yes")
    if column.binary and amount not in (0, 1):
        raise InputError(f"{given}: an image has '{name}' or not; give yes or no")
    reading = (amount - found.mean[j].item()) / found.deviation[j].item()
    return name, Wanted(strength(reading, given, f"{name}=0.8"), 0 if column.binary else side)
