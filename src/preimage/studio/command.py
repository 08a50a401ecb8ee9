"""The command line that does what the page shows.

A place that the run alone can tell, a sample or an image of its data, stands in the line itself;
any other, a point of the map say, is written to a file of latents beside the run, which the line
names. Run as it stands, the command writes the very picture that is seen.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preimage.runs.directions import direction_names
from preimage.studio.args import Args, Arithmetic, Base, Blend, Item, Mean, Sample
from preimage.studio.render import find
from preimage.studio.workspace import Workspace


@dataclass(frozen=True)
class Command:
    """A line for a terminal, and the file that had to be written for it."""

    words: tuple[str, ...]
    saved: Path | None = None

    def to_json(self) -> dict[str, Any]:
        saved = None if self.saved is None else str(self.saved)
        return {"command": shlex.join(self.words), "saved": saved}


def command(workspace: Workspace, args: Args, *, out: str = "picture.png") -> Command:
    """`preimage render RUN …` of some arguments. Raises ArgsError where these are wrong."""
    found = find(workspace, args)
    saved = None
    known = set(direction_names(workspace.path))
    words = None if args.moves.keys() - known else _places(args.base)
    if words is None:
        if args.moves.keys() - known:  # a direction that nobody saved: its effect is kept instead
            args = replace(args, moves={}, dims={})
            z = found.z
        else:
            z = find(workspace, Args(args.base, label=found.label)).z
        saved = workspace.latents_path(workspace.store(z, found.label))
        words = ["--from", f"{saved}[0]"]
    for name, strength in args.moves.items():
        words += ["--move", f"{name}={strength:.10g}"]
    for index, amount in args.dims.items():
        words += ["--dim", f"{index}={amount:.10g}"]
    if found.label is not None:
        words += ["--label", found.label]
    return Command(("preimage", "render", str(workspace.path), *words, "--out", out), saved)


def _places(base: Base) -> list[str] | None:
    """A base as options; None where the run alone cannot tell it."""
    if (one := _place(base)) is not None:
        return ["--from", one]
    if isinstance(base, Blend):
        a, b = _place(base.a), _place(base.b)
        if a is None or b is None:
            return None
        return ["--from", a, "--towards", b, "--share", f"{base.t:.10g}", "--path", base.path]
    if isinstance(base, Arithmetic):
        a, b, c = (_place(part) for part in (base.a, base.b, base.c))
        if a is None or b is None or c is None:
            return None
        return ["--from", a, "--minus", b, "--plus", c]
    return None


def _place(base: Base) -> str | None:
    if isinstance(base, Mean):
        return "mean"
    if isinstance(base, Sample):
        return f"random:{base.seed}"
    if isinstance(base, Item):
        return f"item:{base.index}"
    return None
