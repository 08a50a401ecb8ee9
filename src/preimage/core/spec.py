"""What one sample of data looks like."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any


@dataclass(frozen=True)
class DataSpec:
    """Kind, shape and value range of one sample.

    Inside the library every image is a float tensor (B, C, H, W) in [−1, 1]; `range` is what
    the tensor's values mean at the edge of the library, for models that think in [0, 1].
    """

    kind: str  # "image", "vector" or "sequence"
    shape: tuple[int, ...]  # of one sample: (C, H, W) for an image
    range: tuple[float, float] = (-1.0, 1.0)

    @property
    def size(self) -> int:
        """How many numbers one sample has."""
        return prod(self.shape)

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def height(self) -> int:
        return self.shape[-2]

    @property
    def width(self) -> int:
        return self.shape[-1]

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "shape": list(self.shape), "range": list(self.range)}

    @staticmethod
    def from_json(value: dict[str, Any]) -> DataSpec:
        low, high = value["range"]
        return DataSpec(value["kind"], tuple(value["shape"]), (float(low), float(high)))

    def __str__(self) -> str:
        if self.kind != "image":
            return f"{self.kind} {self.shape}"
        colour = {1: "grey", 3: "colour"}.get(self.channels, f"{self.channels} channels")
        return f"{self.height}×{self.width} {colour}"


def ImageSpec(channels: int, height: int, width: int) -> DataSpec:
    """The usual data: images (channels, height, width) in [−1, 1]."""
    return DataSpec("image", (channels, height, width))
