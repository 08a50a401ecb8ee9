"""What the verbs that train have in common: the loop, its end, and going on with `--resume`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from preimage.cli.progress import Bar
from preimage.cli.stopping import followed

if TYPE_CHECKING:
    from preimage import Training


def check_alone(context: typer.Context, *allowed: str) -> None:
    """Training goes on as it was configured: any other option would be silently without effect."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "")
        if given is None or given.name != "COMMANDLINE" or parameter.name in allowed:
            continue
        name = parameter.opts[0] if parameter.opts[0].startswith("-") else "SOURCE"
        raise typer.BadParameter(
            "training goes on with its own images and options; leave this out with --resume",
            param_hint=f"'{name}'",
        )


def trained(job: Training, bar: Bar) -> tuple[dict[str, Any], int]:
    """Train until the end or a signal: what there is to say of it, and the exit status."""
    began = time.monotonic()
    signals = followed(job, bar)
    result = {
        "step": job.done,
        "steps": job.total,
        "finished": job.finished,
        "seconds": round(time.monotonic() - began, 3),
        "figures": bar.figures,
        "data": job.run.config["data"],
        "notes": list(job.notes),
    }
    return result, 128 + signals[0] if signals and not job.finished else 0
