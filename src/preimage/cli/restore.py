"""`preimage restore`: what images were before they were spoilt, and how sure that is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed
from preimage.cli.output import show, table
from preimage.cli.progress import Bar
from preimage.cli.stopping import followed

LISTED = 12  # images in the table on the terminal


def restore(
    run: RunFolder,
    images: Annotated[
        str,
        typer.Argument(metavar="IMAGES", help="A file, folder, zip, array file or name."),
    ],
    from_: Annotated[
        list[str],
        typer.Option(
            "--from",
            help="What was done to them: mask (with --mask), low-resolution (--factor), blur "
            "(--sigma), noise (--noise) or grey; several in the order they were done, each once.",
        ),
    ],
    mask: Annotated[
        str | None,
        typer.Option(help="Image, white what was seen, of the size of what it hides: the model's."),
    ] = None,
    factor: Annotated[
        int | None, typer.Option(min=2, help="How many times smaller they have become.")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Standard deviation of the blur, in the model's pixels.")
    ] = None,
    noise: Annotated[
        float | None, typer.Option(help="Standard deviation of the noise; black to white is 2.")
    ] = None,
    fillings: Annotated[
        int, typer.Option("-n", "--fillings", min=1, help="Different images that would do.")
    ] = 1,
    number: Annotated[
        int | None, typer.Option("--number", min=1, help="At most so many images.")
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="Searches of each image.")] = 8,
    calibration: Annotated[
        bool,
        typer.Option(help="Widen the bands until they hold 90 % of the pixels of known images."),
    ] = True,
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; unset, the one found to fit.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/restored/NAME.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Restore images of which only a part, a small copy or a spoilt one is left.

    Writes the images at the model's size, how sure each pixel is, a sheet, arrays and JSON.
    Ctrl-C keeps what is done.
    """
    import preimage as pi
    from preimage.api.damage import damage

    begun = time.monotonic()
    folder = out or run / "restored" / Path(images).stem
    given = {"mask": mask, "low-resolution": factor, "blur": sigma, "noise": noise}
    with Bar() as bar:
        job = pi.restore_files(
            run,
            images,
            out=folder,
            through=damage(from_, given, pi.load(run).data),
            n=fillings,
            number=number,
            starts=starts,
            calibration=calibration,
            label=label,
            device=device,
            seed=seed,
            progress=bar,
        )
        signals = followed(job, bar)
    tell(job.finish(), "restored", time.monotonic() - begun, as_json=as_json)
    return 128 + signals[0] if signals else 0


def tell(result: dict[str, Any], done: str, seconds: float, *, as_json: bool) -> None:
    """What was done, as a table or JSON."""
    from preimage.core.words import counted

    rows = result["images"]
    shown = table(
        ["not sure by", "file"],
        [[_deviation(row), row["file"]] for row in rows[:LISTED]],
    )
    more = len(rows) - LISTED
    lines = [shown] + ([f"… and {more} more (--json lists all)"] if more > 0 else [])
    lines.append(f"{counted(len(rows), 'image')} {done} in {seconds:.1f} s")
    lines[-1] += f"; sheet: {result['sheet']}"
    if result["stopped"]:
        lines.append(f"stopped at {len(rows)} of {result['asked']}")
    show(result, "\n".join(lines), as_json=as_json)


def _deviation(row: dict[str, Any]) -> str:
    """A standard deviation, in hundredths of the way from black to white."""
    value = row.get("mean_uncertainty")
    return "–" if value is None else f"±{50 * value:.1f} %"
