"""Where something is wrong: the connected parts of a map above a threshold, with boxes and areas.

A map of a large photograph comes in bands of rows, and what touches across two bands is one region:
labels within each band, joined by union-find (Rosenfeld & Pfaltz, "Sequential operations in digital
picture processing", 1966; Tarjan, "Efficiency of a good but not linear set union algorithm", 1975).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

TOUCHING = np.ones((3, 3), bool)  # pixels that touch at a corner are of one region


@dataclass(frozen=True)
class Region:
    """One connected part of a picture that is above the threshold."""

    left: int
    top: int
    width: int
    height: int
    area: int  # in pixels
    peak: float  # the map's largest value in it

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class _Part:
    """A component of one band, or what several have grown into."""

    box: list[int]  # left, top, right, bottom
    area: int
    peak: float
    seed: tuple[int, int]  # a pixel of it: row, column


class Growing:
    """`add` the bands of a map from top to bottom, and `finish`."""

    def __init__(self, threshold: float, *, least: int = 1):
        """least: pixels that a region must have to count."""
        self.threshold, self.least = threshold, least
        self._bands: list[np.ndarray] = []  # of the mask
        self._rows = 0
        self._parents: list[int] = []
        self._parts: list[_Part] = []
        self._above: np.ndarray | None = None  # the last row's parts, by number from 1 on

    def add(self, values: np.ndarray) -> None:
        """The next rows (k, W) of the map."""
        mask = values > self.threshold
        labels, count = ndimage.label(mask, TOUCHING)  # type: ignore[misc]
        first = len(self._parts)
        if count:
            index = np.arange(1, count + 1)
            areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
            peaks = ndimage.maximum(values, labels, index)
            for k, (down, across) in enumerate(ndimage.find_objects(labels)):
                column = across.start + int((labels[down.start, across] == k + 1).argmax())
                self._parts.append(
                    _Part(
                        box=[across.start, self._rows + down.start, across.stop,
                             self._rows + down.stop],
                        area=int(areas[k]),
                        peak=float(peaks[k]),
                        seed=(self._rows + down.start, column),
                    )
                )  # fmt: skip
            self._parents += range(first, first + count)
        numbered = np.where(labels > 0, labels + first, 0)
        if self._above is not None:
            self._join(self._above, numbered[0])
        self._above = numbered[-1]
        self._bands.append(mask)
        self._rows += len(mask)

    def finish(self) -> tuple[np.ndarray, list[Region]]:
        """The mask (H, W) bool of the regions that are large enough; and these, worst first."""
        whole = np.concatenate(self._bands)
        found = []
        for i, part in enumerate(self._parts):
            if self._parents[i] != i:
                continue
            left, top, right, bottom = part.box
            if part.area >= self.least:
                found.append(Region(left, top, right - left, bottom - top, part.area, part.peak))
                continue
            inside = whole[top:bottom, left:right]
            labels, _ = ndimage.label(inside, TOUCHING)  # type: ignore[misc]
            inside[labels == labels[part.seed[0] - top, part.seed[1] - left]] = False
        return whole, sorted(found, key=lambda region: -region.peak)

    def _join(self, above: np.ndarray, below: np.ndarray) -> None:
        """Make one of all parts that touch across two rows of part numbers (W,), 0 being none."""
        W = len(below)
        pairs = []
        for shift in (-1, 0, 1):
            a = above[max(0, -shift) : W - max(0, shift)]
            b = below[max(0, shift) : W - max(0, -shift)]
            both = (a > 0) & (b > 0)
            pairs.append(np.stack([a[both], b[both]], 1))
        for a, b in np.unique(np.concatenate(pairs), axis=0) - 1:
            self._merge(self._root(int(a)), self._root(int(b)))

    def _root(self, i: int) -> int:
        while self._parents[i] != i:
            self._parents[i] = i = self._parents[self._parents[i]]
        return i

    def _merge(self, into: int, gone: int) -> None:
        if into == gone:
            return
        into, gone = min(into, gone), max(into, gone)  # the earlier has the higher seed
        self._parents[gone] = into
        a, b = self._parts[into], self._parts[gone]
        a.box = [min(p, q) for p, q in zip(a.box[:2], b.box[:2], strict=True)] + [
            max(p, q) for p, q in zip(a.box[2:], b.box[2:], strict=True)
        ]
        a.area, a.peak = a.area + b.area, max(a.peak, b.peak)


def regions(
    values: np.ndarray,  # (H, W)
    threshold: float,
    *,
    least: int = 1,
) -> tuple[np.ndarray, list[Region]]:
    """The mask (H, W) bool of a map's regions above a threshold, and the regions, worst first."""
    growing = Growing(threshold, least=least)
    growing.add(values)
    return growing.finish()
