"""How a detector looks at a photograph: whole or in tiles, at the model's size or its own.

A model has seen images of one size, and its scores make sense of no others. So a photograph is
brought to that size; one of another shape is looked at in several tiles side by side, where a
person's crop would have cut a part off. A photograph much larger than the model's images would lose
what is small, and is seen in tiles of fewer pixels instead. Scores that need no model can take
photographs as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from preimage.applications.anomaly.photos import Photo
from preimage.applications.anomaly.tiles import Box, Tiling
from preimage.core import DataSpec
from preimage.data.decode import Target, placement

REDUCED = 4  # times, at the most, unless a tile's size is given
LARGEST = 1024  # pixels a side of photographs that are seen as they are, in one


@dataclass(frozen=True)
class Framing:
    """What of a photograph a detector is shown."""

    channels: int
    size: tuple[int, int] | None  # height and width each tile is brought to; None: as it is
    tile: tuple[int, int] | None  # pixels of the photograph in one tile; None: all, or a square
    exact: bool  # whether a photograph smaller than a tile is continued by its mirror image
    fit: str = "crop"  # of a photograph into one tile: "crop" (side by side), "pad" or "stretch"
    background: tuple[int, int, int] = (255, 255, 255)
    range: tuple[float, float] | None = None  # of 16-bit and float photographs

    def tiling(self, size: tuple[int, int]) -> Tiling:
        """The tiles over a photograph (height, width), continued where it has to be."""
        height, width = self.continued(size)
        if self.tile is not None:
            return Tiling.over((height, width), self.tile)
        if self.size is None or self.fit != "crop":
            return Tiling.over((height, width), (height, width))
        scale = min(height / self.size[0], width / self.size[1])
        tile = max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale))
        return Tiling.over((height, width), tile)

    def continued(self, size: tuple[int, int]) -> tuple[int, int]:
        """The height and width of a photograph with what is added to it."""
        if not self.exact or self.tile is None:
            return size
        return max(size[0], self.tile[0]), max(size[1], self.tile[1])

    def seen(self, photo: Photo, box: Box) -> Tensor:
        """What a detector takes: (C, H, W) in [−1, 1]."""
        return photo.seen(box, self._target(box))

    def unseen(self, values: np.ndarray, box: Box) -> np.ndarray:
        """A map of a tile as the detector saw it (H, W), in the photograph's pixels (h, w)."""
        size = box[2] - box[0], box[3] - box[1]
        left, top, right, bottom = placement(size, self._target(box)).inside
        inside = np.ascontiguousarray(values[top:bottom, left:right], np.float32)
        if inside.shape == size[::-1]:
            return inside
        return np.asarray(Image.fromarray(inside).resize(size, Image.Resampling.BILINEAR))

    def area(self, size: tuple[int, int]) -> float:
        """How many pixels of a photograph (height, width) are one of the detector's."""
        if self.size is None:
            return 1.0
        height, width = self.tiling(size).tile
        return height * width / (self.size[0] * self.size[1])

    def _target(self, box: Box) -> Target:
        height, width = self.size or (box[3] - box[1], box[2] - box[0])
        fit = "stretch" if self.tile is not None or self.fit == "crop" else self.fit
        return Target(height, width, self.channels, fit, self.background, self.range)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Framing:
        plain: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in value.items()
        }
        return cls(**plain)


def for_model(
    spec: DataSpec, sizes: Sequence[tuple[int, int]], tile: int | None, **reading: Any
) -> tuple[Framing, str]:
    """Photographs of these (height, width) as a model takes them; a sentence on what was chosen.

    tile: pixels of the photograph along a tile's shorter side.
    """
    own = (spec.height, spec.width)
    short, side = median(min(size) for size in sizes), min(own)
    note = ""
    if tile is None and short > REDUCED * side:
        tile = REDUCED * side
        note = (
            f"The photographs are larger than the model's {spec.height}×{spec.width} images and "
            f"are seen in tiles of {tile} pixels; tile (--tile) sets another size, "
            f"--tile {round(short)} sees them whole."
        )
    if tile is None:
        return Framing(spec.channels, own, None, False, **reading), note
    scale = tile / side
    cut = round(own[0] * scale), round(own[1] * scale)
    return Framing(spec.channels, own, cut, True, **reading), note


def as_they_are(
    channels: int, sizes: Sequence[tuple[int, int]], tile: int | None, **reading: Any
) -> tuple[Framing, str]:
    """Photographs at their own size, in tiles where they are larger than one."""
    largest = tile or LARGEST
    cut, alike = (largest, largest), len(set(sizes)) == 1
    if alike:
        cut = min(sizes[0][0], largest), min(sizes[0][1], largest)
    elif all(min(size) >= largest for size in sizes):
        alike = True
    return Framing(channels, None, cut, alike, **reading), ""
