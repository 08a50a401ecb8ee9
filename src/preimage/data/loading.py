"""One function for every source of images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from preimage.core import DataSpec, InputError
from preimage.data import cache as store
from preimage.data import entry
from preimage.data import labels as label_files
from preimage.data.arrays import Arrays, Part, natural_range
from preimage.data.assemble import assemble, resplit
from preimage.data.convert import convert_arrays
from preimage.data.dataset import Dataset
from preimage.data.decode import MAX_PIXELS, Header, Target, flatten, open_image, reason, render
from preimage.data.decoding import Known, KnownRow, Progress
from preimage.data.duplicates import deduplicated
from preimage.data.options import Colour, Options, Size, checked
from preimage.data.source import BuiltIn, FileSource, Reading, Source, find, shadowed

PathLike = str | os.PathLike[str]


def load(
    source: PathLike,
    *,
    size: Size | None = None,
    channels: int | None = None,
    fit: str = "crop",
    background: Colour = "white",
    range: tuple[float, float] | None = None,
    labels: PathLike | None = None,
    split: str | None = None,
    max_pixels: int = MAX_PIXELS,
    deduplicate: bool = False,
    sides: Mapping[int, bool] | None = None,
    cache: PathLike | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Images from anywhere, decoded once and kept; opening them again is instant.

    source: a folder (any depth), a zip or tar of one, an IDX, .npy or .npz file, one image, a name
        that `datasets()` lists, or `hf:owner/name`.
    size: of the images, one number or (height, width); unset, it is chosen from theirs.
    channels: 1 or 3; unset, 1 where every image is grey.
    fit: "crop" to the shape, "pad" to it, or "stretch".
    background: below transparency and around padding.
    range: the values of 16-bit or float images that mean black and white; unset, their extremes
        over the whole data set.
    labels: a CSV or JSON-lines file with a column of file names, and columns `label` or others.
    split: "train" or "test" alone, of a source that comes with both.
    max_pixels: images of more are skipped before they are decoded.
    deduplicate: whether to train on one image only of those that are equal or nearly so.
    sides: hash of an image → whether it was held out before, and so is now; unset, as the cache
        remembers the source.
    cache: folder to keep the decoded images in; unset, $PREIMAGE_CACHE or the platform's own.
    workers: decoding processes; unset, one a processor.
    progress: called with a `Step` now and then.

    Raises InputError where there is nothing usable, or an option makes no sense.
    """
    options = checked(
        size=size,
        channels=channels,
        fit=fit,
        background=background,
        range=range,
        max_pixels=max_pixels,
        split=split,
    )
    base = store.root(cache)
    dataset = _cached(find(source, base), options, base, workers, progress)
    if note := shadowed(source):
        dataset.notes = (*dataset.notes, note)
    if sides is not None:
        dataset = resplit(dataset, sides)
    if labels is not None:
        _apply_labels(dataset, Path(labels).expanduser())
    return deduplicated(dataset) if deduplicate else dataset


def load_as(source: PathLike, spec: DataSpec, *, progress: Progress | None = None) -> Dataset:
    """The same, of a model's size and channels, though they be none that a net of ours takes.

    Raises InputError where there is nothing usable, and where the spec is not of images.
    """
    _check_images(spec)
    base = store.root(None)
    options = replace(checked(channels=spec.channels), size=(spec.height, spec.width))
    return _cached(find(source, base), options, base, progress=progress)


def _check_images(spec: DataSpec) -> None:
    if spec.kind != "image" or spec.channels not in (1, 3):
        raise InputError(f"the model takes {spec}, not grey or colour images")


def _cached(
    source: Source,
    options: Options,
    base: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The entry of this source and these options, made first if need be."""
    try:
        return _read_or_make(source, options, base, workers, progress)
    except OSError as error:
        what, where = error.strerror or str(error), error.filename or base
        mend = "free some space, or set PREIMAGE_CACHE to a folder that can be written"
        raise InputError(f"{where}: {what}; {mend}") from None


def _read_or_make(
    source: Source, options: Options, base: Path, workers: int | None, progress: Progress | None
) -> Dataset:
    if isinstance(source, BuiltIn) and source.small:
        raw = convert_arrays(source.make(options), options, source.name)
        return assemble(raw, name=source.name, source=source.where)
    owner = store.digest([source.where, asdict(options)], 6)
    final = store.entry_path(
        base, source.name, f"{owner}-{store.digest([store.FORMAT, source.stamp], 6)}"
    )
    dataset = entry.read(final)
    if dataset is not None:
        return dataset
    if final.is_dir() and entry.read(final) is None:
        store.remove([final])  # damaged; a whole one appears under its name at once
    older = [path for path in final.parent.glob(f"*-{owner}-*") if path != final]
    with store.staging(base) as folder:
        known = next((k for path in older if (k := _known(path)) is not None), None)
        raw, manifest = source.read(Reading(options, folder, workers, progress, known))
        remembered = store.remembered_split(base, source.where)
        dataset = assemble(raw, name=source.name, source=source.where, remembered=remembered)
        entry.write(dataset, folder, manifest=manifest)
        if raw.sides is None:
            held = np.zeros(len(dataset), bool)
            held[dataset.heldout] = True
            sides = dict(zip(raw.hashes.tolist(), held.tolist(), strict=True))
            store.remember_split(base, source.where, {**remembered, **sides})
        store.publish(folder, final)
    store.remove(older)
    dataset = entry.read(final)
    if dataset is None:
        raise InputError(f"the cache {final} was removed while it was written; load again")
    return dataset


def _known(folder: Path) -> Known | None:
    """What an older entry of the same source decoded, for the files that have not changed."""
    manifest = store.read_json(folder / "manifest.json")
    old = entry.read(folder)
    if old is None or manifest is None:
        return None
    rows = {
        name: KnownRow(row, (size, time), int(old.hashes[row]), Header(**header))
        for row, (name, size, time, header) in enumerate(manifest["rows"])
    }
    return Known(old.images, Target.from_json(manifest["target"]), rows)


def _apply_labels(dataset: Dataset, path: Path) -> None:
    table = label_files.read(path, list(dataset.names))
    if table.labels is not None:
        dataset.labels, dataset.classes = table.labels, table.classes
    dataset.attributes = {**dataset.attributes, **table.attributes}
    dataset.categories = {**dataset.categories, **table.categories}
    dataset.notes = (*dataset.notes, *table.notes)
    # A labels file among the images was looked at as one of them.
    inside = Path(dataset.source)
    dataset.skipped = [s for s in dataset.skipped if inside / s[0] != path.resolve()]


def from_arrays(
    images: np.ndarray,  # (N, H, W), (N, H, W, C) or (N, C, H, W), any number type
    labels: Sequence[int | str] | np.ndarray | None = None,
    *,
    classes: Sequence[str] = (),
    attributes: Mapping[str, np.ndarray] | None = None,  # name → (N,)
    categories: Mapping[str, tuple[str, ...]] | None = None,  # what an attribute's codes mean
    name: str = "arrays",
    size: Size | None = None,
    channels: int | None = None,
    fit: str = "crop",
    background: Colour = "white",
    range: tuple[float, float] | None = None,
) -> Dataset:
    """A data set in memory. Options are those of `load`.

    Raises InputError where labels or attributes do not match the images.
    """
    options = checked(size=size, channels=channels, fit=fit, background=background, range=range)
    values = {key: np.asarray(value, np.float32) for key, value in (attributes or {}).items()}
    for key, value in values.items():
        if value.shape != (len(images),):
            raise InputError(
                f"attribute '{key}': {len(value)} values do not match {len(images)} images"
            )
    part = Part(np.asarray(images), None if labels is None else np.asarray(labels))
    arrays = Arrays([part], tuple(classes), values, dict(categories or {}))
    raw = convert_arrays(arrays, options, name)
    return assemble(raw, name=name, source=name)


def images(
    source: PathLike | Image.Image | np.ndarray | Sequence[PathLike | Image.Image],
    spec: DataSpec,
    *,
    fit: str = "crop",
    background: Colour = "white",
    range: tuple[float, float] | None = None,
    max_pixels: int = MAX_PIXELS,
    cache: PathLike | None = None,
) -> Tensor:
    """Images as a model of this spec takes them: float32 (B, C, H, W) in [−1, 1].

    source: one image file or picture, a list of them, an array of images, or anything `load`
        takes. 16-bit and float images need the `range` of the model's data to mean the same.

    Raises InputError where there is no image, or one cannot be read.
    """
    _check_images(spec)
    options = replace(
        checked(
            channels=spec.channels,
            fit=fit,
            background=background,
            range=range,
            max_pixels=max_pixels,
        ),
        size=(spec.height, spec.width),
    )
    if isinstance(source, np.ndarray):
        raw = convert_arrays(Arrays([Part(source)]), options, "the array")
        if raw.skipped:  # left out, the images that follow would answer for others
            raise InputError("the array: {} cannot be used: {}".format(*raw.skipped[0]))
        return _floats(raw.images)
    if isinstance(source, (str, os.PathLike)):
        found = find(source, store.root(cache))
        if not isinstance(found, FileSource):
            dataset = _cached(found, options, store.root(cache))
            return dataset.batch(np.arange(len(dataset)))
    single = isinstance(source, (str, os.PathLike, Image.Image))
    flat = [_flat(item, options) for item in ([source] if single else source)]
    if not flat:
        raise InputError("no images were given")
    deep = [np.asarray(image) for image in flat if image.mode == "F"]
    span = (options.range or natural_range(deep)) if deep else None
    target = options.target((spec.height, spec.width), spec.channels, span)
    return _floats(np.stack([render(image, target) for image in flat]))


def _flat(item: Any, options: Options) -> Image.Image:
    """One picture, or one image file, upright and on its background: mode L, RGB or F."""
    if isinstance(item, Image.Image):
        return flatten(item, options.background)
    try:
        with open_image(os.fspath(item), max_pixels=options.max_pixels) as image:
            return flatten(image, options.background)
    except (Exception, MemoryError) as error:
        raise InputError(f"{item} cannot be used: {reason(error)}") from None


def _floats(pixels: np.ndarray) -> Tensor:
    values = torch.from_numpy(pixels.astype(np.float32))
    return values.mul_(2 / np.iinfo(pixels.dtype).max).sub_(1)
