"""What every anomaly score is: fitted to good images, it reads others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from preimage.applications.anomaly.images import Images


@dataclass(frozen=True)
class Reading:
    """What one score says of B images; larger is more anomalous, in units of its own."""

    scores: Tensor | None = None  # (B,), where an image has one that is not read off its map
    maps: Tensor | None = None  # (B, h, w), a cell for so many pixels


class Score(Protocol):
    """One way of telling odd images from good ones.

    `state` is all that was learnt: a score made alike, with that state, reads alike.
    """

    state: dict[str, Tensor]

    def fit(self, images: Images, *, seed: int = 0) -> None:
        """Learn from good images."""
        ...

    def read(self, x: Tensor) -> Reading:
        """Read images (B, C, H, W) of one size; each is read as if it were alone."""
        ...
