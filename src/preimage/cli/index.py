"""`preimage index`: a folder of images made searchable by what a model sees in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, RunFolder, Seed
from preimage.cli.output import remark, show
from preimage.cli.progress import Bar

SKIPPED = 3  # files named that cannot be used


def index(
    run: RunFolder,
    images: Annotated[
        str | None,
        typer.Argument(
            metavar="IMAGES", help="A folder, file, archive or name; unset, the run's own images."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The index. Unset, RUN/index.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV or JSON lines of what is known of the images, to search by."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(help="Take these out: a path, folder or id, as 3 or id:3. May be repeated."),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="What makes images alike: steady, which auto takes for a new index; latent, "
            "cosine, whitened, decoder, or features."
        ),
    ] = "auto",
    backend: Annotated[
        str, typer.Option(help="files, or lance (pip install 'preimage[scale]').")
    ] = "files",
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; unset, the images' own.")
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="At most so many images.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="How latents are found: auto, encoder or search.")
    ] = "auto",
    check: Annotated[
        bool, typer.Option("--check", help="Only read all of an index, to see that it is whole.")
    ] = False,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Make images searchable by a model's latents, or bring an index up to date.

    Images that are in it already, by content, are not added again; those that changed take the
    place of the old. Killed at any moment, it holds what was committed, and goes on when it is
    called again.
    """
    import preimage as pi
    from preimage.core.words import counted

    folder = out or run / "index"
    if check:
        found = pi.open_index(folder, model=run)
        found.check()
        show({"index": str(folder), "images": len(found)}, f"{found}; whole", as_json=as_json)
        return
    with Bar() as bar:
        made = pi.index(
            run,
            images,
            out=folder,
            labels=labels,
            remove=remove or (),
            metric=metric,
            backend=backend,
            label=label,
            n=n,
            method=method,
            device=device,
            seed=seed,
            progress=bar,
        )
    for name, reason in made.skipped[:SKIPPED]:
        remark(f"skipped {name}: {reason}")
    if len(made.skipped) > SKIPPED:
        remark(f"… and {counted(len(made.skipped) - SKIPPED, 'file')} more (--json lists all)")
    changes = [f"{made.added:,} added", f"{made.known:,} known"]
    changes += [f"{made.updated:,} in place of older ones"] if made.updated else []
    changes += [f"{made.removed:,} removed"] if made.removed else []
    recall = made.index.recall
    quick = "" if recall is None else f"; of the ten nearest {recall:.1%} are found"
    show(made.to_json(), f"{', '.join(changes)}\n{made.index}{quick}", as_json=as_json)
