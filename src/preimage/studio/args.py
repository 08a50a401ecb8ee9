"""What is to be seen, as the page writes it down: a place in the latent space, and moves from it.

    {"base": {"kind": "sample", "seed": 3}, "moves": {"smile": 1.5}, "dims": {"3": -0.5}}

The whole state of the view is one such value; it stands in the address bar, in the gallery and in
exports. Here it is read and checked, so that whatever a browser sends is either `Args` or one line
that says what is wrong, and where.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from preimage.core import InputError
from preimage.core.errors import nearest_name

DEEPEST = 6  # blends of blends of …
MOST = 4096  # moves and dims together
FARTHEST = 1e6  # of any number
LARGEST_SEED = 2**63 - 1
PATHS = ("lerp", "slerp", "geodesic")
IDENTIFIER = re.compile(r"[0-9a-f]{8,32}")


class ArgsError(InputError):
    """Something in the arguments is wrong; `where` says in which of them."""

    def __init__(self, message: str, where: str):
        super().__init__(message)
        self.where = where


@dataclass(frozen=True)
class Mean:
    """The centre of the latent space."""


@dataclass(frozen=True)
class Sample:
    """A draw from the prior."""

    seed: int


@dataclass(frozen=True)
class Item:
    """An image of the data set."""

    index: int


@dataclass(frozen=True)
class Picture:
    """An image that a person brought, by its best known latent."""

    id: str


@dataclass(frozen=True)
class Place:
    """A point of the map."""

    x: float
    y: float
    on: str | None = None  # which map; unset, the one that is shown


@dataclass(frozen=True)
class Blend:
    """Between two places."""

    a: Base
    b: Base
    t: float
    path: str = "slerp"


@dataclass(frozen=True)
class Arithmetic:
    """a − b + c."""

    a: Base
    b: Base
    c: Base


@dataclass(frozen=True)
class Latent:
    """A latent that was kept, or that a job has found."""

    id: str


Base = Mean | Sample | Item | Picture | Place | Blend | Arithmetic | Latent

KINDS: dict[str, type] = {
    "mean": Mean,
    "sample": Sample,
    "item": Item,
    "image": Picture,
    "map": Place,
    "blend": Blend,
    "arithmetic": Arithmetic,
    "latent": Latent,
}
NAMES = {kind: name for name, kind in KINDS.items()}


@dataclass(frozen=True)
class Args:
    """The whole state of the view."""

    base: Base = field(default_factory=Mean)
    moves: Mapping[str, float] = field(default_factory=dict)  # named directions, in their units
    dims: Mapping[int, float] = field(default_factory=dict)  # numbers of the latent, added
    label: str | None = None  # the class, of a conditional model


def parse(value: object) -> Args:
    """The arguments that JSON holds. Raises ArgsError where it holds something else."""
    if not isinstance(value, dict):
        raise ArgsError("the arguments must be a JSON object", "args")
    if unknown := value.keys() - {"base", "moves", "dims", "label"}:
        raise ArgsError(f"no argument '{_short(min(unknown, key=str))}'", "args")
    label = value.get("label")
    if label is not None and not isinstance(label, str):
        raise ArgsError("the label must be the name of a class", "label")
    moves = _numbers(value.get("moves"), "moves")
    dims = {}
    for name, amount in _numbers(value.get("dims"), "dims").items():
        if not (name.isascii() and name.isdecimal() and len(name) < 10):
            raise ArgsError(f"'{_short(name)}' is no number of the latent", "dims")
        dims[int(name)] = amount
    return Args(_base(value.get("base", {"kind": "mean"}), "base", DEEPEST), moves, dims, label)


def check_text(value: object) -> None:
    """Raises ArgsError where JSON holds half a character, which no file and no answer can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ArgsError("a text holds half a character; leave it out", "args") from None


def to_json(args: Args) -> dict[str, Any]:
    """What `parse` reads."""
    return {
        "base": _base_json(args.base),
        "moves": dict(args.moves),
        "dims": {str(index): amount for index, amount in args.dims.items()},
        "label": args.label,
    }


def _base(value: object, where: str, deepest: int) -> Base:
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ArgsError("a base must be a JSON object with a kind", where)
    if value["kind"] not in KINDS:
        kind = _short(value["kind"])
        raise ArgsError(f"no kind of base '{kind}'; {nearest_name(kind, KINDS)}", where)
    if deepest == 0:
        raise ArgsError("blends and sums are nested too deeply; keep one of them first", where)
    made = KINDS[value["kind"]]
    known = {part.name: part for part in fields(made)}
    if unknown := value.keys() - known.keys() - {"kind"}:
        raise ArgsError(f"a {value['kind']} has no '{_short(min(unknown, key=str))}'", where)
    parts = {}
    for name, part in known.items():
        inside = f"{where}.{name}"
        if value.get(name) is None:
            if part.name in ("on", "path"):
                continue
            raise ArgsError(f"a {value['kind']} needs '{name}'", inside)
        parts[name] = _READERS[name](value[name], inside, deepest)
    return made(**parts)


def _base_json(base: Base) -> dict[str, Any]:
    parts = {part.name: getattr(base, part.name) for part in fields(base)}
    written = {k: _base_json(v) if type(v) in NAMES else v for k, v in parts.items()}
    return {"kind": NAMES[type(base)], **{k: v for k, v in written.items() if v is not None}}


def _numbers(value: object, where: str) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MOST:
        raise ArgsError("must be a JSON object of names and numbers", where)
    return {name: _number(amount, f"{where}.{_short(name)}") for name, amount in value.items()}


def _number(value: object, where: str, deepest: int = 0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArgsError("must be a number", where)
    if not -FARTHEST <= value <= FARTHEST or not math.isfinite(value):
        raise ArgsError(f"must lie between −{FARTHEST:g} and {FARTHEST:g}", where)
    return float(value)


def _share(value: object, where: str, deepest: int) -> float:
    number = _number(value, where)
    if not -1 <= number <= 2:
        raise ArgsError("must lie between −1 and 2", where)
    return number


def _whole(value: object, where: str, deepest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_SEED:
        raise ArgsError("must be a whole number from 0", where)
    return value


def _identifier(value: object, where: str, deepest: int) -> str:
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        raise ArgsError("must be an id that this studio gave", where)
    return value


def _word(value: object, where: str, deepest: int) -> str:
    if not isinstance(value, str) or len(value) > 20:
        raise ArgsError("must be a short name", where)
    return value


def _path(value: object, where: str, deepest: int) -> str:
    name = _word(value, where, deepest)
    if name not in PATHS:
        raise ArgsError(f"no path '{name}'; {nearest_name(name, PATHS)}", where)
    return name


_READERS = {
    "seed": _whole,
    "index": _whole,
    "id": _identifier,
    "x": _number,
    "y": _number,
    "on": _word,
    "t": _share,
    "path": _path,
    **dict.fromkeys("abc", lambda value, where, deepest: _base(value, where, deepest - 1)),
}


def _short(text: object) -> str:
    """What a stranger wrote, fit to stand in a line."""
    return str(text)[:40]
