"""A map as files that a browser draws from: figures, raw positions, and thumbnails on pages.

`map.json` names the others: `positions.f32`, N pairs of little-endian float32; a file of the same
kind for each attribute, with NaN where it is unknown; `labels.i32`, −1 where unknown; and the
pages, PNG files with the thumbnails of the points in order, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from preimage.exploration.maps import LatentMap
from preimage.pictures import Plot, png
from preimage.pictures.map import TILE, atlas
from preimage.runs.files import readable_errors, write_bytes, write_json

THUMBNAIL = 32  # pixels of each, at most


def is_map(folder: Path) -> bool:
    """Whether a map was written there."""
    return (folder / "map.json").is_file()


def save_map(
    found: LatentMap,
    folder: Path,
    *,
    drawn: Plot,
    images: Iterator[Tensor],  # batches (B, C, H, W) of all N, in order
    shape: tuple[int, ...],  # of an image, (C, H, W)
) -> dict[str, Any]:
    """Write `map.png` and the data; returns what `map.json` says."""
    with readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in (*folder.glob("thumbnails-*.png"), *folder.glob("attribute-*.f32")):
            old.unlink()
        (folder / "labels.i32").unlink(missing_ok=True)
    write_bytes(folder / "map.png", drawn.png(dpi=222))
    _write(folder / "positions.f32", found.positions.numpy(), "<f4")
    if found.labels is not None:
        _write(folder / "labels.i32", found.labels.numpy(), "<i4")
    attributes = []
    for number, (name, values) in enumerate(found.attributes.items()):
        file = f"attribute-{number}.f32"  # a name may be anything, a file's may not
        _write(folder / file, values, "<f4")
        known = {"name": name, "file": file}
        attributes.append(known | {"values": list(found.categories.get(name, ()))})
    side = min(THUMBNAIL, max(shape[-2:]))
    pages = []
    for number, page in enumerate(atlas(images, len(found), side=side)):
        pages.append(f"thumbnails-{number:03d}.png")
        write_bytes(folder / pages[-1], png(page))
    about = {
        **found.to_json(),
        "picture": "map.png",
        "positions": "positions.f32",
        "bounds": [found.positions.amin(0).tolist(), found.positions.amax(0).tolist()],
        "labels": None if found.labels is None else "labels.i32",
        "classes": list(found.classes),
        "attributes": attributes,
        "thumbnails": {
            "side": side,
            "columns": TILE // side,
            "per_page": (TILE // side) ** 2,
            "pages": pages,
        },
        "names": list(found.names),
    }
    write_json(folder / "map.json", about)
    return about


def _write(path: Path, values: np.ndarray, kind: str) -> None:
    write_bytes(path, np.ascontiguousarray(values, kind).tobytes())
