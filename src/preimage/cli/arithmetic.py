"""`preimage arithmetic`: sums and differences of images, taken in the latent space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder
from preimage.cli.output import show
from preimage.cli.progress import Bar


def arithmetic(
    run: RunFolder,
    expression: Annotated[
        str,
        typer.Argument(
            metavar="EXPRESSION",
            help="'a.png - b.png + 0.5 * photos/': images, folders (their mean), saved latents "
            "(found.npz[3]) or random:SEED. Quote names with spaces.",
        ),
    ],
    label: Annotated[str | None, typer.Option(help="Class of a conditional model.")] = None,
    invert: Annotated[
        str,
        typer.Option(help="How images become latents: encoder, search, or auto: whichever is had."),
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/arithmetic.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Add and subtract images by their latents.

    Writes the image it comes to, a sheet of the sum, and the latents.
    """
    from preimage.api.walks import arithmetic_files

    with Bar() as bar:
        result = arithmetic_files(
            run,
            expression,
            out=out or run / "arithmetic",
            label=label,
            invert=invert,
            device=device,
            progress=bar,
        )
    show(result, f"{result['image']}\nsheet: {result['sheet']}", as_json=as_json)
