"""`preimage edit`: one thing in a person's photographs changed, at their full size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed, parse_pairs
from preimage.cli.output import remark, show, table
from preimage.cli.progress import Bar
from preimage.cli.stopping import followed

COLUMNS = 7  # images on a strip from one strength to another
LISTED = 12  # images in the table on the terminal


def edit(
    run: RunFolder,
    images: Annotated[
        str,
        typer.Argument(metavar="IMAGES", help="A file or folder; or a zip, array file or name."),
    ],
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="DIRECTION=STRENGTH, in standard deviations: smile=2, glasses=-1. May be repeated."
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="DIRECTION=VALUE the image is to have: age=0.8, glasses=yes, or hair=grey by a "
            "counterfactual. May be repeated."
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Directions whose attributes must stay: hair,skin. May be repeated."),
    ] = None,
    move: Annotated[
        str,
        typer.Option(
            help="linear: along directions; counterfactual: as the run's say, which "
            "keep all other attributes they know; auto: these where the run has them."
        ),
    ] = "auto",
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Image of the photographs' size or the model's, white where they may change."
        ),
    ] = None,
    residual: Annotated[
        str,
        typer.Option(
            help="What the model cannot draw stays where the edit changed nothing (unchanged), "
            "everywhere (whole), or nowhere (none)."
        ),
    ] = "unchanged",
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Teach the generator each image first (pivotal tuning)."),
    ] = False,
    strip: Annotated[
        str | None,
        typer.Option(help="Also show strengths LOW..HIGH, or those of a list: -3..3, -1,0,1."),
    ] = None,
    method: Annotated[
        str, typer.Option(help="How latents are found: auto, encoder or search.")
    ] = "auto",
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; unset, the one found to fit.")
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="At most so many images.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/edited/NAME.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Change one thing in photographs, and leave the rest.

    Each is written under its own name, at its own size, with its EXIF and colour profile; besides
    a sheet of before and after, the latents, and JSON. Ctrl-C keeps what is done.
    """
    import preimage as pi
    from preimage.core.words import counted

    begun = time.monotonic()
    folder = out or run / "edited" / Path(images).stem
    with Bar() as bar:
        job = pi.edit_files(
            run,
            images,
            out=folder,
            by=parse_pairs(by or [], "--by"),
            to=parse_pairs(to or [], "--to"),
            keep=[name for text in keep or [] for name in text.split(",") if name],
            move=move,
            mask=mask,
            residual=residual,
            tune=tune,
            strip=_strengths(strip) if strip is not None else (),
            method=method,
            label=label,
            n=n,
            device=device,
            seed=seed,
            progress=bar,
        )
        signals = followed(job, bar)
    result = job.finish()
    for row in result["skipped"]:
        remark(f"skipped {row['name']}: {row['reason']}")
    rows = result["images"]
    names = sorted({name for row in rows for name in row["strengths"]})
    shown = table(
        [*names, "file"],
        [[*(_course(row, name) for name in names), row["file"]] for row in rows[:LISTED]],
    )
    more = len(rows) - LISTED
    lines = [shown] + ([f"… and {more} more (--json lists all)"] if more > 0 else [])
    done, seconds = counted(len(rows), "image"), time.monotonic() - begun
    lines.append(f"{done} in {seconds:.1f} s; sheet: {result['sheet']}")
    lines += [f"strip: {path}" for path in result["strips"]]
    if result["stopped"]:
        lines.append(f"stopped at {len(rows)} of {result['asked']}")
    show(result, "\n".join(lines), as_json=as_json)
    return 128 + signals[0] if signals else 0


def _course(row: dict, name: str) -> str:
    """How far an image was moved, and what was read of it before and after."""
    moved = f"{row['strengths'][name]:+.2f}"
    if name not in row["before"]:
        return moved
    return f"{moved} ({row['before'][name]:.2f} → {row['after'][name]:.2f})"


def _strengths(text: str) -> list[float]:
    """`-3..3` or `-1,0,1`."""
    try:
        low, dots, high = text.partition("..")
        if not dots:
            return [float(part) for part in text.split(",")]
        first, last = float(low), float(high)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no range of strengths; give one like -3..3", param_hint="'--strip'"
        ) from None
    return [first + (last - first) * i / (COLUMNS - 1) for i in range(COLUMNS)]
