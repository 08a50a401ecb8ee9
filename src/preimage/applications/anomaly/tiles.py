"""A photograph larger than what a detector takes: overlapping tiles, and their maps made one again.

Tiles are as evenly apart as whole pixels allow, the first and the last flush with the border. Each
has a window that falls off towards the sides where another tile goes on, and windows are divided by
their sum. So they add to one everywhere, what all tiles agree on comes out as it is, and there are
no seams: a window is next to nothing where its tile ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Box = tuple[int, int, int, int]  # left, top, right, bottom

OVERLAP = 0.25  # of a tile's side, at the least
FADED = 1e-3  # a window's height at the very side of its tile


@dataclass(frozen=True)
class Axis:
    """Tiles along one side of a photograph."""

    length: int
    tile: int  # not more than the length
    overlap: int  # pixels that neighbours share at the least

    @cached_property
    def starts(self) -> list[int]:
        """Where each tile begins."""
        step = max(1, self.tile - self.overlap)
        gaps = math.ceil((self.length - self.tile) / step)
        return [round(i * (self.length - self.tile) / gaps) for i in range(gaps)] + [
            self.length - self.tile
        ]

    @cached_property
    def windows(self) -> list[np.ndarray]:
        """The weights (tile,) of each tile, which add to one at every pixel."""
        ramp = (np.arange(self.tile) + 0.5) / max(1, self.overlap)
        ramp = np.minimum(np.minimum(ramp, ramp[::-1]), 1)
        window = FADED + (1 - FADED) * ramp * ramp * (3 - 2 * ramp)
        total = np.zeros(self.length)
        for start in self.starts:
            total[start : start + self.tile] += window
        return [window / total[start : start + self.tile] for start in self.starts]


@dataclass(frozen=True)
class Tiling:
    """Tiles over a photograph, row by row."""

    rows: Axis
    columns: Axis

    @classmethod
    def over(cls, size: tuple[int, int], tile: tuple[int, int]) -> Tiling:
        """size, tile: (height, width); along a side that is shorter, a tile is as long as it."""
        pairs = zip(size, tile, strict=True)
        return cls(*(Axis(n, min(t, n), round(OVERLAP * min(t, n))) for n, t in pairs))

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of each."""
        return self.rows.tile, self.columns.tile

    def boxes(self) -> Iterator[Box]:
        """Where each tile lies, in the order that `blended` takes their maps."""
        height, width = self.tile
        for top in self.rows.starts:
            for left in self.columns.starts:
                yield left, top, left + width, top + height

    def blended(self, maps: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """One map of all tiles' maps (height, width): its rows (k, W), a band after another.

        Holds no more than one row of tiles, however large the photograph.
        """
        height, width = self.tile
        band, source = np.zeros((height, self.columns.length)), iter(maps)
        ends = [*self.rows.starts[1:], self.rows.length]
        for top, end, down in zip(self.rows.starts, ends, self.rows.windows, strict=True):
            for left, across in zip(self.columns.starts, self.columns.windows, strict=True):
                part = band[:, left : left + width]
                part += next(source) * down[:, None] * across
            done = end - top
            yield band[:done].astype(np.float32)
            band = np.concatenate([band[done:], np.zeros((done, band.shape[1]))])
