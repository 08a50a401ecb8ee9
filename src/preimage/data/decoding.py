"""Files → images of one size in one map, decoded in parallel, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from preimage.core import InputError, Step
from preimage.core.words import counted
from preimage.data import pool
from preimage.data.archives import ENDINGS, Item, Skipped
from preimage.data.assemble import Raw
from preimage.data.cache import new_map
from preimage.data.decode import Header, Target
from preimage.data.options import Options, choose_range, choose_size, range_note

Progress = Callable[[Step], None]
Stamp = tuple[int, int]  # a file's size and time of change
_BLOCK = 512  # images copied at a time
_PACKED = (*ENDINGS, ".npz")


@dataclass(frozen=True)
class KnownRow:
    """An image that is decoded already."""

    row: int
    stamp: Stamp
    hash: int
    header: Header


@dataclass(frozen=True)
class Known:
    """What an earlier entry of the same source has decoded already."""

    images: np.ndarray  # (N, C, H, W)
    target: Target
    rows: dict[str, KnownRow]  # by name


@dataclass(frozen=True)
class Decoded:
    """The outcome of decoding files: the images that could be used, in order of name."""

    raw: Raw
    items: list[int]  # which of the listed files each image is
    headers: list[Header]
    target: Target


def decode_files(
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    options: Options,
    folder: Path,
    *,
    skipped: Skipped,
    workers: int | None = None,
    progress: Progress | None = None,
    known: Known | None = None,
) -> Decoded:
    """Decode files into `folder/images.npy`, in processes of their own; the bad ones are listed.

    Raises InputError where none can be used.
    """
    kept = {} if known is None else _unchanged(items, stamps, known)
    with pool.Pool(workers or pool.usable_cpus()) as decoders:
        work = _Work(items, decoders, options.max_pixels, list(skipped), progress)
        headers = {i: row.header for i, row in kept.items()}
        for answer in work.answers((i for i in range(len(items)) if i not in kept), "look"):
            headers[answer["index"]] = Header(**answer["header"])
        work.check_any(headers)
        order = sorted(headers)
        target, reason = _choose_target([headers[i] for i in order], options)
        if known is None or not _fits(known.target, target, options):
            kept = {}
        rows = _Rows(folder / "decoded.npy", len(order), target)
        place = {i: row for row, i in enumerate(order)}
        for i, row in kept.items():
            assert known is not None
            rows.put(place[i], row.hash, known.images[row.row])
        for answer in work.answers((i for i in order if i not in kept), "decode", rows, place):
            rows.note(place[answer["index"]], answer["hash"], answer["grey"])

    good = np.flatnonzero(rows.good)
    work.check_any(good)
    if options.channels is None and rows.grey[good].all():
        target = replace(target, channels=1)
    chosen = [order[row] for row in good]
    usable = [headers[i] for i in chosen]
    raw = Raw(
        images=rows.compact(good, target.channels, folder / "images.npy"),
        names=[items[i].name for i in chosen],
        hashes=rows.hashes[good],
        skipped=sorted(work.skipped),
        value_range=target.range,
        notes=[*reason, *_notes(usable, target, options)],
    )
    return Decoded(raw, chosen, usable, target)


@dataclass
class _Work:
    """Hands files to decoding processes and lists those that cannot be used."""

    items: Sequence[Item]
    decoders: pool.Pool
    max_pixels: int
    skipped: Skipped
    progress: Progress | None

    def answers(
        self,
        indices: Iterable[int],
        stage: str,
        rows: _Rows | None = None,
        place: Mapping[int, int] | None = None,  # index → row
    ) -> Iterator[dict[str, Any]]:
        """The answers on usable files: their headers, or with `rows` their hashes."""
        settings: dict[str, Any] = {"max_pixels": self.max_pixels}
        if rows is not None:
            settings |= {"map": str(rows.path), "target": asdict(rows.target)}
        jobs = []
        for i in indices:
            jobs.append({"index": i, **asdict(self.items[i])})
            if place is not None:
                jobs[-1]["row"] = place[i]
        for done, answer in enumerate(self.decoders.run(jobs, settings), 1):
            if "reason" in answer:
                self.skipped.append((self.items[answer["index"]].name, answer["reason"]))
            else:
                yield answer
            if self.progress is not None and (done == len(jobs) or done % 64 == 0):
                counts = {"skipped": float(len(self.skipped))}
                self.progress(Step(done, len(jobs), counts, stage=stage))

    def check_any(self, usable: Sized) -> None:
        """Raises InputError where no file can be used."""
        if len(usable):
            return
        if not self.skipped:
            raise InputError("holds no files")
        packed = [name for name, _ in self.skipped if name.lower().endswith(_PACKED)]
        if packed:
            raise InputError(f"holds no usable image itself; give the archive in it: {packed[0]}")
        name, why = self.skipped[0]
        files = counted(len(self.skipped), "file")
        raise InputError(f"holds no usable image: {files} skipped, such as {name} ({why})")


class _Rows:
    """The map that is being filled, and what is known of each row."""

    def __init__(self, path: Path, count: int, target: Target):
        self.path, self.target = path, target
        self.images = new_map(path, (count, *target.shape), target.dtype)
        self.hashes = np.zeros(count, np.uint64)
        self.grey = np.zeros(count, bool)
        self.good = np.zeros(count, bool)

    def put(self, row: int, content: int, pixels: np.ndarray) -> None:
        self.images[row] = pixels
        self.note(row, content, bool((pixels == pixels[:1]).all()))

    def note(self, row: int, content: int, grey: bool) -> None:
        self.hashes[row], self.grey[row], self.good[row] = content, grey, True

    def compact(self, rows: np.ndarray, channels: int, path: Path) -> np.ndarray:
        """The rows asked for alone, and one channel alone where all are grey, in flat memory."""
        if len(rows) == len(self.images) and channels == self.images.shape[1]:
            self.images.flush()
            self.path.rename(path)
            return self.images
        shape = (len(rows), channels, *self.images.shape[2:])
        final = new_map(path, shape, self.images.dtype)
        for first in range(0, len(rows), _BLOCK):
            final[first : first + _BLOCK] = self.images[rows[first : first + _BLOCK], :channels]
        self.path.unlink()
        return final


def _unchanged(items: Sequence[Item], stamps: Sequence[Stamp], known: Known) -> dict[int, KnownRow]:
    """The files that are as they were when an earlier entry was made."""
    found = ((i, known.rows.get(item.name)) for i, item in enumerate(items))
    return {i: row for i, row in found if row is not None and row.stamp == stamps[i]}


def _choose_target(headers: list[Header], options: Options) -> tuple[Target, list[str]]:
    """What images are made into, and what is to be said of a size that nobody asked for."""
    size, note = options.size, None
    if size is None:
        size, note = choose_size([(h.width, h.height) for h in headers])
    channels = options.channels or (1 if all(h.grey for h in headers) else 3)
    span = choose_range(headers)
    span = None if span is None else options.range or span
    return options.target(size, channels, span), [note] if note else []


def _notes(headers: list[Header], target: Target, options: Options) -> list[str]:
    """What was done to the images that could be used."""
    notes = []
    size = f"{target.width}×{target.height}"
    others = {f"{h.width}×{h.height}" for h in headers} - {size}
    if options.size is not None and others:
        came = others.pop() if len(others) == 1 else "other sizes"
        notes.append(f"Images of {came} are fitted to {size}.")
    if any(h.alpha for h in headers):
        notes.append("Images with transparency are laid on the background.")
    if any(h.cut for h in headers):
        notes.append(
            "Of 16-bit channels beside others the upper 8 bits are read: "
            "where images fill only the lower ones, make them 8-bit first."
        )
    if options.channels == 1 and not all(h.grey for h in headers):
        notes.append("Images with colour channels are made grey.")
    if target.range is not None:
        notes.append(range_note(target.range))
    return notes


def _fits(old: Target, new: Target, options: Options) -> bool:
    """Whether rows decoded for the old target are what the new one asks for."""
    if old == new:
        return True
    widened = options.channels is None and old.channels == 1
    return widened and replace(old, channels=new.channels) == new
