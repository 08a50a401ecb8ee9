"""Frozen config dataclasses to JSON and back, strictly: an unknown name is an error."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

from preimage.core.errors import InputError, nearest_name
from preimage.core.spec import DataSpec


def to_json(value: Any) -> Any:
    """A config, however nested, as JSON values; a dataclass carries its name under "type"."""
    if isinstance(value, DataSpec):
        return {"type": "DataSpec", **value.to_json()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value


def from_json(value: Any, types: Mapping[str, type]) -> Any:
    """The config that `to_json` wrote; `types` names every dataclass that may stand in it.

    Raises InputError for a type or field this version does not know, and a value of a wrong kind.
    """
    if isinstance(value, list):
        return tuple(from_json(item, types) for item in value)
    if not isinstance(value, dict):
        return value
    fields = dict(value)
    name = fields.pop("type", None)
    if name == "DataSpec":
        try:
            return DataSpec.from_json(fields)
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{fields} in a run's config does not describe data") from None
    if name not in types:
        raise InputError(f"this version does not know '{name}' in a run's config; upgrade preimage")
    known = {f.name for f in dataclasses.fields(types[name])}
    if unknown := set(fields) - known:
        raise InputError(f"this version does not know '{name}.{unknown.pop()}'; upgrade preimage")
    kinds = typing.get_type_hints(types[name])
    values = {key: from_json(item, types) for key, item in fields.items()}
    try:
        return types[name](**{k: _of_kind(k, v, kinds[k]) for k, v in values.items()})
    except TypeError as error:  # a field without a default is missing
        raise InputError(f"'{name}' in a run's config is incomplete: {error}") from None


def changed(config: Any, **options: Any) -> tuple[Any, set[str]]:
    """The config with those options replaced that it has, and the names it did have.

    Raises InputError where a value is not of the option's kind.
    """
    known = {f.name for f in dataclasses.fields(config)} & options.keys()
    kinds = typing.get_type_hints(type(config)) if known else {}
    values = {name: _of_kind(name, options[name], kinds[name]) for name in known}
    return dataclasses.replace(config, **values), known


def _of_kind(name: str, value: Any, kind: Any) -> Any:
    """The value as the option takes it: a list for a tuple, a whole number for a float."""
    parts = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        if isinstance(value, list | tuple) and (... in parts or len(value) == len(parts)):
            kinds = (parts[0],) * len(value) if ... in parts else parts
            if parts[0] is int:
                _check_most(f"the length of {name}", len(value), LAYERS)
            return tuple(_of_kind(name, v, k) for v, k in zip(value, kinds, strict=True))
        count = "some" if ... in parts else len(parts)
        raise InputError(f"{name}={value!r} is not a list of {count} values, as in [1, 2]")
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value):
            return value
    elif kind not in _KINDS:  # another config
        if dataclasses.is_dataclass(value) or (value is None and type(None) in parts):
            return value
        raise InputError(f'{name}={value!r} is not a config with a "type", as config.json has it')
    elif isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        if kind is int:
            _check_most(name, value, LAYERS if name in LAYERED else MOST)
            if value < (least := int(name in POSITIVE)):
                raise InputError(f"{name}={value} is not possible; give {least} or more")
        return value
    raise InputError(f"{name}={value!r} is not {_KINDS[kind]}")


def _check_most(name: str, value: int, most: int) -> None:
    """Raises InputError for a number with which a model, a stranger's perhaps, is never built."""
    if value > most:
        raise InputError(f"{name}={value} is not possible; give {most} or less")


MOST = 10**9  # that any whole number may be
LAYERS = 100  # that may be named, or counted by these:
LAYERED = {"blocks", "depth"}
POSITIVE = {"width", "widest", "widths", "channels", "strides", "heads", "latent"}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def unknown_option(name: str, known: set[str]) -> InputError:
    return InputError(f"no option '{name}' for this recipe; {nearest_name(name, known)}")
