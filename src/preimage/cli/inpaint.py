"""`preimage inpaint`: what is missing of photographs, filled at their own size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed
from preimage.cli.output import remark
from preimage.cli.progress import Bar
from preimage.cli.restore import tell
from preimage.cli.stopping import followed


def inpaint(
    run: RunFolder,
    images: Annotated[
        str,
        typer.Argument(metavar="IMAGES", help="A file or folder; or a zip, array file or name."),
    ],
    mask: Annotated[
        str,
        typer.Option(
            help="Image, white where to fill, of the photographs' size or the model's; a folder of "
            "such by the photographs' names; box:LEFT,TOP,RIGHT,BOTTOM in pixels from the left and "
            "top, the last two beyond the box; or colour:#ff00ff, the colour that is to go."
        ),
    ],
    fillings: Annotated[
        int,
        typer.Option(
            "-n",
            "--fillings",
            min=1,
            help="Different fillings, the likeliest first. One: the mean.",
        ),
    ] = 1,
    method: Annotated[
        str,
        typer.Option(help="model; or without one biharmonic, harmonic or mean."),
    ] = "model",
    blend: Annotated[
        str, typer.Option(help="poisson: no seam is seen; none: as the model draws it.")
    ] = "poisson",
    feather: Annotated[
        float, typer.Option(help="Pixels over which a filling sets in, inside the mask.")
    ] = 0.0,
    context: Annotated[
        int,
        typer.Option(
            min=0, help="Weigh known pixels by what is missing of so many around them; 0: alike."
        ),
    ] = 0,
    adversarial: Annotated[
        float,
        typer.Option(min=0, help="Weight of what the model's critic says of a filling, in nats."),
    ] = 0.0,
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Teach the generator the known pixels first (pivotal tuning)."),
    ] = False,
    calibration: Annotated[
        bool,
        typer.Option(help="Widen the bands until they hold 90 % of the pixels of known images."),
    ] = True,
    starts: Annotated[int, typer.Option(min=1, help="Searches of each image.")] = 8,
    number: Annotated[
        int | None, typer.Option("--number", min=1, help="At most so many images.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; unset, the one found to fit.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/inpainted/NAME.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Fill what is missing of photographs; every other pixel stays as it was.

    Each is written at its own size with its EXIF and colour profile, as PNG where its own format
    would round pixels; besides a sheet, how sure each pixel is, arrays and JSON. Ctrl-C keeps what
    is done.
    """
    import preimage as pi

    begun = time.monotonic()
    folder = out or run / "inpainted" / Path(images).stem
    with Bar() as bar:
        job = pi.inpaint_files(
            run,
            images,
            mask=mask,
            out=folder,
            n=fillings,
            method=method,
            blend=blend,
            feather=feather,
            context=context,
            adversarial=adversarial,
            tune=tune,
            calibration=calibration,
            starts=starts,
            number=number,
            label=label,
            device=device,
            seed=seed,
            progress=bar,
        )
        signals = followed(job, bar)
    result = job.finish()
    for row in result["skipped"]:
        remark(f"skipped {row['name']}: {row['reason']}")
    tell(result, "filled", time.monotonic() - begun, as_json=as_json)
    return 128 + signals[0] if signals else 0
