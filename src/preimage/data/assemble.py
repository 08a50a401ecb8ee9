"""Images, names and hashes → a Dataset: duplicates found, the split made, everything noted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from preimage.core import ImageSpec
from preimage.core.words import counted
from preimage.data import split
from preimage.data.dataset import Dataset

_TOO_ALIKE = "Images are too alike to tell near duplicates; only exact ones are kept together."


@dataclass
class Raw:
    """Decoded images with what their source said of them; the split is not made yet."""

    images: np.ndarray  # (N, C, H, W) uint8 or uint16
    names: list[str]
    hashes: np.ndarray  # (N,) uint64
    sides: list[str] | None = None  # "train" or "test" of each, where the source has a split
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    value_range: tuple[float, float] | None = None
    notes: list[str] = field(default_factory=list)
    independent: bool = False  # near duplicates are chance, and need not stay together


def assemble(
    raw: Raw, *, name: str, source: str, remembered: Mapping[int, bool] | None = None
) -> Dataset:
    """The data set, its held-out side as the source has it or as `split` makes it."""
    exact = split.exact_groups(raw.hashes)
    if raw.sides is not None:
        held = np.array([side == "test" for side in raw.sides])
        notes = _shared(exact, held)
    else:
        groups = exact if raw.independent else split.near_groups(raw.images, exact)
        notes = [_TOO_ALIKE] if groups is None else []
        groups = exact if groups is None else groups
        held = split.held_out(raw.hashes, groups, remembered=remembered)
        if not held.any() and len(held) > 1:
            notes.append("Nothing is held out: all images are duplicates of one another.")
    images = raw.images
    return Dataset(
        name=name,
        source=source,
        spec=ImageSpec(*images.shape[1:]),
        images=images,
        names=raw.names,
        hashes=raw.hashes,
        train=np.flatnonzero(~held),
        heldout=np.flatnonzero(held),
        fingerprint=_fingerprint(raw),
        labels=raw.labels,
        classes=raw.classes,
        attributes=raw.attributes,
        categories=raw.categories,
        skipped=raw.skipped,
        duplicates=split.duplicate_names(exact, raw.names),
        value_range=raw.value_range,
        notes=(*raw.notes, *notes),
    )


def sides_of(dataset: Dataset) -> dict[int, bool]:
    """Hash of an image → whether it is held out; without those that are on both sides."""
    held = set(dataset.hashes[dataset.heldout].tolist())
    others = set(np.delete(dataset.hashes, dataset.heldout).tolist())
    return {image: image in held for image in sorted(held ^ others)}


def resplit(dataset: Dataset, sides: Mapping[int, bool]) -> Dataset:
    """The same images, each that is known on its side, and new ones on that of their like."""
    held = np.isin(np.arange(len(dataset)), dataset.heldout)
    hashes = dataset.hashes.tolist()
    if all(sides.get(image, was) == was for image, was in zip(hashes, held.tolist(), strict=True)):
        return dataset
    if any(image not in sides for image in hashes):
        exact = split.exact_groups(dataset.hashes)
        groups = split.near_groups(dataset.images, exact)
        groups = exact if groups is None else groups
        held = split.held_out(dataset.hashes, groups, remembered=sides)
    pairs = zip(hashes, held.tolist(), strict=True)
    held = np.array([sides.get(image, fresh) for image, fresh in pairs], bool)
    return replace(dataset, train=np.flatnonzero(~held), heldout=np.flatnonzero(held))


def _shared(exact: np.ndarray, held: np.ndarray) -> list[str]:
    """A sentence where a split that came with the data has equal images on both sides."""
    both = np.intersect1d(exact[held], exact[~held])
    if not len(both):
        return []
    count = int(np.isin(exact[held], both).sum())
    images = counted(count, "held-out image")
    return [f"The split that came with the data leaks: {images} also among those to train on."]


def _fingerprint(raw: Raw) -> str:
    kind = f"{raw.images.shape} {raw.images.dtype} {raw.value_range}"
    digest = hashlib.blake2b(kind.encode(), digest_size=16)
    digest.update(raw.hashes.tobytes())
    return digest.hexdigest()
