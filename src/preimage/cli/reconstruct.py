"""`preimage reconstruct`: images, and what a model's encoder and decoder make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder
from preimage.cli.output import remark, show, table
from preimage.cli.progress import Bar

ROW = 12  # images side by side on the sheet


def reconstruct(
    run: RunFolder,
    images: Annotated[
        str, typer.Argument(metavar="IMAGES", help="A file, folder, zip, array file or name.")
    ],
    n: Annotated[
        int, typer.Option("-n", "--number", min=1, help="At most so many, from the first on.")
    ] = 1000,
    label: Annotated[
        str | None,
        typer.Option(help="Class of a conditional model; unset, each image's own."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/reconstructed.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Encode images and decode them again.

    Writes a sheet of originals above reconstructions, and the latents. The error is the
    mean squared difference of pixels in [−1, 1].
    """
    import preimage as pi

    model = pi.load(run, device=device)
    if pi.has_encoder(run) and not model.can("encode"):
        model = pi.load_encoder(run, model)
    with Bar() as bar:
        data = pi.fitted(images, pi.Run.open(run), progress=bar)
    for name, reason in data.skipped:
        remark(f"skipped {name}: {reason}")
    chosen = range(min(n, len(data)))
    labels = pi.class_labels(model, data, label=label)
    made = pi.reconstruct(
        model, data.batch(chosen), labels=None if labels is None else labels[: len(chosen)]
    )
    folder = out or run / "reconstructed"
    rows = {"original": made.original[:ROW], "reconstruction": made.reconstruction[:ROW]}
    sheet = pi.save_sheet(rows, folder / "sheet.png")
    latents = pi.save_latents(folder / "latents.npz", latents=made.latents, errors=made.error)
    errors = [(data.names[i], float(made.error[i])) for i in chosen]
    result = {
        "run": str(run),
        "source": images,
        "sheet": str(sheet),
        "latents": str(latents),
        "error": float(made.error.mean()),
        "images": [{"name": name, "error": error} for name, error in errors],
        "skipped": [{"name": name, "reason": reason} for name, reason in data.skipped],
    }
    shown = table(["error", "image"], [[f"{error:.4f}", name] for name, error in errors[:ROW]])
    more = f"\n… and {len(errors) - ROW} more (--json lists all)" if len(errors) > ROW else ""
    mean = f"mean error {result['error']:.4f}; sheet: {sheet}"
    show(result, f"{shown}{more}\n{mean}", as_json=as_json)
