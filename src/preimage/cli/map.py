"""`preimage map`: where images lie in a model's latent space, drawn on a plane."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed
from preimage.cli.output import show
from preimage.cli.progress import Bar


def map(
    run: RunFolder,
    images: Annotated[
        str | None,
        typer.Argument(metavar="IMAGES", help="Unset, those the run was trained on, or samples."),
    ] = None,
    method: Annotated[
        str, typer.Option(help="pca, t-sne, or umap (pip install 'preimage[maps]').")
    ] = "pca",
    by: Annotated[
        str | None, typer.Option(help="Colour by class, or by this attribute of the images.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=1, help="Nearest neighbours by which the map is judged.")
    ] = 5,
    n: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="At most so many, at random.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; unset, the images' own.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Unset, RUN/map.")] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw a map of images, similar ones near each other.

    Writes a picture with thumbnails, and positions, labels and thumbnails for a studio. Says how
    far the map can be trusted: whether who is near on it is near in the latent space.
    """
    import preimage as pi

    folder = out or run / "map"
    with Bar() as bar:
        found = pi.latent_map(
            run,
            images,
            method=method,
            by=by,
            neighbours=neighbours,
            n=n,
            label=label,
            out=folder,
            seed=seed,
            device=device,
            progress=bar,
        )
        for note in found.notes:
            bar.remark(note)
    picture = folder / "map.png"
    trust = found.trustworthiness
    text = (
        f"{len(found):,} points; trustworthiness {trust.value:.3f} "
        f"({trust.low:.3f} to {trust.high:.3f}), {found.kept.value:.0%} of the "
        f"{found.neighbours} nearest neighbours kept\nmap: {picture}"
    )
    result = {"run": str(run), "map": str(picture), "data": str(folder / "map.json")}
    show({**result, **found.to_json()}, text, as_json=as_json)
