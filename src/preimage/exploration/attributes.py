"""What is known of images, as columns of numbers: one for each direction there can be.

A continuous attribute is a column as it is, one of two values a column of 0 and 1, and one of K
values K columns `attribute:value`, each value against the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError
from preimage.core.words import counted
from preimage.data.labels import SILENT, known_codes

LONGEST = 45  # letters of a name; that of a column may hold two
LEAST = 5  # examples of each kind: one for each part of the cross-validation


@dataclass(frozen=True)
class Attribute:
    """One column: a number for each image, NaN where it is not known."""

    name: str  # "smile", "hair:red"
    values: Tensor  # (N,) float64; 0 and 1 of a binary one
    group: str  # the attribute it is a column of: "hair"
    meaning: tuple[str, str] | None = None  # what 0 and 1 stand for; None of a continuous one

    @property
    def binary(self) -> bool:
        return self.meaning is not None

    @property
    def known(self) -> Tensor:
        return self.values.isfinite()

    def lack(self) -> str | None:
        """Why no direction can be fitted, in a line that says how many examples it takes."""
        values = self.values[self.known]
        if not len(values):
            return f"'{self.name}' is known of no image"
        if self.meaning is None:
            if len(values) < 2 * LEAST:
                examples = counted(len(values), "example")
                return f"'{self.name}' has {examples}; at least {2 * LEAST} are needed"
            if (values == values[0]).all():
                return f"'{self.name}' is {values[0]:g} in every image; it must vary"
            return None
        counts = [int((values == side).sum()) for side in (0, 1)]
        for side in (0, 1):
            if counts[side] == 0:
                return (
                    f"'{self.name}' has one class only: all {len(values)} examples are "
                    f"'{self.meaning[1 - side]}'; add at least {LEAST} of the other"
                )
        for side in (0, 1):
            if counts[side] < LEAST:
                return (
                    f"'{self.name}' has {counted(counts[side], 'example')} of "
                    f"'{self.meaning[side]}'; at least {LEAST} of each kind are needed"
                )
        return None

    def check(self) -> None:
        """Raises InputError where no direction can be fitted."""
        if lack := self.lack():
            raise InputError(lack)


def attribute(
    name: str,
    values: Tensor | np.ndarray | Sequence[float],  # (N,), NaN where unknown
    *,
    meaning: tuple[str, str] | None = None,  # of values that are 0 and 1: what these stand for
) -> Attribute:
    """A column of numbers; one of two values (or booleans) is binary, the larger one positive."""
    column = torch.as_tensor(values).double().flatten()
    distinct = column[column.isfinite()].unique()
    if meaning is not None or len(distinct) not in (1, 2):
        return Attribute(name, column, name, meaning)
    *low, high = (f"{value:g}" for value in distinct)
    column = torch.where(column.isfinite(), (column == distinct[-1]).double(), torch.nan)
    return Attribute(name, column, name, (low[0] if low else f"not {high}", high))


def columns(
    attributes: Mapping[str, np.ndarray | Tensor],  # name → (N,)
    categories: Mapping[str, Sequence[str]] | None = None,  # of coded ones: code → value
) -> dict[str, Attribute]:
    """The columns of all attributes of a data set, by name, in their order."""
    found: dict[str, Attribute] = {}
    for group, (name, values) in zip(_plain(list(attributes)), attributes.items(), strict=True):
        values = torch.as_tensor(values).double()
        names = (categories or {}).get(name)
        made = [attribute(group, values)] if names is None else _coded(group, values, names)
        found |= {column.name: column for column in made}
    return found


def _coded(group: str, codes: Tensor, names: Sequence[str]) -> list[Attribute]:
    codes = torch.from_numpy(known_codes(codes.numpy(), names))
    used = [code for code, value in enumerate(names) if value not in SILENT]
    titles, known = _plain([names[u] for u in used]), codes.isfinite()

    def column(title: str, code: int, other: str) -> Attribute:
        values = torch.where(known, (codes == code).double(), torch.nan)
        return Attribute(title, values, group, (other, names[code]))

    if len(used) == 2:
        return [column(group, used[1], names[used[0]])]
    return [
        column(f"{group}:{title}", u, f"not {names[u]}")
        for title, u in zip(titles, used, strict=True)
    ]


def _plain(names: Sequence[str]) -> list[str]:
    """`plain` of each; those that come out alike are numbered."""
    found: list[str] = []
    for name in map(plain, names):
        others = (f"{name}-{i}" for i in count(2))
        found.append(name if name not in found else next(o for o in others if o not in found))
    return found


def plain(name: str) -> str:
    """A name that can stand in a command and as a file: odd letters become dashes."""
    letters = re.sub(r"[^\w .+-]", "-", str(name)).lstrip(" .+-")
    return letters[:LONGEST].rstrip(" .") or "unnamed"
