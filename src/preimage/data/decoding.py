"""Files → images of one size in one map, decoded in parallel, with progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from preimage.core import InputError, Step
from preimage.data import pool
from preimage.data.archives import Item, Skipped
from preimage.data.assemble import Raw
from preimage.data.cache import new_map
from preimage.data.decode import Header, Target
from preimage.data.options import Options, choose_range, choose_size, range_note

Progress = Callable[[Step], None]
Stamp = tuple[int, int]  # a file's size and time of change
_BLOCK = 512  # images copied at a time


@dataclass(frozen=True)
class Known:
    """What an earlier entry of the same source has decoded already."""

    images: np.ndarray  # (N, C, H, W)
    target: Target
    rows: dict[str, tuple[int, Stamp, int, Header]]  # name → row, stamp, hash, header


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
    workers = workers or pool.usable_cpus()
    skipped = list(skipped)
    kept = _kept(items, stamps, known)
    headers = _read_headers(items, kept, known, options, skipped, workers, progress)
    if not headers:
        raise InputError(_none_usable(items, skipped))
    order = sorted(headers)
    target, notes = _choose_target([headers[i] for i in order], options)
    if known is None or not _fits(known.target, target, options):
        kept = {}

    path = folder / "decoded.npy"
    images = new_map(path, (len(order), *target.shape), target.dtype)
    hashes = np.zeros(len(order), np.uint64)
    grey = np.ones(len(order), bool)
    good = np.zeros(len(order), bool)
    row_of = {i: row for row, i in enumerate(order)}
    if known is not None:
        for i in (i for i in order if i in kept):
            old, _, content, _ = known.rows[items[i].name]
            row, pixels = row_of[i], known.images[old]
            images[row] = pixels
            hashes[row], grey[row], good[row] = content, (pixels == pixels[:1]).all(), True
    jobs = [_job(i, items[i], row=row_of[i]) for i in order if i not in kept]
    settings = {"max_pixels": options.max_pixels, "map": str(path), "target": asdict(target)}
    for done, answer in enumerate(pool.run(jobs, settings, workers=workers), 1):
        i = answer["index"]
        if "reason" in answer:
            skipped.append((items[i].name, answer["reason"]))
        else:
            hashes[row_of[i]], grey[row_of[i]] = answer["hash"], answer["grey"]
            good[row_of[i]] = True
        _tell(progress, done, len(jobs), "decode", len(skipped))

    if not good.any():
        raise InputError(_none_usable(items, skipped))
    channels = target.channels
    if options.channels is None and grey[good].all():
        channels = 1
    rows = np.flatnonzero(good)
    final = _compact(images, rows, channels, folder / "images.npy", path)
    chosen = [order[row] for row in rows]
    raw = Raw(
        images=final,
        names=[items[i].name for i in chosen],
        hashes=hashes[rows],
        skipped=sorted(skipped),
        value_range=target.range,
        notes=notes,
    )
    return Decoded(raw, chosen, [headers[i] for i in chosen], replace(target, channels=channels))


def _kept(items: Sequence[Item], stamps: Sequence[Stamp], known: Known | None) -> set[int]:
    """The files that have not changed since an earlier entry was made."""
    if known is None:
        return set()
    return {
        i
        for i, (item, stamp) in enumerate(zip(items, stamps, strict=True))
        if item.name in known.rows and known.rows[item.name][1] == stamp
    }


def _read_headers(
    items: Sequence[Item],
    kept: set[int],
    known: Known | None,
    options: Options,
    skipped: Skipped,
    workers: int,
    progress: Progress | None,
) -> dict[int, Header]:
    headers = {} if known is None else {i: known.rows[items[i].name][3] for i in kept}
    jobs = [_job(i, item) for i, item in enumerate(items) if i not in kept]
    answers = pool.run(jobs, {"max_pixels": options.max_pixels}, workers=workers)
    for done, answer in enumerate(answers, 1):
        if "reason" in answer:
            skipped.append((items[answer["index"]].name, answer["reason"]))
        else:
            headers[answer["index"]] = Header(**answer["header"])
        _tell(progress, done, len(jobs), "look", len(skipped))
    return headers


def _job(index: int, item: Item, **more: int) -> dict[str, Any]:
    return {
        "index": index,
        "path": item.path,
        "offset": item.offset,
        "length": item.length,
        **more,
    }


def _choose_target(headers: list[Header], options: Options) -> tuple[Target, list[str]]:
    notes = []
    size = options.size
    if size is None:
        size, note = choose_size([(h.width, h.height) for h in headers])
        notes += [note] if note else []
    channels = options.channels or (1 if all(h.grey for h in headers) else 3)
    span = choose_range(headers)
    if span is not None:
        span = options.range or span
        notes.append(range_note(span))
    return options.target(size, channels, span), notes


def _fits(old: Target, new: Target, options: Options) -> bool:
    """Whether rows decoded for the old target are what the new one asks for."""
    if old == new:
        return True
    widened = options.channels is None and old.channels == 1
    return widened and replace(old, channels=new.channels) == new


def _compact(
    images: np.memmap, rows: np.ndarray, channels: int, path: Path, old: Path
) -> np.ndarray:
    """The good rows alone, and one channel alone where all are grey, in flat memory."""
    if len(rows) == len(images) and channels == images.shape[1]:
        images.flush()
        old.rename(path)
        return images
    final = new_map(path, (len(rows), channels, *images.shape[2:]), images.dtype)
    for first in range(0, len(rows), _BLOCK):
        final[first : first + _BLOCK] = images[rows[first : first + _BLOCK], :channels]
    old.unlink()
    return final


def _none_usable(items: Sequence[Item], skipped: Skipped) -> str:
    if not items and not skipped:
        return "holds no files"
    archives = [
        n for n, _ in skipped if n.lower().endswith((".zip", ".tar", ".tgz", ".gz", ".npz"))
    ]
    if archives:
        return f"holds no usable image itself; give the archive in it: {archives[0]}"
    name, why = skipped[0]
    return f"holds no usable image: {len(skipped)} files skipped, such as {name} ({why})"


def _tell(progress: Progress | None, done: int, total: int, stage: str, skipped: int) -> None:
    if progress is not None and (done == total or done % 64 == 0):
        progress(Step(done, total, {"skipped": skipped}, stage=stage))
