"""`preimage sample`: images from the prior of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed
from preimage.cli.output import show


def sample(
    run: RunFolder,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many.")] = 64,
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; unset, the classes in turn.")
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="normal or mixture; unset, the better one the model has.")
    ] = None,
    truncation: Annotated[
        float,
        typer.Option(min=0.0, help="Below 1: nearer to the mode, likelier and less varied."),
    ] = 1.0,
    no_copies: Annotated[
        bool,
        typer.Option("--no-copies", help="Draw again what is a near copy of an image trained on."),
    ] = False,
    separate: Annotated[
        bool, typer.Option("--separate", help="Also write each image to a file of its own.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Unset, RUN/sampled.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw images from a trained model.

    Writes a sheet of them, and the latents they came from.
    Image 7 of a seed is the same however many are drawn.
    """
    import preimage as pi
    from preimage.core.words import counted

    model = pi.load(run, device=device)
    drawn = pi.sample(
        model,
        n,
        seed=seed,
        label=label,
        prior=prior,
        truncation=truncation,
        no_copies_of=run if no_copies else None,
    )
    folder = out or run / "sampled"
    sheet = pi.save_sheet(drawn.images, folder / "sheet.png")
    latents = pi.save_latents(
        folder / "latents.npz", model=model, latents=drawn.latents, labels=drawn.labels
    )
    if separate:
        pi.save_images(drawn.images, folder)
    result = {
        "run": str(run),
        "n": n,
        "seed": seed,
        "prior": prior or model.space.prior,
        "truncation": truncation,
        "sheet": str(sheet),
        "latents": str(latents),
        "images": str(folder) if separate else None,
        "copies_refused": int(drawn.refused.sum()) if no_copies else None,
    }
    text = f"{counted(n, 'sample')}: {sheet}\ntheir latents: {latents}"
    if no_copies:
        text += f"\n{counted(result['copies_refused'], 'near copy', 'near copies')} drawn again"
    show(result, text, as_json=as_json)
