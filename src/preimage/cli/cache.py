"""`preimage cache`: the decoded data sets that are kept on disk."""

from __future__ import annotations

from typing import Annotated

import typer

from preimage.cli.options import Json
from preimage.cli.output import megabytes, show, table


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete them.")] = False,
    downloads: Annotated[
        bool, typer.Option("--downloads", help="With --clear: also what was downloaded.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show or clear what was decoded.

    Images are decoded once and kept. They lie where PREIMAGE_CACHE says, or in the
    platform's usual place.
    """
    import preimage as pi

    if downloads and not clear:
        raise typer.BadParameter("it only goes with --clear", param_hint="'--downloads'")
    if clear:
        freed = pi.clear_cache(downloads=downloads)
        show({"freed": freed}, f"{megabytes(freed)} freed", as_json=as_json)
        return
    entries = pi.cached()
    rows = [
        [
            one.name,
            f"{one.images:,}",
            "×".join(map(str, one.shape)),
            megabytes(one.bytes),
            one.source,
        ]
        for one in entries
    ]
    total = sum(one.bytes for one in entries)
    result = [
        {
            "name": one.name,
            "source": one.source,
            "images": one.images,
            "shape": one.shape,
            "bytes": one.bytes,
            "path": str(one.path),
        }
        for one in entries
    ]
    header = ["name", "images", "shape", "size", "source"]
    text = f"{table(header, rows)}\n{megabytes(total)} in all" if rows else "nothing is kept"
    show({"entries": result, "bytes": total}, text, as_json=as_json)
