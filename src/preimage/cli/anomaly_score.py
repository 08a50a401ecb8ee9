"""`preimage anomaly score`: which images are anomalous, how surely, and where."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder
from preimage.cli.output import remark, show, table
from preimage.cli.progress import Bar
from preimage.cli.stopping import followed

LISTED = 12  # images in the table on the terminal


def score(
    run: RunFolder,
    images: Annotated[
        str,
        typer.Argument(metavar="IMAGES", help="A file or folder; or a zip, array or name."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/anomalies/NAME.")
    ] = None,
    detector: Annotated[str, typer.Option(help="Which of the run's detectors.")] = "default",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a folder that was stopped or killed.")
    ] = False,
    n: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="At most so many images.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> int:
    """Say of each image, or page of a TIFF, whether it is anomalous, how surely, and where.

    Writes a CSV, masks and heat maps of full size, boxes as JSON, explanations, and a page with
    the worst first. Ctrl-C keeps the images that are done; `--resume` goes on with the others.
    """
    import preimage as pi
    from preimage.applications.anomaly.photos import label

    begun = time.monotonic()
    folder = out or run / "anomalies" / Path(images).stem
    with Bar() as bar:
        job = pi.detect_files(
            run,
            images,
            out=folder,
            name=detector,
            resume=resume,
            n=n,
            device=device,
            progress=bar,
        )
        signals = followed(job, bar)
        result = job.finish()
    for row in result["skipped"]:
        remark(f"skipped {row['name']}: {row['reason']}")
    if not result["finished"]:
        again = f"preimage anomaly score {shlex.quote(str(run))} {shlex.quote(images)}"
        again += f" --out {shlex.quote(str(folder))} --detector {detector} --resume"
        text = f"stopped at {result['looked_at']} of {job.total}; go on with: {again}"
        show(result, text, as_json=as_json)
        return 128 + signals[0] if signals else 0
    worst = sorted(result["images"], key=lambda row: -row["score"])
    rows = [
        [
            f"{row['score']:.3g}",
            f"{row['p_value']:.2g}",
            row["verdict"],
            f"{row['area']:,}",
            label(row["name"], row["page"], row["pages"]),
        ]
        for row in worst[:LISTED]
    ]
    lines = [table(["score", "p", "verdict", "area", "image"], rows)]
    if len(worst) > LISTED:
        lines.append(f"… and {len(worst) - LISTED} less odd ones")
    seconds = time.monotonic() - begun
    lines.append(
        f"{result['anomalous']} of {result['looked_at']} anomalous, in {seconds:.1f} s; "
        f"table: {result['csv']}; page: {result['report']}"
    )
    show(result, "\n".join(lines), as_json=as_json)
    return 0
