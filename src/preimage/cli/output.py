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
    typer.echo(json.dumps(result, ensure_ascii=False, default=str) if as_json else printable(text))


def printable(text: str) -> str:
    r"""Control characters escaped (`\x1b`), so that a file's name cannot steer the terminal."""
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"
        else c
        for c in text
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; a last column may be any length."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
