"""Images that came as arrays → images of one size in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from preimage.core import InputError, Step
from preimage.data.arrays import Arrays, channels_first, natural_range
from preimage.data.assemble import Raw
from preimage.data.cache import new_map
from preimage.data.decode import Target, content_hash, render
from preimage.data.options import Options, choose_size, range_note

Progress = Callable[[Step], None]
_BLOCK = 512  # images converted at a time
_NOT_FINITE = "a value that is NaN or infinite"


def convert_arrays(
    arrays: Arrays,
    options: Options,
    where: str,  # the source, for messages
    *,
    path: Path | None = None,
    progress: Progress | None = None,
) -> Raw:
    """Images of arrays brought to one size and to whole numbers, in memory or in a map at `path`.

    An image with a value that is not finite is skipped, and its label and attributes with it.

    Raises InputError where labels do not match, sizes are unusable, or no image can be used.
    """
    parts = arrays.parts
    if options.split is not None:
        parts = [part for part in parts if part.side == options.split]
        if not parts:
            raise InputError(
                f"{where} comes without a split, so split={options.split} is not there"
            )
    images = [channels_first(part.images, where) for part in parts]
    usable = [_finite(x) for x in images]
    kept = np.concatenate(usable)
    if not kept.any():
        raise InputError(f"{where} holds no usable image: each has {_NOT_FINITE}; replace those")
    labels, classes = _labels([part.labels for part in parts], usable, arrays.classes, where)
    target, notes = _target(images, usable, options)

    shape = (int(kept.sum()), *target.shape)
    out = np.empty(shape, target.dtype) if path is None else new_map(path, shape, target.dtype)
    hashes = np.empty(len(out), np.uint64)
    row = 0
    for x, mask in zip(images, usable, strict=True):
        for block in _blocks(x, mask):
            rows = slice(row, row + len(block))
            out[rows] = _converted(block, target)
            hashes[rows] = [content_hash(image) for image in block]
            row += len(block)
            if progress is not None:
                progress(Step(row, len(out), stage="convert"))

    sides = [part.side for part, mask in zip(parts, usable, strict=True) for _ in mask[mask]]
    names = [
        f"{part.side or 'image'}-{place}"
        for part, mask in zip(parts, usable, strict=True)
        for place in range(len(mask))
    ]
    values = arrays.attributes
    if not kept.all():
        values = {name: value[kept] for name, value in values.items()}
    return Raw(
        images=out,
        names=[name for name, good in zip(names, kept, strict=True) if good],
        hashes=hashes,
        sides=sides if set(sides) == {"train", "test"} else None,
        labels=labels,
        classes=classes,
        attributes=dict(values),
        categories=dict(arrays.categories),
        skipped=[(n, _NOT_FINITE) for n, good in zip(names, kept, strict=True) if not good],
        value_range=target.range,
        notes=notes,
        independent=arrays.independent,
    )


def _finite(images: np.ndarray) -> np.ndarray:
    """Which images (N, C, H, W) are of finite values alone: bool (N,)."""
    if images.dtype.kind != "f":
        return np.ones(len(images), bool)
    blocks = (images[i : i + _BLOCK] for i in range(0, len(images), _BLOCK))
    return np.concatenate([np.isfinite(block).all((1, 2, 3)) for block in blocks])


def _blocks(images: np.ndarray, usable: np.ndarray) -> Iterator[np.ndarray]:
    """The usable images, some at a time: the whole may be larger than memory."""
    for first in range(0, len(images), _BLOCK):
        rows = slice(first, first + _BLOCK)
        block = images[rows]
        yield np.ascontiguousarray(block if usable[rows].all() else block[usable[rows]])


def _target(
    images: list[np.ndarray], usable: list[np.ndarray], options: Options
) -> tuple[Target, list[str]]:
    """What these arrays are to be made into, and sentences on what was chosen."""
    notes = []
    size = options.size
    if size is None:
        size, note = choose_size([(x.shape[3], x.shape[2]) for x in images])
        notes += [note] if note else []
    span = options.range or natural_range(images)
    if span is not None and span not in ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)):
        notes.append(range_note(span))
    white_or_black = len(set(options.background)) == 1
    grey = all(
        _is_grey(x, mask) and (x.shape[1] in (1, 3) or white_or_black)
        for x, mask in zip(images, usable, strict=True)
    )
    return options.target(size, options.channels or (1 if grey else 3), span), notes


def _is_grey(images: np.ndarray, usable: np.ndarray) -> bool:
    colours = images.shape[1] - 1 + images.shape[1] % 2  # without the alpha channel
    return colours == 1 or all(
        bool((b[:, :1] == b[:, 1:colours]).all()) for b in _blocks(images, usable)
    )


def _converted(block: np.ndarray, target: Target) -> np.ndarray:
    """Images (B, C, H, W) of any number type → (B, *target.shape) in the target's."""
    if block.dtype == np.bool_ and target.range is None:
        block = block.astype(np.uint8) * 255
    if block.shape[1] in (2, 4):
        low, high = target.range or (0.0, 255.0)
        block = _over_background(block, low, high, target.background)
    if target.range is not None:
        return np.stack([render(image, target) for image in block.astype(np.float32)])
    block = np.rint(block).astype(np.uint8)
    if block.shape[1:] == target.shape:
        return block
    last = np.ascontiguousarray(block.transpose(0, 2, 3, 1))
    pictures = (Image.fromarray(x[:, :, 0] if x.shape[2] == 1 else x) for x in last)
    return np.stack([render(picture, target) for picture in pictures])


def _over_background(
    block: np.ndarray, low: float, high: float, background: tuple[int, int, int]
) -> np.ndarray:
    """Composite images with alpha as their last channel (B, 2 or 4, H, W) over a colour."""
    values = block.astype(np.float32)
    alpha = (values[:, -1:] - low) / (high - low)
    paper = np.array(background, np.float32).reshape(1, 3, 1, 1) / 255 * (high - low) + low
    if len(set(background)) == 1:
        paper = paper[:, :1]
    return values[:, :-1] * alpha + paper * (1 - alpha)


def _labels(
    given: list[np.ndarray | None], usable: list[np.ndarray], classes: tuple[str, ...], where: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Class indices of the usable images, and all classes; None where a part has no labels."""
    known = [np.asarray(labels) for labels in given if labels is not None]
    if len(known) < len(given):
        return None, ()
    for labels, mask in zip(known, usable, strict=True):
        count = len(mask)
        if labels.shape not in ((count,), (count, 1)):
            shape = "×".join(map(str, labels.shape))
            raise InputError(f"{where}: labels ({shape}) do not match {count} images")
    pairs = zip(known, usable, strict=True)
    values = np.concatenate([labels.reshape(-1)[mask] for labels, mask in pairs])
    if values.dtype.kind == "f" and not (values % 1).any():
        values = values.astype(np.int64)
    if values.dtype.kind not in "biuUS":
        raise InputError(f"{where}: labels must be whole numbers or names, not {values.dtype}")
    if classes and values.dtype.kind in "biu":
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= len(classes):
            raise InputError(f"{where}: labels {low} … {high} do not fit {len(classes)} classes")
        return values.astype(np.int64), tuple(classes)
    if values.dtype.kind == "S":
        values = values.astype(str)
    unique, codes = np.unique(values, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), tuple(str(value) for value in unique)
