"""What an index must do, whatever keeps it, and what goes in and comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from preimage.applications.filters import Column, Condition


@dataclass(frozen=True)
class Rows:
    """N images to be kept."""

    names: Sequence[str]  # where each lay
    hashes: np.ndarray  # (N,) uint64, of their content
    latents: np.ndarray  # (N, d) float32
    vectors: np.ndarray  # (N, d') float32: what is searched
    thumbnails: Sequence[bytes]  # PNG or JPEG
    attributes: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Entry:
    """One image of an index, and what is known of it."""

    id: int
    name: str  # where it lay when it was added
    latent: np.ndarray  # (d,) float32
    attributes: Mapping[str, float | str]  # what is known: numbers, or words
    thumbnail: bytes = field(repr=False)  # PNG or JPEG


class Store(Protocol):
    """Images by id. Ids grow, and none is given twice."""

    ids: np.ndarray  # (N,) int64, ascending
    hashes: np.ndarray  # (N,) uint64, of the same images
    notes: tuple[str, ...]  # what a person should know: what of it is damaged

    def add(self, rows: Rows) -> np.ndarray:
        """Commit images; returns their ids (N,)."""
        ...

    def remove(self, ids: np.ndarray) -> None:
        """Commit that these are gone."""
        ...

    def settle(self) -> None:
        """After the last change: prepare what makes searches quick."""
        ...

    def search(
        self, queries: np.ndarray, k: int, where: Condition | None = None, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances (B, k), ascending, and ids (B, k) of the nearest of whom `where` holds.

        Fewer columns than k where there are fewer images; an id of −1 where a query found fewer
        than others.
        """
        ...

    def entries(self, ids: Sequence[int]) -> list[Entry]:
        """Raises InputError for an id that there is none of."""
        ...

    def vectors(self, ids: Sequence[int]) -> np.ndarray:
        """What is searched of the same, (B, d)."""
        ...

    def names(self) -> list[str]:
        """Of all images, in the order of their ids."""
        ...

    def known(self) -> dict[str, tuple[str, ...]]:
        """The attributes, and of those of words all words there are."""
        ...

    @property
    def recall(self) -> float | None:
        """The share of the ten nearest that a search finds; None where it is exact."""
        ...

    def check(self) -> None:
        """Read all of it. Raises InputError, in one line, where a file is not what was written."""
        ...
