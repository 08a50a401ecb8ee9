"""Named directions beside their run: RUN/directions/NAME.safetensors, each a file by itself.

A file holds the vector, the normal, and in its header the rest as JSON; it is read without pickle
and stands by itself, so that sharing a direction is sending the file.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

import preimage
from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.exploration.direction import Direction
from preimage.runs.files import readable_errors, write_out

FOLDER, ENDING = "directions", ".safetensors"
KEY = "direction"  # in the header
LONGEST = 100  # letters of a name
TENSORS = ("vector", "normal")
MEASURED = {  # in a report, and of each what is shown
    "accuracy": ("value", "low", "high"), "r_squared": ("value",), "slope": ("value",),
}  # fmt: skip
NAMES = re.compile(r"\w(?:[\w .+:-]*[\w+-])?")  # '=' separates a strength; ':' becomes '=' in files


def check_name(name: str) -> None:
    """Raises InputError for a name that could not stand in a command and be a file everywhere."""
    if len(name) > LONGEST or not NAMES.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a direction; use letters, digits, '-', '_' and inner spaces, "
            f"dots or colons, at most {LONGEST}"
        )


def direction_path(run: Path, name: str) -> Path:
    """Raises InputError for a name that is odd."""
    check_name(name)
    return run / FOLDER / f"{name.replace(':', '=')}{ENDING}"


def save_direction(run: Path, direction: Direction) -> Path:
    """Write the direction to its run, in place of one of that name."""
    return export_direction(direction, direction_path(run, direction.name))


def export_direction(direction: Direction, path: Path) -> Path:
    """Write the direction to a file that stands by itself."""
    check_name(direction.name)
    facts: dict[str, Any] = {f.name: getattr(direction, f.name) for f in fields(direction)}
    tensors = {n: facts.pop(n) for n in TENSORS}
    content = save(
        {n: t.detach().float().cpu().clone() for n, t in tensors.items() if t is not None},
        metadata={KEY: json.dumps(facts, ensure_ascii=False), "preimage": preimage.__version__},
    )
    return write_out(path, content)


def import_direction(path: Path) -> Direction:
    """What `export_direction` wrote. Raises InputError where the file is no such thing."""
    if not path.is_file():
        raise InputError(f"{path} is not a direction: there is no such file")
    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(KEY)
            tensors = {n: file.get_tensor(n) for n in TENSORS if n in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is broken: {error}") from None
    try:
        facts = json.loads(header or "")
        if not isinstance(facts["conditioned"], list):
            raise TypeError
        if not isinstance(facts.get("meaning"), list | None):
            raise TypeError
        facts["conditioned"] = tuple(facts["conditioned"])
        if facts.get("meaning") is not None:
            facts["meaning"] = tuple(facts["meaning"])
        direction = Direction(**tensors, **facts)
        _check(direction)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a direction that this version can read") from None
    return direction


def load_direction(run: Path, name: str) -> Direction:
    """The direction of that name. Raises InputError where there is none, or it is broken."""
    path = direction_path(run, name)
    if not path.is_file():
        raise _absent(run, name)
    return import_direction(path)


def direction_names(run: Path) -> list[str]:
    """The names of a run's directions, in alphabetical order."""
    files = (run / FOLDER).glob(f"*{ENDING}") if (run / FOLDER).is_dir() else ()
    names = (file.name.removesuffix(ENDING).replace("=", ":") for file in files)
    return sorted(name for name in names if NAMES.fullmatch(name))


def all_directions(run: Path, *, needed: Collection[str] = ()) -> dict[str, Direction]:
    """All directions of a run, by name; of a broken file there is a warning.

    Raises InputError where one that is needed is broken.
    """
    found = {}
    for name in direction_names(run):
        try:
            found[name] = load_direction(run, name)
        except InputError as error:
            if name in needed:
                raise
            warnings.warn(f"{error}; it is left out", stacklevel=2)
    return found


def remove_direction(run: Path, name: str) -> Path:
    """Delete the direction of that name. Raises InputError where there is none."""
    path = direction_path(run, name)
    if not path.is_file():
        raise _absent(run, name)
    with readable_errors(path):
        path.unlink()
        path.with_suffix(".png").unlink(missing_ok=True)  # its sheet
    return path


def _absent(run: Path, name: str) -> InputError:
    known = direction_names(run)
    mend = nearest_name(name, known) if known else f"fit one with: preimage direction {run}"
    return InputError(f"{run} has no direction '{name}'; {mend}")


def _check(direction: Direction) -> None:
    """Raises TypeError or ValueError where a field is not what it must be."""
    words = (direction.name, direction.model, direction.method)
    meaning = direction.meaning
    right = (
        all(isinstance(word, str) for word in words)
        and isinstance(direction.space, str | None)
        and all(map(_is_number, (direction.offset, direction.mean, direction.deviation)))
        and direction.deviation > 0
        and (meaning is None or (len(meaning) == 2 and all(isinstance(m, str) for m in meaning)))
        and all(isinstance(name, str) for name in direction.conditioned)
        and _is_report(direction.report)
        and bool(direction.vector.isfinite().all())
        and (direction.normal is None or direction.normal.shape == direction.vector.shape)
        and (direction.normal is None or bool(direction.normal.isfinite().all()))
    )
    if not right:
        raise TypeError
    check_name(direction.name)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_report(report: object) -> bool:
    """Whether what is shown of it can be."""
    if not isinstance(report, dict):
        return False
    numbers = [report[key] for key in ("examples", "explained", "singular_value") if key in report]
    correlations = report.get("correlations", {})
    if not isinstance(correlations, dict):
        return False
    for key, parts in MEASURED.items():
        if (measure := report.get(key)) is not None:
            if not isinstance(measure, dict):
                return False
            numbers += [measure.get(part) for part in parts]
    return all(map(_is_number, [*numbers, *correlations.values()]))
