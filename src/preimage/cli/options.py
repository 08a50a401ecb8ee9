"""Options that several verbs take, and the parsers of those that are more than a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Device = Annotated[
    str, typer.Option(help="Where to compute: cpu, cuda, …; auto takes the best there is.")
]
Seed = Annotated[
    int,
    typer.Option(min=0, max=2**31 - 1, help="All that is random follows from this number."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, and nothing else, to stdout.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]


def parse_size(text: str) -> int | tuple[int, int]:
    """`64`, or `32x64` for height and width."""
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise typer.BadParameter(f"{text!r} is no size; give one like 64, or 32x64 (height, width)")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def parse_range(text: str, example: str = "0,4095") -> tuple[float, float]:
    """`0,4095`."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no range; give one like {example}") from None
    return low, high


def parse_names(texts: list[str] | None) -> list[str]:
    """`age,hair` or an option repeated: the names."""
    return [name.strip() for text in texts or [] for name in text.split(",") if name.strip()]


def parse_pairs(texts: list[str], option: str) -> dict[str, str]:
    """`smile=2`, …: what stands behind each name."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(
                f"{text!r} is not DIRECTION=VALUE; give one like smile=2",
                param_hint=f"'{option}'",
            )
        if name in found:
            raise typer.BadParameter(
                f"'{name}' is given twice; give it once", param_hint=f"'{option}'"
            )
        found[name] = value
    return found


def parse_settings(texts: list[str]) -> dict[str, Any]:
    """`key=value` each; the value is JSON where it can be, and else the text itself."""
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise typer.BadParameter(
                f"{text!r} is not key=value; put = between an option's name and its value",
                param_hint="'--set'",
            )
        settings[name.strip().replace("-", "_")] = _value(value.strip())
    return settings


def further_settings(texts: list[str], context: typer.Context) -> dict[str, Any]:
    """What `--set` says; an option that has a flag of its own is set by that."""
    settings = parse_settings(texts)
    flags = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name in settings:
        if name in flags or name in ("data", "progress"):
            raise typer.BadParameter(
                f"'{name}' cannot be set so; use {flags.get(name, 'SOURCE')}", param_hint="'--set'"
            )
    return settings


def parse_weights(texts: list[str], option: str) -> dict[str, float] | list[str] | None:
    """`l2`, `features=0.1`, …: the names, or their weights where one at least has its own."""
    if not any("=" in text for text in texts):
        return texts or None
    weights = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            weights[name] = float(value) if equals else 1.0
        except ValueError:
            raise typer.BadParameter(
                f"{text!r}: the weight is no number; give one like {name}=0.1",
                param_hint=f"'{option}'",
            ) from None
    return weights


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
