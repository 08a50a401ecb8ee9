"""`preimage traverse`: steps along a run's named directions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed, parse_names
from preimage.cli.output import show, table
from preimage.cli.progress import Bar


def traverse(
    run: RunFolder,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Directions saved with the run: smile,age. Unset, all. Repeatable."),
    ] = None,
    images: Annotated[
        str, typer.Option(help="Where to set out: a file or folder, or random:SEED for samples.")
    ] = "random",
    n: Annotated[
        int, typer.Option("-n", "--number", min=1, help="From so many of them, a sheet each.")
    ] = 1,
    reach: Annotated[
        float, typer.Option(help="How far to go both ways, in standard deviations.")
    ] = 3.0,
    steps: Annotated[int, typer.Option(min=2, help="Images in a row.")] = 7,
    animation: Annotated[
        str | None, typer.Option(help="A moving picture too: gif, webp or mp4.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; of samples, in turn if unset.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/traversed.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Walk along named directions and see what changes.

    Writes a sheet, a row for each direction; says how much of the image each moves, and which
    of them are the same.
    """
    import preimage as pi

    if not 0 < reach < float("inf"):
        raise typer.BadParameter(f"{reach:g} goes nowhere; give one like 3", param_hint="'--reach'")
    with Bar() as bar:
        result = pi.traverse_files(
            run,
            parse_names(by),
            out=out or run / "traversed",
            images=images,
            n=n,
            strengths=[reach * (2 * i - (steps - 1)) / (steps - 1) for i in range(steps)],
            animation=animation,
            label=label,
            seed=seed,
            device=device,
            progress=bar,
        )
    rows = [
        [row["name"], f"{row['change']:.4f}", f"{100 * row['share']:.1f} %"]
        for row in result["directions"]
    ]
    lines = [table(["direction", "squared change a unit", "pixels that take part"], rows)]
    lines += [f"alike: {a} and {b}" for a, b in result["alike"]]
    lines += [f"sheet: {path}" for path in result["sheets"]]
    lines += [f"moving: {path}" for path in result["animations"]]
    show(result, "\n".join(lines), as_json=as_json)
