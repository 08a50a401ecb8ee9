"""Folders of which it is known what is good, what is not, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from preimage.api.observations import PathLike
from preimage.applications.anomaly.photos import Pictures
from preimage.core import InputError
from preimage.core.words import counted
from preimage.data import cache as store
from preimage.data.archives import Item
from preimage.data.source import FileSource, FolderSource, find

MASKS = ("ground_truth", "masks", "mask")  # folders beside those of photographs
MASK_ENDINGS = ("", "_mask")  # of a mask's name, after its photograph's


@dataclass(frozen=True)
class Layout:
    """Photographs, and the folder of masks where there is one."""

    good: list[Item]
    bad: list[Item]
    masks: Path | None


def layout_of(good: PathLike, bad: PathLike | None, masks: PathLike | None) -> Layout:
    """Which files are good, which are bad, and where masks are."""
    given = None if masks is None else Path(masks)
    if given is not None and not given.is_dir():
        raise InputError(f"--masks {given} is no folder; give one of images named as the bad ones")
    if bad is not None:
        return Layout(items_of(good), items_of(bad), given)
    root = Path(good)
    test = root / "test" if (root / "test").is_dir() else root
    if not (test / "good").is_dir():
        raise InputError(
            f"{root} has neither test/good nor good in it; give two folders, GOOD and BAD"
        )
    beside = {place for base in (root, test) for name in MASKS if (place := base / name).is_dir()}
    names = {place.name for place in beside}
    fine, odd = [], []
    for item in items_of(test):
        top = PurePosixPath(item.name).parts[0]
        if top == "good":
            fine.append(item)
        elif top not in names and top != "train":
            odd.append(item)
    return Layout(fine, odd, given or min(beside, default=None))


def learned_already(good: list[Item], source: str) -> list[str]:
    """What is to be said where good images are those that a detector learned from."""
    if not (source and Path(source).exists()):
        return []
    learned = Path(source).resolve()
    known = sum(Path(item.path).resolve().is_relative_to(learned) for item in good)
    if not known:
        return []
    return [
        f"{known} of {counted(len(good), 'good image')} are from {source}, which the detector "
        "learned from: false alarms look rarer than they are; judge by others"
    ]


def kind(name: str) -> str:
    """What is wrong, as the folder of a bad photograph says."""
    parts = PurePosixPath(name).parts
    return parts[0] if len(parts) > 1 else "bad"


class Masks:
    """Masks by the names of the photographs they are of."""

    def __init__(self, folder: Path, bad: Pictures):
        self.folder, self.bad = folder, bad
        items = items_of(folder)
        self.files = {str(PurePosixPath(i.name).with_suffix("")): i for i in items}
        for k in range(len(bad)):
            self._item(k)  # or say that it is missing, before anything long begins

    def __call__(self, k: int, size: tuple[int, int]) -> np.ndarray:
        """The mask (H, W) bool of bad photograph k."""
        item, page = self._item(k), self.bad.pages[k][1]
        pages = Pictures([item])
        if pages.skipped:
            raise InputError(pages.skipped[0][1])
        if len(pages) < page:
            raise InputError(f"{item.name} in {self.folder} has no page {page}; add it")
        image = pages.open(page - 1).image.convert("L")
        if (image.height, image.width) != size:
            raise InputError(
                f"the mask {item.name} is of {image.width}×{image.height} pixels, and "
                f"{self.bad.label(k)} of {size[1]}×{size[0]}; give one of the same size"
            )
        values = np.asarray(image)
        return values > values.max() / 2 if values.any() else np.zeros(size, bool)

    def _item(self, k: int) -> Item:
        name = PurePosixPath(self.bad.names[self.bad.pages[k][0]]).with_suffix("")
        for stem in (str(name), name.name):
            for ending in MASK_ENDINGS:
                if (item := self.files.get(stem + ending)) is not None:
                    return item
        raise InputError(f"{self.folder} has no mask of {self.bad.label(k)}; add {name}.png")


def items_of(images: PathLike) -> list[Item]:
    """The files of a folder, or the one file."""
    source = find(images, store.root(None))
    if isinstance(source, FolderSource):
        return source.listing[0]
    if isinstance(source, FileSource):
        return [Item(source.path.name, str(source.path))]
    raise InputError(f"{images} is neither a folder of images nor an image")
