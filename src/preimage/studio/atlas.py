"""Thumbnails of all points, side by side on sheets that a graphics card takes: at most 2048 px.

A sheet is made when it is first asked for, and kept beside the latents; so that the first thousands
are seen at once, however many there are.
"""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from preimage.core import LatentModel
from preimage.exploration.decoding import decoded
from preimage.runs.files import write_out
from preimage.studio.points import Points

LARGEST = 2048  # pixels of a sheet's side
SIDE = 32  # pixels of a thumbnail, at most
PAGE = 1024  # pixels of a sheet: small enough for the first to be there at once
QUALITY = 85  # of WebP
AT_ONCE = 256  # images


class Atlas:
    """The sheets of some points."""

    def __init__(self, points: Points, model: LatentModel):
        self.points, self.model = points, model
        self.tile = min(SIDE, max(model.data.shape[-2:]))
        self.columns = LARGEST // self.tile
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
        tiles = torch.cat([self._tiles(self.images(part)) for part in rows.split(AT_ONCE)])
        buffer = io.BytesIO()
        self._drawn(tiles).save(buffer, "WEBP", quality=QUALITY, method=0)
        write_out(path, buffer.getvalue())
        return buffer.getvalue()

    def _tiles(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) as squares (B, 3, tile, tile) uint8, all at once."""
        scale = self.tile / max(x.shape[-2:])
        size = [max(1, round(side * scale)) for side in x.shape[-2:]]
        if list(x.shape[-2:]) != size:
            x = functional.interpolate(x, size, mode="bilinear", antialias=True)
        levels = x.add(1).mul(127.5).clamp(0, 255).add(0.5).to(torch.uint8)
        top, left = ((self.tile - side) // 2 for side in size)
        room = (left, self.tile - size[1] - left, top, self.tile - size[0] - top)
        return functional.pad(levels.expand(-1, 3, -1, -1), room)

    def _drawn(self, tiles: Tensor) -> Image.Image:
        """Tiles in order, row by row."""
        rows = -(-len(tiles) // self.columns)
        empty = tiles.new_zeros(rows * self.columns - len(tiles), *tiles.shape[1:])
        grid = torch.cat([tiles, empty]).view(rows, self.columns, 3, self.tile, self.tile)
        flat = grid.permute(0, 3, 1, 4, 2).reshape(rows * self.tile, -1, 3)
        return Image.fromarray(flat.numpy())

    def images(self, rows: Tensor) -> Tensor:
        """Images (B, C, H, W) in [−1, 1] of points (B,): as they are, or as the model has them."""
        if self.points.data is not None:
            return self.points.data.batch(self.points.rows[rows.numpy()])
        told = self.points.told
        y = None if told is None else told[rows]
        return decoded(self.model, self.points.latents[rows], y).cpu()
