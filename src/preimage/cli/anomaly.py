"""`preimage anomaly fit|score|evaluate`: what is wrong with photographs, having seen good ones."""

from __future__ import annotations

import typer

from preimage.cli.anomaly_evaluate import evaluate
from preimage.cli.anomaly_fit import fit
from preimage.cli.anomaly_score import score

anomaly = typer.Typer(
    help="Find what is wrong with images, having seen only good ones: fit, score, evaluate.",
    rich_markup_mode=None,
)


@anomaly.callback(invoke_without_command=True)
def _verbs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for verb in (fit, score, evaluate):
    anomaly.command(verb.__name__)(verb)
