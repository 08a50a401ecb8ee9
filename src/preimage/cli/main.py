"""`preimage VERB …`: the verbs, and how every one of them begins and ends."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

import preimage
from preimage.cli.anomaly import anomaly
from preimage.cli.arithmetic import arithmetic
from preimage.cli.cache import cache
from preimage.cli.compare import compare
from preimage.cli.datasets import datasets
from preimage.cli.demo import demo
from preimage.cli.direction import direction
from preimage.cli.edit import edit
from preimage.cli.encoder import encoder
from preimage.cli.errors import DONE, status_of
from preimage.cli.evaluate import evaluate
from preimage.cli.explain import explain
from preimage.cli.index import index
from preimage.cli.inpaint import inpaint
from preimage.cli.interpolate import interpolate
from preimage.cli.invert import invert
from preimage.cli.manifold import manifold
from preimage.cli.map import map
from preimage.cli.recipes import recipes
from preimage.cli.reconstruct import reconstruct
from preimage.cli.render import render
from preimage.cli.restore import restore
from preimage.cli.sample import sample
from preimage.cli.search import search
from preimage.cli.studio import studio
from preimage.cli.train import train
from preimage.cli.traverse import traverse

VERBS: dict[str, Callable[..., Any] | typer.Typer] = {
    "demo": demo,
    "studio": studio,
    "train": train,
    "sample": sample,
    "render": render,
    "reconstruct": reconstruct,
    "invert": invert,
    "encoder": encoder,
    "direction": direction,
    "traverse": traverse,
    "edit": edit,
    "restore": restore,
    "inpaint": inpaint,
    "interpolate": interpolate,
    "arithmetic": arithmetic,
    "map": map,
    "manifold": manifold,
    "explain": explain,
    "evaluate": evaluate,
    "compare": compare,
    "anomaly": anomaly,
    "index": index,
    "search": search,
    "recipes": recipes,
    "datasets": datasets,
    "cache": cache,
}

app = typer.Typer(
    rich_markup_mode=None,  # plain help is twice as quick
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"preimage {preimage.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Learn the latent space of your images, and find the point in it behind any image."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _name, _verb in VERBS.items():
    if isinstance(_verb, typer.Typer):  # a verb of several
        app.add_typer(_verb, name=_name)
    else:
        app.command(_name)(_verb)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    if "PREIMAGE_DEBUG" not in os.environ:
        warnings.simplefilter("ignore")
    try:
        command = typer.main.get_command(app)
        status = command.main(
            args=None if arguments is None else list(arguments),
            prog_name="preimage",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        return status_of(error, VERBS)
    return status if isinstance(status, int) else DONE


def main() -> None:
    sys.exit(run())
