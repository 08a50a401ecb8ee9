"""`preimage demo`: the whole of it at a glance, on images that ship."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Json, Seed
from preimage.cli.output import show
from preimage.cli.progress import Bar


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("demo"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train on images that ship; write a report.

    A VAE and a GAN on handwritten digits and a VAE on drawn faces, in about two minutes and without
    network; OUT/report.html shows what they learnt.
    """
    from preimage.demo import run_demo

    began = time.monotonic()
    with Bar() as bar:
        report = run_demo(out, seed=seed, progress=bar)
    seconds = round(time.monotonic() - began, 1)
    result = {"report": str(report), "seconds": seconds}
    show(result, f"look at {report} (made in {seconds:g} s)", as_json=as_json)
