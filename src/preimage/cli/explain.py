"""`preimage explain`: what a model's latent numbers do, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed
from preimage.cli.output import show, table
from preimage.cli.progress import Bar

LISTED = 12  # numbers of the latent in the table on the terminal


def explain(
    run: RunFolder,
    images: Annotated[
        str | None,
        typer.Argument(metavar="IMAGES", help="Unset, those the run was trained on, or samples."),
    ] = None,
    method: Annotated[str, typer.Option(help="Of the page's map: pca, t-sne or umap.")] = "pca",
    n: Annotated[
        int, typer.Option("-n", "--number", min=1, help="Images to learn from, at random.")
    ] = 2000,
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; unset, the images' own.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write. Unset, RUN/explained.html.")
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Say what each number of the latent does, and how many of them do anything.

    Writes one page with everything inside: traversals and where in the image they act, which known
    attribute each number follows, the manifold, a map of the images, saved directions, and the
    intrinsic dimension by three estimates.
    """
    import preimage as pi

    file = out or run / "explained.html"
    with Bar() as bar:
        found = pi.explain(
            run,
            images,
            method=method,
            n=n,
            label=label,
            out=file,
            seed=seed,
            device=device,
            progress=bar,
        )
    known = found.understanding
    rows = [
        [
            d.name,
            "–" if d.kl is None else f"{d.kl:.2f}",
            f"{50 * d.effect:.2f} %",
            "–" if d.follows is None else f"{d.follows.attribute} ({d.follows.information:.0%})",
        ]
        for d in known.ranked[:LISTED]
    ]
    text = "\n".join(
        [
            f"{known.size} numbers, {len(known.active)} in use; intrinsic dimension "
            f"{known.two_nn.value:.1f} (TwoNN), {known.mle.value:.1f} (MLE)",
            table(["number", "KL", "changes the image by", "follows"], rows),
            f"the page: {file}",
        ]
    )
    if images is None and pi.Run.open(run).guarantee is not None:
        text += "\nthe run is private; this page is not: its map shows the training images"
    show({"run": str(run), "page": str(file), **found.to_json()}, text, as_json=as_json)
