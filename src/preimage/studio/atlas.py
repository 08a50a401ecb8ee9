"""Thumbnails of all points, side by side on sheets that a graphics card takes: at most 2048 px.

A sheet is made when it is first asked for, and kept beside the latents; so that the first thousands
are seen at once, however many there are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import torch
from torch import Tensor

from preimage.core import LatentModel
from preimage.exploration.decoding import decoded
from preimage.pictures.map import TILE, atlas
from preimage.runs.files import write_out
from preimage.studio.points import Points

SIDE = 32  # pixels of a thumbnail, at most
PAGE = 1024  # pixels of a sheet: small enough for the first to be there at once
QUALITY = 85  # of WebP
AT_ONCE = 256  # images


class Atlas:
    """The sheets of some points."""

    def __init__(self, points: Points, model: LatentModel):
        self.points, self.model = points, model
        self.tile = min(SIDE, max(model.data.shape[-2:]))
        self.columns = TILE // self.tile
        self.rows = min(self.columns, max(1, PAGE // self.tile))
        self.sheets = -(-len(points) // (self.columns * self.rows))

    def to_json(self) -> dict[str, int]:
        return {
            "tile": self.tile,
            "columns": self.columns,
            "rows": self.rows,
            "sheets": self.sheets,
        }

    def sheet(self, number: int) -> bytes:
        """The bytes of a WebP file."""
        path = self.points.folder / f"sheet-{self.tile}-{number}.webp"
        if path.is_file():
            return path.read_bytes()
        each = self.columns * self.rows
        rows = torch.arange(number * each, min((number + 1) * each, len(self.points)))
        (drawn,) = atlas(self._images(rows), len(rows), side=self.tile)
        buffer = io.BytesIO()
        drawn.save(buffer, "WEBP", quality=QUALITY, method=1)
        write_out(path, buffer.getvalue())
        return buffer.getvalue()

    def _images(self, rows: Tensor) -> Iterator[Tensor]:
        for part in rows.split(AT_ONCE):
            yield self.images(part)

    def images(self, rows: Tensor) -> Tensor:
        """Images (B, C, H, W) in [−1, 1] of points (B,): as they are, or as the model has them."""
        if self.points.data is not None:
            return self.points.data.batch(self.points.rows[rows.numpy()])
        told = self.points.told
        y = None if told is None else told[rows]
        return decoded(self.model, self.points.latents[rows], y).cpu()
