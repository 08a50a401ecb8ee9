"""What a verb prints: one JSON object, or text; and remarks on standard error."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import typer


def remark(text: str) -> None:
    """A line for a person, on standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def show(result: dict[str, Any], text: str, *, as_json: bool) -> None:
    """The one thing a verb prints on standard output."""
    shown = json.dumps(result, ensure_ascii=False, default=str) if as_json else text
    typer.echo(printable(shown))


def printable(text: str, *, keep: str = "\n") -> str:
    r"""Control characters escaped as in JSON, `\u001b`: no file's name can steer a terminal.

    So are the surrogates that stand for bytes of a name that are no UTF-8.
    """
    return "".join(
        f"\\u{ord(c):04x}" if unicodedata.category(c) in ("Cc", "Cs") and c not in keep else c
        for c in text
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; a last column may be any length."""
    lines = [[printable(cell, keep="") for cell in line] for line in (header, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
