"""`preimage compare`: models side by side, on one source of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, Seed
from preimage.cli.output import show, table
from preimage.cli.progress import Bar


def compare(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE|RUN RUN …",
            help="Images to train each of --recipes on; or two or more runs.",
        ),
    ],
    recipes: Annotated[str, typer.Option(help="What to train, separated by commas.")] = (
        "vae-gan,gan"
    ),
    steps: Annotated[int | None, typer.Option(help="Length of each training.")] = None,
    minutes: Annotated[float | None, typer.Option(help="The same in minutes, about.")] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Images to judge runs by. Unset, those the first was trained on."),
    ] = None,
    n: Annotated[
        int, typer.Option("-n", "--number", min=2, help="Samples of each to measure, at most.")
    ] = 1000,
    prior: Annotated[
        str | None, typer.Option(help="normal or mixture; unset, the better one each model has.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report, and of what is trained.")] = Path(
        "comparison"
    ),
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Hold models against each other.

    Measures sharpness, realism, coverage, continuity of the latent space and reconstruction, each
    beside the same figure for real images, and writes a report with pictures.
    """
    import preimage as pi
    from preimage.evaluation.report import table as measures

    length = {"steps": steps, "minutes": minutes}
    with Bar() as bar:
        found = pi.compare(
            *what,
            source=source,
            recipes=tuple(name.strip() for name in recipes.split(",") if name.strip()),
            out=out,
            n=n,
            prior=prior,
            seed=seed,
            device=device,
            progress=bar,
            **{name: value for name, value in length.items() if value is not None},
        )
    report = out / "report.html"
    shown = measures(found)
    rows = [["–" if cell is None else str(cell) for cell in row] for row in shown.rows]
    text = f"{table(shown.header, rows)}\n{shown.caption}\nwith pictures: {report}"
    show({**found.to_json(), "report": str(report)}, text, as_json=as_json)
