"""`preimage datasets`: the data sets that are known by name."""

from __future__ import annotations

from preimage.cli.options import Json
from preimage.cli.output import show, table


def datasets(as_json: Json = False) -> None:
    """List the data sets known by name."""
    import preimage as pi

    known = pi.datasets()
    rows = [
        [
            one.name,
            f"{one.images:,}",
            "×".join(map(str, one.shape[1:])) + (" colour" if one.shape[0] == 3 else " grey"),
            "ships" if one.ships else "downloaded",
            one.licence,
            one.what,
        ]
        for one in known
    ]
    result = [
        {
            "name": one.name,
            "images": one.images,
            "shape": one.shape,
            "ships": one.ships,
            "licence": one.licence,
            "what": one.what,
            "classes": one.classes,
        }
        for one in known
    ]
    header = ["name", "images", "size", "how", "licence", "what"]
    show({"datasets": result}, table(header, rows), as_json=as_json)
