"""Images that came as arrays → images of one size in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from preimage.core import InputError, Step
from preimage.data.arrays import Arrays, Part, channels_first, natural_range
from preimage.data.assemble import Raw
from preimage.data.cache import new_map
from preimage.data.decode import Target, content_hash, render
from preimage.data.options import Options, choose_size

Progress = Callable[[Step], None]
_BLOCK = 512  # images converted at a time


def convert_arrays(
    arrays: Arrays,
    options: Options,
    where: str,
    *,
    path: Path | None = None,
    progress: Progress | None = None,
) -> Raw:
    """Images of arrays brought to one size and to whole numbers, in memory or in a map at `path`.

    Raises InputError where labels do not match, sizes are unusable, or nothing is there.
    """
    parts = [part for part in arrays.parts if options.split in (None, part.side or options.split)]
    images = [channels_first(part.images, where) for part in parts]
    counts = [len(x) for x in images]
    for part, count in zip(parts, counts, strict=True):
        if part.labels is not None and np.shape(part.labels)[:1] != (count,):
            raise InputError(f"{where}: {len(part.labels)} labels do not match {count} images")
    span = natural_range(images)
    notes = []
    if span is not None or options.range is not None:
        span = options.range or span
    size = options.size
    if size is None:
        sizes = [(x.shape[3], x.shape[2]) for x in images]
        size, note = choose_size(sizes)
        notes += [note] if note else []
    grey = all(_is_grey(x) for x in images) if options.channels is None else False
    channels = options.channels or (1 if grey else 3)
    target = options.target(size, channels, span)
    shape = (sum(counts), *target.shape)
    out = np.empty(shape, target.dtype) if path is None else new_map(path, shape, target.dtype)
    hashes = np.empty(shape[0], np.uint64)
    row = 0
    for x in images:
        for first in range(0, len(x), _BLOCK):
            block = np.ascontiguousarray(x[first : first + _BLOCK])
            rows = slice(row, row + len(block))
            out[rows] = _converted(block, target)
            hashes[rows] = [content_hash(image) for image in block]
            row += len(block)
            if progress is not None:
                progress(Step(row, shape[0], stage="convert"))
    labels, classes = _joined_labels(parts, arrays.classes, where)
    split = len(parts) > 1 and all(part.side for part in parts)
    return Raw(
        images=out,
        names=[
            f"{p.side or 'image'}-{i}" for p, n in zip(parts, counts, strict=True) for i in range(n)
        ],
        hashes=hashes,
        sides=[p.side for p, n in zip(parts, counts, strict=True) for _ in range(n)]
        if split
        else None,
        labels=labels,
        classes=classes,
        attributes=dict(arrays.attributes),
        value_range=span,
        notes=notes,
    )


def _is_grey(images: np.ndarray) -> bool:
    channels = images.shape[1]
    if channels < 3:
        return True
    blocks = (images[i : i + _BLOCK] for i in range(0, len(images), _BLOCK))
    return all(bool((block[:, :1] == block[:, 1:3]).all()) for block in blocks)


def _converted(block: np.ndarray, target: Target) -> np.ndarray:
    """Images (B, C, H, W) of any number type → (B, *target.shape) in the target's."""
    if block.dtype == np.bool_:
        block = block.astype(np.uint8) * 255
    plain = block.shape[1:] == target.shape and target.range is None
    if plain and block.shape[1] in (1, 3):
        return block.astype(np.uint8)
    alpha = block.shape[1] in (2, 4)
    if target.range is None:
        block = block.astype(np.uint8)
        modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
        flat = []
        for image in block:
            last = np.ascontiguousarray(image.transpose(1, 2, 0))
            flat.append(
                _over(last, modes[len(image)], target.background) if alpha else _picture(last)
            )
        return np.stack([render(image, target) for image in flat])
    planes = block.astype(np.float32)
    if alpha:
        low, high = target.range
        a = (planes[:, -1:] - low) / (high - low)
        paper = np.float32(target.background).reshape(1, 3, 1, 1) / 255 * (high - low) + low
        planes = planes[:, :-1] * a + (paper.mean() if planes.shape[1] == 2 else paper) * (1 - a)
    return np.stack([render(image, target) for image in planes])


def _picture(last: np.ndarray) -> Image.Image:
    return Image.fromarray(last[:, :, 0] if last.shape[2] == 1 else last)


def _over(last: np.ndarray, mode: str, background: tuple[int, int, int]) -> Image.Image:
    image = Image.frombytes(mode, (last.shape[1], last.shape[0]), last.tobytes()).convert("RGBA")
    sheet = Image.new("RGBA", image.size, (*background, 255))
    sheet.alpha_composite(image)
    return sheet.convert("RGB")


def _joined_labels(
    parts: Sequence[Part], classes: tuple[str, ...], where: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if any(part.labels is None for part in parts):
        return None, ()
    values = np.concatenate(
        [np.asarray(part.labels).reshape(len(part.labels), -1) for part in parts]
    )
    if values.shape[1] != 1:
        return None, ()
    values = values[:, 0]
    if values.dtype.kind not in "biufUS" or (values.dtype.kind == "f" and (values % 1 != 0).any()):
        raise InputError(f"{where}: labels must be whole numbers or names, not {values.dtype}")
    values = values.astype(np.int64) if values.dtype.kind in "biuf" else values.astype(str)
    if classes and values.dtype.kind == "i":
        if values.min() < 0 or values.max() >= len(classes):
            raise InputError(
                f"{where}: labels {values.min()} … {values.max()} for {len(classes)} classes"
            )
        return values, tuple(classes)
    unique, codes = np.unique(values, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), tuple(str(value) for value in unique)
