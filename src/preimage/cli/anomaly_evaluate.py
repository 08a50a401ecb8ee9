"""`preimage anomaly evaluate`: how good a detector is, where the truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed
from preimage.cli.output import remark, show, table
from preimage.cli.progress import Bar


def evaluate(
    run: RunFolder,
    good: Annotated[
        Path,
        typer.Argument(
            metavar="GOOD",
            help="Folder of good images; or alone, one laid out as MVTec AD's or anomalib's are.",
        ),
    ],
    bad: Annotated[
        Path | None, typer.Argument(metavar="BAD", help="Folder of images that are not.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of masks named as the bad images, white where they are wrong."),
    ] = None,
    detector: Annotated[str, typer.Option(help="Which of the run's detectors.")] = "default",
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and evaluation.json.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Judge a detector by images of which it is known whether, and where, something is wrong.

    Image AUROC, average precision and F1, false alarms beside the rate asked for; with masks
    pixel AUROC, F1, and the overlap with each region (PRO). Each comes with its 95 % interval.
    """
    import preimage as pi
    from preimage.runs.judging import interval, judged_rows

    with Bar() as bar:
        found = pi.evaluate_detector(
            run,
            good,
            bad,
            masks=masks,
            name=detector,
            out=out,
            device=device,
            seed=seed,
            progress=bar,
        )
    for note in found.notes:
        remark(note)
    rows = [[name, f"{value:.3f}", span, word] for name, value, span, word in judged_rows(found)]
    lines = [table(["score", "value", "95 % interval", "is"], rows)]
    if len(found.kinds) > 1:
        kinds = [[k, f"{m.value:.3f}", interval(m)] for k, m in found.kinds.items()]
        lines += ["", table(["what is wrong", "image AUROC", "95 % interval"], kinds)]
    result = {"run": str(run), "detector": detector, **found.to_json()}
    if out is not None:
        result["report"] = str(out / "report.html")
        lines.append(f"with pictures: {out / 'report.html'}")
    show(result, "\n".join(lines), as_json=as_json)
