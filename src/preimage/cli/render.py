"""`preimage render`: one picture of a place in the latent space, as the studio shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder
from preimage.cli.output import show
from preimage.cli.progress import Bar


def render(
    run: RunFolder,
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            help="Where: mean, random:SEED, item:INDEX of the run's images, saved latents as "
            "found.npz[3], or an image file.",
        ),
    ] = "mean",
    towards: Annotated[
        str | None, typer.Option(help="Another place, to be between the two.")
    ] = None,
    share: Annotated[float, typer.Option(help="How far, from 0 to 1.")] = 0.5,
    path: Annotated[str, typer.Option(help="slerp, lerp or geodesic.")] = "slerp",
    minus: Annotated[
        str | None, typer.Option(help="With --plus: FROM − MINUS + PLUS, of latents.")
    ] = None,
    plus: Annotated[str | None, typer.Option(help="See --minus.")] = None,
    move: Annotated[
        list[str] | None,
        typer.Option(help="DIRECTION=UNITS of a direction saved with the run. May be repeated."),
    ] = None,
    dim: Annotated[
        list[str] | None,
        typer.Option(help="INDEX=AMOUNT added to one number of the latent. May be repeated."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Class of a conditional model.")] = None,
    out: Annotated[Path, typer.Option(help="The PNG file to write.")] = Path("picture.png"),
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Draw one picture from a place in the latent space, and moves from it.

    It is the picture that the studio shows: its page tells the line that makes it.
    """
    from preimage.studio.rendering import render_file

    with Bar() as bar:
        result = render_file(
            run,
            begin,
            towards=towards,
            share=share,
            path=path,
            minus=minus,
            plus=plus,
            moves=_numbers(move or [], "--move"),
            dims=_numbers(dim or [], "--dim"),
            label=label,
            out=out,
            device=device,
            progress=bar,
        )
    show(result, result["image"], as_json=as_json)


def _numbers(texts: list[str], option: str) -> dict[str, float]:
    """`smile=1.5`, …"""
    found = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise typer.BadParameter(
                f"{text!r} is not NAME=NUMBER; give one like smile=1.5", param_hint=f"'{option}'"
            )
    return found
