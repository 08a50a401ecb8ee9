"""`preimage invert`: the latent behind each of a person's images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed, parse_weights
from preimage.cli.output import show, table
from preimage.cli.progress import Bar
from preimage.cli.stopping import followed

LISTED = 12  # images in the table on the terminal
SAID = ("solutions", "undetermined")  # sentences about each of them, below it


def invert(
    run: RunFolder,
    images: Annotated[
        str, typer.Argument(metavar="IMAGES", help="A file, folder, zip, array file or name.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/inverted/NAME.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a folder that was stopped or killed.")
    ] = False,
    n: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="At most so many images.")
    ] = None,
    through: Annotated[
        list[str] | None,
        typer.Option(
            help="What was done to the images: mask=FILE (white what was seen, of the size it is "
            "put on), downsample=4, blur=1.5, grey, noise=0.1; may be repeated, in the order it "
            "was done."
        ),
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(help="l2, l1, huber, pyramid, features, adversarial; NAME=WEIGHT sums them."),
    ] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(help="What latents cost: density, l2, l1; NAME=WEIGHT."),
    ] = None,
    project: Annotated[
        list[str] | None, typer.Option(help="Sets latents stay in: typical, clip, box.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="auto, encoder, adam, projector, l-bfgs, preconditioned-l-bfgs, "
            "levenberg-marquardt, gauss-newton, cma or basin-cma."
        ),
    ] = "auto",
    start: Annotated[
        str, typer.Option(help="auto, encoder, nearest, nearest-features or mean.")
    ] = "auto",
    cascade: Annotated[
        str,
        typer.Option(
            help="quick, or thorough: minutes of preparation, kept with the run, after which "
            "images that some generators drew take half the time, or less."
        ),
    ] = "quick",
    starts: Annotated[
        int, typer.Option(min=1, help="Searches of each image; the best is kept.")
    ] = 1,
    coarse: Annotated[
        bool, typer.Option("--coarse", help="Search at low resolution first.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Iterations of a search at most. Unset, the method's own."),
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="The objective at which an image is finished.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="Class of a conditional model; unset, the images' own, or the one found to fit."
        ),
    ] = None,
    restarts: Annotated[
        int,
        typer.Option(
            min=0,
            help="Further searches to the end: other solutions, and whether the first is good.",
        ),
    ] = 0,
    posterior: Annotated[
        bool, typer.Option("--posterior", help="Say what each image leaves undetermined.")
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Images searched for at once; unset, 256 small ones, 128 others."),
    ] = None,
    calibration: Annotated[
        int,
        typer.Option(
            min=0, help="Held-out images, at least, a verdict is held against; 0: no verdict."
        ),
    ] = 200,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Find the latent code behind each image.

    Writes the latents, what is known of each image, a sheet and the course of the search.
    Ctrl-C keeps the images that are done; `--resume` goes on with the others.
    """
    import preimage as pi
    from preimage.core.words import counted

    begun = time.monotonic()
    folder = out or run / "inverted" / Path(images).stem
    with Bar() as bar:
        job = pi.inverting_files(
            run,
            images,
            out=folder,
            resume=resume,
            n=n,
            through=through or (),
            loss=parse_weights(loss or [], "--loss") or "l2",
            prior=parse_weights(prior or [], "--prior"),
            project=project,
            method=method,
            start=start,
            cascade=cascade,
            starts=starts,
            coarse=coarse,
            steps=steps,
            tolerance=tolerance,
            label=label,
            restarts=restarts,
            posterior=posterior,
            batch_size=batch_size,
            calibration=calibration,
            device=device,
            seed=seed,
            progress=bar,
        )
        signals = followed(job, bar)
    result = job.finish()
    listed = result["images"][:LISTED]
    columns = {
        "error": [_figure(row["error"]) for row in listed],
        "verdict": [row.get("verdict", "") for row in listed],
        "search": [row["reason"] for row in listed],
        "image": [row["name"] for row in listed],
    }
    if not any(columns["verdict"]):
        del columns["verdict"]
    lines = [table(list(columns), list(zip(*columns.values(), strict=True)))]
    more = len(result["images"]) - LISTED
    lines += [f"… and {more} more (--json lists all)"] if more > 0 else []
    lines += [f"{row['name']}: {row[what]}" for row in listed for what in SAID if what in row]
    done = counted(len(result["images"]), "image")
    lines.append(f"{done} in {time.monotonic() - begun:.1f} s; sheet: {result['sheet']}")
    if job.stopped:
        lines.append(f"stopped; go on with the same command and --resume: {folder}")
    show(result, "\n".join(lines), as_json=as_json)
    return 128 + signals[0] if signals else 0


def _figure(error: float | None) -> str:
    """An error for the table; a dash where there is none, since no image came of the latent."""
    return "–" if error is None else f"{error:.2e}"
