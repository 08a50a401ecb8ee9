"""Photographs inspected: is anything wrong with one, how surely, where, and what should be there.

A detector judges tiles; a person judges photographs. A photograph is as odd as its oddest tile, and
its p-value and the threshold come from good photographs that were held out as wholes, so that the
rate of false alarms is one of photographs, however many tiles each has.

Where something is wrong is said of photographs that are called anomalous, so good ones have a mask
no more often than a false alarm. A mask holds what stands out more than anything in half of the
good photographs; the other half may have pixels as odd, but these make no photograph anomalous.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from preimage.applications.anomaly import suite
from preimage.applications.anomaly.calibration import (
    conformal_p_values,
    conformal_threshold,
    needed,
)
from preimage.applications.anomaly.detector import Detector, Explanation, spared, suspicious
from preimage.applications.anomaly.framing import Framing
from preimage.applications.anomaly.photos import InMemory, Photo
from preimage.applications.anomaly.regions import Growing, Region
from preimage.applications.anomaly.tiles import Box, Tiling
from preimage.core import InputError, LatentModel, Step, seeds
from preimage.core.words import counted
from preimage.metrics.detection import levels_of

Progress = Callable[[Step], None]

HELDOUT = 0.25  # of good photographs, that the threshold is set on
FEWEST = 8  # good photographs
MOST = 6000  # tiles of good photographs that are learned from
AT_ONCE = 64  # tiles
OPEN = 4_000_000  # pixels of photographs that are looked at together
SAMPLED = 4000  # pixels of each held-out photograph
LEAST = 4  # pixels, as the detector sees them, that a region must have
SHOWN = 1024  # pixels a side of a map that is kept to be looked at


class Source(Protocol):
    """Photographs, opened one by one."""

    def __len__(self) -> int: ...
    def open(self, k: int) -> Photo: ...
    def label(self, k: int) -> str: ...


@dataclass(frozen=True)
class Finding:
    """What is known of one photograph."""

    label: str
    size: tuple[int, int]  # height and width
    score: float  # of its oddest tile
    p_value: float  # the share of good photographs as odd as this
    anomalous: bool
    map: np.ndarray  # (h, w): how odd each place is; of a large photograph, maxima of blocks
    mask: np.ndarray  # (H, W) bool: where it is anomalous; nowhere if it is not
    regions: tuple[Region, ...]  # the parts of the mask, worst first
    worst: Box  # the oddest tile
    tile: Tensor  # (C, H, W): that, as the detector saw it

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return sum(region.area for region in self.regions)


@dataclass(frozen=True)
class Inspector:
    """A detector, how it looks at photographs, and what good ones look like to it."""

    detector: Detector
    framing: Framing
    good: Tensor  # (n,) scores of good photographs that were held out
    pixel_threshold: float  # of maps
    levels: np.ndarray  # (K,) between which pixels are counted
    suspects: tuple[str, ...] = ()  # good photographs that look anomalous
    learned: int = 0  # good photographs that were not held out

    @cached_property
    def threshold(self) -> float:
        """The score above which a photograph is called anomalous."""
        return conformal_threshold(self.good, self.false_alarms)

    @property
    def false_alarms(self) -> float:
        """The share of good photographs that may be called anomalous."""
        return self.detector.false_alarms

    def inspect(self, photo: Photo | Tensor) -> Finding:
        """One photograph, or an image (C, H, W) in [−1, 1], of any size."""
        return next(self.inspected([in_memory(photo)]))

    def inspected(self, photos: Iterable[Photo]) -> Iterator[Finding]:
        """Many, one after another, in memory for a few."""
        for look in self.looks(photos):
            height, width = look.photo.size
            least = max(1, round(LEAST * self.framing.area(look.photo.size)))
            growing, shrunk = Growing(self.pixel_threshold, least=least), _Shrunk(height, width)
            for band in look.bands():
                growing.add(band)
                shrunk.add(band)
            mask, regions = growing.finish()
            anomalous = look.score > self.threshold
            if not anomalous:
                mask[:], regions = False, []
            p = conformal_p_values(torch.tensor([look.score]), self.good)
            yield Finding(
                label=look.photo.label,
                size=(height, width),
                score=look.score,
                p_value=float(p),
                anomalous=anomalous,
                map=shrunk.finish(),
                mask=mask,
                regions=tuple(regions),
                worst=look.worst,
                tile=look.tile,
            )

    def looks(self, photos: Iterable[Photo]) -> Iterator[Look]:
        """The photographs, with what the detector says of each; their tiles are read together."""
        for some in _together(photos):
            stream = self._read(some)
            for photo in some:
                yield Look(photo, self.framing, stream)

    def explain(self, finding: Finding) -> Explanation:
        """What the detector saw in a photograph's oddest tile, and what it had expected there."""
        return self.detector.explain(finding.tile[None])

    def _read(self, photos: Sequence[Photo]) -> Iterator[Reading]:
        tiles = (
            (box, self.framing.seen(photo, box))
            for photo in photos
            for box in self.framing.tiling(photo.size).boxes()
        )
        height, width = self.framing.tiling(photos[0].size).tile
        at_once = min(AT_ONCE, max(1, OPEN // (height * width)))
        while chunk := list(islice(tiles, at_once)):
            boxes, seen = zip(*chunk, strict=True)
            scores, maps = self.detector.read(_stacked(seen))
            for box, x, score, values in zip(boxes, seen, scores.tolist(), maps, strict=True):
                yield box, x, score, values.numpy()


Reading = tuple[Box, Tensor, float, np.ndarray]


class Look:
    """One photograph as it is read: after all `bands`, its score, and its oddest tile."""

    def __init__(self, photo: Photo, framing: Framing, stream: Iterator[Reading]):
        self.photo, self.framing, self._stream = photo, framing, stream
        self.tiling: Tiling = framing.tiling(photo.size)
        self.score, self.worst, self.tile = -np.inf, (0, 0, 0, 0), torch.empty(0)

    def bands(self) -> Iterator[np.ndarray]:
        """The map's rows (k, W) in the photograph's own pixels, from top to bottom."""
        height, width = self.photo.size
        done = 0
        for band in self.tiling.blended(self._maps()):
            if len(rows := band[: height - done, :width]):
                yield rows
            done += len(band)

    def map(self) -> np.ndarray:
        """All of it: (H, W)."""
        return np.concatenate(list(self.bands()))

    def _maps(self) -> Iterator[np.ndarray]:
        for _ in range(len(self.tiling)):
            box, x, score, values = next(self._stream)
            if score > self.score:
                self.score, self.worst, self.tile = score, box, x
            yield self.framing.unseen(values, box)


def fitted(
    photos: Source,
    framing: Framing,
    *,
    model: LatentModel | None = None,
    scores: str | Sequence[str] = "auto",
    false_alarms: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
) -> Inspector:
    """Learn what good photographs look like.

    Raises InputError where they are fewer than the wanted rate needs, and says how many it takes.
    """
    n, least = len(photos), enough(len(photos), false_alarms)
    order = torch.randperm(n, generator=seeds.generator(seed, "held-out photographs"))
    held = max(round(HELDOUT * n), least)
    if model is not None or suite.taught_by(scores, _shortest(photos, framing)):
        more = min(2 * held, n // 2)  # half of these are to weigh scores of nets on
        held = more if spared(more, false_alarms) else held
    each = -(-MOST // (n - held))
    tiles, group = _some_tiles(photos, framing, order[held:].sort().values, each, seed, progress)
    others, heldout = _some_tiles(photos, framing, order[:held].sort().values, 1, seed, progress)
    enough(2 * len(heldout), false_alarms)  # still, without those that could not be opened
    detector = Detector(scores=scores, false_alarms=false_alarms, seed=seed)
    detector.fit(
        _stacked(tiles),
        model=model,
        validation=_stacked(others),
        groups=group if len(set(group)) < len(group) else None,
        progress=progress,
    )
    inspector = Inspector(detector, framing, torch.zeros(0), 0.0, np.zeros(0))
    good, highest, sample = [], [], []
    rng = np.random.default_rng(seed)
    for k, look in enumerate(inspector.looks(photos.open(i) for i in heldout)):
        values = look.map().ravel()
        good.append(look.score)
        highest.append(values.max())
        sample.append(values[rng.integers(len(values), size=SAMPLED)])
        if progress is not None:
            progress(Step(k + 1, len(heldout), stage="look at good photographs held out"))
    pixels, found = np.concatenate(sample), torch.tensor(good, dtype=torch.float64)
    odd = {group[i] for i in detector.suspects}
    odd |= {i for i, score in zip(heldout, good, strict=True) if score > suspicious(found)}
    return Inspector(
        detector=detector,
        framing=framing,
        good=found,
        pixel_threshold=float(np.median(highest)),
        levels=levels_of(pixels),
        suspects=tuple(photos.label(i) for i in sorted(odd)),
        learned=len(set(group)),
    )


def in_memory(photo: Photo | Tensor) -> Photo:
    """A photograph, or a tensor seen as one."""
    if not isinstance(photo, Tensor):
        return photo
    x = photo[0] if photo.ndim == 4 and len(photo) == 1 else photo
    if x.ndim != 3 or not x.isfinite().all():
        raise InputError(
            f"an image of shape {tuple(photo.shape)}; give (C, H, W) in [−1, 1], finite"
        )
    return InMemory("image", x)


def enough(n: int, false_alarms: float) -> int:
    """How many good photographs the threshold takes; half of all may be held out for it.

    Raises InputError where there are fewer, and for a rate that is none.
    """
    if not 0 < false_alarms < 1:
        raise InputError(f"false alarms of {false_alarms:g} must lie between 0 and 1, as in 0.01")
    least = needed(false_alarms)
    if n < max(FEWEST, 2 * least):
        reachable = 1 / (max(n, FEWEST) // 2 + 1)
        mend = f", or --false-alarms {reachable:.2g} or more" if n >= FEWEST else ""
        raise InputError(
            f"{counted(n, 'good image')} {'is' if n == 1 else 'are'} too few for a false-alarm "
            f"rate of {false_alarms:g}: it takes "
            f"{max(FEWEST, 2 * least)}; give more{mend}"
        )
    return least


def _shortest(photos: Source, framing: Framing) -> int:
    """The shorter side of a tile of the first photograph that can be opened; 0 where none can."""
    for k in range(len(photos)):
        with suppress(InputError):
            return min(framing.tiling(photos.open(k).size).tile)
    return 0


def _some_tiles(
    photos: Source,
    framing: Framing,
    which: Tensor,
    each: int,
    seed: int,
    progress: Progress | None,
) -> tuple[list[Tensor], list[int]]:
    """At most so many tiles of each photograph, drawn by seed, and which it is of.

    Photographs that cannot be opened are left out, with a note.
    """
    tiles: list[Tensor] = []
    group: list[int] = []
    for done, i in enumerate(which.tolist()):
        notes: tuple[str, ...] = ()
        try:
            photo = photos.open(i)
        except InputError as error:
            notes = (f"left out: {error}",)
        else:
            boxes = list(framing.tiling(photo.size).boxes())
            if len(boxes) > each:
                g = seeds.generator(seed, "tiles", i)
                boxes = [boxes[k] for k in torch.randperm(len(boxes), generator=g)[:each].tolist()]
            tiles += [framing.seen(photo, box) for box in boxes]
            group += [i] * len(boxes)
        if progress is not None:
            progress(Step(done + 1, len(which), stage="open good photographs", notes=notes))
    return tiles, group


def _stacked(tiles: Sequence[Tensor]) -> Tensor | list[Tensor]:
    """One tensor where all are of one size."""
    alike = len({tuple(x.shape) for x in tiles}) == 1
    return torch.stack(list(tiles)) if alike else list(tiles)


def _together(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    """A few photographs at a time, as many as are not too large together."""
    some: list[Photo] = []
    total = 0
    for photo in photos:
        some.append(photo)
        total += photo.size[0] * photo.size[1]
        if total > OPEN or len(some) == AT_ONCE:
            yield some
            some, total = [], 0
    if some:
        yield some


class _Shrunk:
    """Maxima of square blocks of a map that comes in bands."""

    def __init__(self, height: int, width: int):
        self.block = -(-max(height, width) // SHOWN)
        self._rows: list[np.ndarray] = []
        self._rest = np.empty((0, width), np.float32)

    def add(self, band: np.ndarray) -> None:
        rows = np.concatenate([self._rest, band])
        whole = len(rows) // self.block * self.block
        self._rest = rows[whole:]
        if whole:
            self._rows.append(self._maxima(rows[:whole]))

    def finish(self) -> np.ndarray:
        if len(self._rest):
            self._rows.append(self._maxima(self._rest))
        return np.concatenate(self._rows)

    def _maxima(self, rows: np.ndarray) -> np.ndarray:
        down = np.maximum.reduceat(rows, np.arange(0, len(rows), self.block), axis=0)
        return np.maximum.reduceat(down, np.arange(0, rows.shape[1], self.block), axis=1)
