"""`preimage manifold`: a grid of images over two numbers of the latent, or two directions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from preimage.cli.options import Device, Json, RunFolder, parse_range
from preimage.cli.output import show

EDGES = "0.05,0.95"


def manifold(
    run: RunFolder,
    across: Annotated[
        str | None,
        typer.Option(
            help="A number of the latent, from 0, or a saved direction. Unset, the number that "
            "moves the image most."
        ),
    ] = None,
    up: Annotated[str | None, typer.Option(help="The same, for the other axis.")] = None,
    centre: Annotated[
        str | None, typer.Option(help="An image that the plane goes through; unset, the mean.")
    ] = None,
    size: Annotated[int, typer.Option(min=2, help="Images on a side.")] = 15,
    edges: Annotated[
        Any,
        typer.Option(
            parser=partial(parse_range, example=EDGES),
            metavar="LOW,HIGH",
            help="Quantiles from edge to edge.",
        ),
    ] = EDGES,
    label: Annotated[str | None, typer.Option(help="Class of a conditional model.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="PNG file to write. Unset, RUN/manifold.png.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw what a model makes of a plane of latents.

    Places are evenly spaced in probability, through the inverse of the normal distribution. Where
    the latent has two numbers, that is the whole space.
    """
    import preimage as pi

    file = out or run / "manifold.png"
    found = pi.manifold(
        run,
        (across, up),
        centre=centre,
        size=size,
        edges=edges,
        label=label,
        out=file,
        device=device,
    )
    result = {
        "run": str(run),
        "picture": str(file),
        "axes": list(found.names),
        "across": found.across.tolist(),
        "up": found.up.tolist(),
        "quantiles": list(found.edges),
        "label": found.label,
    }
    classes = pi.Run.open(run).plan.model.classes
    told = "" if found.label is None else f", of class '{classes[found.label]}'"
    text = f"{found.names[0]} to the right, {found.names[1]} upwards{told}: {file}"
    show(result, text, as_json=as_json)
