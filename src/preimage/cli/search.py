"""`preimage search`: the images of an index that are most like an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preimage.cli.options import Device, Json, parse_names, parse_pairs
from preimage.cli.output import remark, show, table
from preimage.cli.progress import Bar


def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="What preimage index made.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE", help="Images, or saved latents as found.npz[3]."),
    ] = None,
    ids: Annotated[
        list[int] | None,
        typer.Option("--id", help="An image of the index, instead. May be repeated."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many to find.")] = 12,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Like this, but: DIRECTION=STRENGTH in standard deviations, as smile=2. "
            "May be repeated."
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="Like this, but: DIRECTION=VALUE, as glasses=yes. May be repeated."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Directions whose attributes must stay: hair,skin. May be repeated."),
    ] = None,
    move: Annotated[
        str, typer.Option(help="linear, counterfactual or auto, as preimage edit has it.")
    ] = "auto",
    where: Annotated[
        str | None,
        typer.Option(help="Only images of which this holds: 'smile = yes and age > 0.5'."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every image, though there be many.")
    ] = False,
    run: Annotated[Path | None, typer.Option(help="The index's run, where it has moved.")] = None,
    label: Annotated[
        str | None, typer.Option(help="Class of a conditional model; unset, the one that fits.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="How latents are found: auto, encoder or search.")
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="PNG file for a sheet of what was found.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the images of an index that are most like an image, nearest first.

    --by and --to search for what the image would be with something changed; --where asks for what
    is known of the images that may be found, or for a text in their path: 'path ~ holiday'.
    """
    import preimage as pi

    if out is not None and out.is_dir():
        raise typer.BadParameter(
            f"{out} is a folder; give a file such as {out / 'found.png'}", param_hint="'--out'"
        )
    with Bar() as bar:
        found = pi.search(
            index,
            (images[0] if len(images) == 1 else images) if images else None,
            ids=ids or (),
            k=k,
            by=parse_pairs(by or [], "--by"),
            to=parse_pairs(to or [], "--to"),
            keep=parse_names(keep),
            move=move,
            where=where,
            exact=exact,
            model=run,
            label=label,
            method=method,
            out=out,
            device=device,
            progress=bar,
        )
    for note in found.notes:
        remark(note)
    result = found.to_json()
    lines = []
    for name, hits in zip(found.queries, found.hits, strict=True):
        if len(found.queries) > 1:
            lines.append(f"{name}:")
        rows = [[str(hit.id), f"{hit.distance:.4g}", hit.name] for hit in hits]
        lines.append(table(["id", "distance", "image"], rows) if rows else "nothing was found")
    if out is not None:
        result["sheet"] = str(out)
        lines.append(f"sheet: {out}")
    show(result, "\n".join(lines), as_json=as_json)
