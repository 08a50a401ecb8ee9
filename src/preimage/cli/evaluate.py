"""`preimage evaluate`: how good a model or a folder of images is, beside real images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, Seed
from preimage.cli.output import show, table
from preimage.cli.progress import Bar


def evaluate(
    subject: Annotated[
        str, typer.Argument(metavar="RUN|IMAGES", help="A run, or any images that are judged.")
    ],
    images: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="Real images. Of a run, unset: those it held out."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Groups or single scores, separated by commas: quality, fidelity, collapse, "
            "reconstruction, likelihood, geometry, disentanglement, memorisation, membership; "
            "fid, kid, coverage, … Unset, all that can be taken without a download; lpips "
            "is one more."
        ),
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            help="What images are compared by: random, model, inception:FILE, dinov2:FOLDER."
        ),
    ] = "random",
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="A run on other images of the kind, to calibrate membership by."
        ),
    ] = None,
    n: Annotated[
        int, typer.Option("-n", "--number", min=2, help="Samples, and real images, at most.")
    ] = 10_000,
    prior: Annotated[
        str | None, typer.Option(help="normal or mixture; unset, the better one the model has.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and evaluation.json.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Judge a model, or a folder of images, beside real images.

    Each score comes with its 95 % interval, with its null (the same of real images) and with what
    the two say together.
    """
    import preimage as pi
    from preimage.evaluation.scorecard import heading
    from preimage.evaluation.scorecard import table as scores

    wanted = None
    if metrics is not None:
        wanted = [name.strip() for name in metrics.split(",") if name.strip()]
    with Bar() as bar:
        report = pi.evaluate(
            subject,
            images,
            metrics=wanted,
            features=features,
            reference=reference,
            n=n,
            prior=prior,
            out=out,
            seed=seed,
            device=device,
            progress=bar,
        )
    shown = scores(report)
    rows = [["–" if cell is None else str(cell) for cell in row[:4]] for row in shown.rows]
    lines = [table(shown.header[:4], rows), shown.caption]
    lines += report.notes
    lines += [f"not measured: {heading(name)}: {why}" for name, why in report.skipped.items()]
    found = report.to_json()
    if out is not None:
        lines.append(f"with pictures: {out / 'report.html'}")
        found["report"] = str(out / "report.html")
    show(found, "\n".join(line for line in lines if line), as_json=as_json)
