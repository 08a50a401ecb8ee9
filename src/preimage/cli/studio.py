"""`preimage studio`: the latent space of a run, live in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.output import remark


def studio(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN …]", help="Folders of runs. Unset, small models that come along."
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="To serve on. Unset, 8642 or the next that is free.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="To serve on; 0.0.0.0 lets other machines in that know the address.")
    ] = "127.0.0.1",
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="Below which the page may train on images. May be repeated."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Images to show, instead of those the run was trained on.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, or only say where it is.")
    ] = True,
    device: Annotated[
        str, typer.Option(help="Where to compute: cpu, cuda, …; auto takes the best there is.")
    ] = "auto",
) -> None:
    """See the latent space of a run in the browser, and move through it live.

    Serves on this machine alone, at an address with a secret in it. Ctrl-C ends it.
    """
    from preimage.studio.serve import EVERYWHERE, serve

    if host in EVERYWHERE:
        remark("anyone who can reach this machine and learns the address can use the studio")
    serve(
        runs or _starters(),
        host=host,
        port=port,
        folders=folder or (),
        source=data,
        device=device,
        browser=browser,
        say=typer.echo,
    )


def _starters() -> list[Path]:
    """The runs that ship with Preimage."""
    from preimage import starters

    return list(starters.runs().values())
