"""What was done to images, as the options of `preimage restore` say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from preimage.api.photographs import read_mask
from preimage.core import DataSpec, InputError
from preimage.core.errors import nearest_name
from preimage.inversion.operators import Blur, Compose, Downsample, Grey, ImageOperator, Noise
from preimage.inversion.operators.words import seen_mask

OPTIONS = {
    "mask": ("--mask", "seen.png"),
    "low-resolution": ("--factor", "4"),
    "blur": ("--sigma", "2"),
    "noise": ("--noise", "0.3"),
    "grey": ("", ""),
}
"""What may have been done → the option that it needs, and a value of that."""


def damage(names: Sequence[str], given: Mapping[str, Any], data: DataSpec) -> ImageOperator:
    """The operators of these names, in turn.

    given: name → the value of its option, None where that is unset.

    Raises InputError that names the option.
    """
    _check(names, given)
    values = dict(given)
    if "mask" in names:
        values["mask"] = read_mask(given["mask"])
    parts: list[ImageOperator] = []
    x = torch.zeros(1, *data.shape)
    for name in names:
        try:
            parts.append(_made(name, values.get(name), (x.shape[2], x.shape[3])))
            x = parts[-1](x)  # or say that nothing of an image would be left
        except InputError as error:
            said = f"{OPTIONS[name][0]} {given[name]}" if name in given else f"--from {name}"
            raise InputError(f"{said}: {error}") from None
    return parts[0] if len(parts) == 1 else Compose(*parts)


def _check(names: Sequence[str], given: Mapping[str, Any]) -> None:
    """Raises InputError for what nobody can have done, and for options too few or too many."""
    for i, name in enumerate(names):
        if name not in OPTIONS:
            raise InputError(f"--from {name}: no such; {nearest_name(name, OPTIONS)}")
        if name in names[:i]:
            raise InputError(f"--from {name} is given twice, and can be given once; leave one out")
        option, example = OPTIONS[name]
        if option and given[name] is None:
            raise InputError(f"--from {name} needs {option}, as in {option} {example}")
    for name, value in given.items():
        if value is not None and name not in names:
            raise InputError(f"{OPTIONS[name][0]} says nothing without --from {name}; add that")


def _made(name: str, value: Any, size: tuple[int, int]) -> ImageOperator:
    if name == "mask":
        return seen_mask(value, size)
    if name == "grey":
        return Grey()
    return {"low-resolution": Downsample, "blur": Blur, "noise": Noise}[name](value)
