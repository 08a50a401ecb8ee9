"""Photographs as a run takes them, and what of them is to be filled, however that is said."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from preimage.api import basics
from preimage.api.observations import PathLike, Progress
from preimage.applications.holes import WHITE, Box, Colour, Holes, Picture
from preimage.applications.photographs import Photograph, in_memory, opened
from preimage.core import InputError
from preimage.data import Dataset, masks
from preimage.data import cache as store
from preimage.data.archives import Item
from preimage.data.decode import MAX_PIXELS, Target
from preimage.data.options import checked
from preimage.data.source import FileSource, FolderSource, find
from preimage.runs.images import reading
from preimage.runs.run import Run

MaskLike = PathLike | Tensor | np.ndarray | Image.Image
KINDS = "; give an image, box:left,top,right,bottom or colour:#ff00ff"


class Photos:
    """Image files, decoded whole one at a time; or rows of a data set, as they are."""

    def __init__(
        self,
        target: Target,
        max_pixels: int = MAX_PIXELS,
        *,
        items: Sequence[Item] = (),
        data: Dataset | None = None,
    ):
        self.target, self.max_pixels, self.items, self.data = target, max_pixels, items, data
        self.names = (
            [item.name for item in items] if data is None else [str(name) for name in data.names]
        )

    def photo(self, i: int) -> Photograph:
        if self.data is None:
            return opened(self.items[i], self.target, max_pixels=self.max_pixels)
        name = self.names[i] if self.names[i].endswith(".png") else f"{self.names[i]}.png"
        return in_memory(name, self.data.batch([i])[0], self.target)


def photographs(
    images: PathLike, run: Run, progress: Progress | None
) -> tuple[Photos, list[tuple[str, str]]]:
    """What a person named, as photographs; and what cannot be used."""
    used = {k: v for k, v in reading(run).items() if k in ("fit", "background", "max_pixels")}
    spec, span = run.plan.model.data, run.config["data"].get("range")
    size = (spec.height, spec.width)
    options = replace(checked(channels=spec.channels, **used), size=size)
    target = options.target(size, spec.channels, tuple(span) if span else None)
    source = find(images, store.root(None))
    if isinstance(source, FolderSource):
        items, _, skipped = source.listing
        if not items:
            raise InputError(f"{images} holds no files")
        return Photos(target, options.max_pixels, items=items), list(skipped)
    if isinstance(source, FileSource):
        items = [Item(source.path.name, str(source.path))]
        return Photos(target, options.max_pixels, items=items), []
    data = basics.fitted(images, run, progress=progress)
    return Photos(target, data=data), list(data.skipped)


def holes_of(mask: PathLike) -> Callable[[str], Holes]:
    """The mask of each photograph, by the photograph's name."""
    text = os.fspath(mask)
    kind, colon, rest = text.partition(":")
    if colon and kind in ("box", "colour", "color"):
        made = Box.of(rest) if kind == "box" else Colour.of(rest)
        return lambda name: made
    if not (text and Path(text).is_dir()):
        picture = Picture(read_mask(text, KINDS), text)
        return lambda name: picture

    def of(name: str) -> Holes:
        own = [p for p in _masks_of(Path(text), Path(name)) if p.is_file()]
        if not own:
            raise InputError(f"--mask {text} holds no mask named like {name}; add {name}")
        return Picture(read_mask(own[0], KINDS), str(own[0]))

    return of


def _masks_of(folder: Path, name: Path) -> Iterator[Path]:
    """Where the mask of a photograph may lie: as it does, or beside the others; of any format."""
    yield folder / name
    stem = glob.escape(name.stem)
    for place in (folder / name.parent, folder):
        yield from sorted(place.glob(f"{stem}.*"))


def read_mask(path: PathLike, instead: str = "") -> np.ndarray:
    """A mask from an image file: (H, W) uint8. Raises InputError where it cannot be read.

    instead: what else might be given, for that error.
    """
    if not os.fspath(path):
        raise InputError(f"--mask is empty{instead or '; give the file of an image'}")
    try:
        return masks.read_mask(path)
    except InputError as error:
        raise InputError(f"--mask {error}{instead}") from None


def missing_in(mask: MaskLike, x: Tensor) -> Tensor:
    """Where images (B, C, H, W) are to be filled: (1 or B, 1, H, W) bool."""
    H, W = x.shape[2:]
    if isinstance(mask, str) and mask.startswith("box:"):
        hole = torch.from_numpy(Box.of(mask[4:]).within(W, H, "the images"))
    elif isinstance(mask, str | os.PathLike):
        hole = torch.from_numpy(read_mask(mask, KINDS) >= WHITE)
    elif isinstance(mask, Image.Image):
        hole = torch.from_numpy(np.array(mask.convert("L")) >= WHITE)
    else:
        values = torch.as_tensor(mask)
        hole = values if values.dtype == torch.bool else values.float() > values.max() / 2
    shape = hole.shape
    hole = hole.reshape(1, 1, *shape) if hole.dim() == 2 else hole
    hole = hole[:, None] if hole.dim() == 3 else hole
    fits = hole.dim() == 4 and hole.shape[1:] == (1, H, W) and len(hole) in (1, len(x))
    if not fits:
        raise InputError(
            f"the mask is of shape {tuple(shape)}, and the images are {H}×{W}; give a mask of "
            "that size, one for all or one for each"
        )
    for row in hole:
        if not row.any():
            raise InputError("the mask is empty, so nothing is to be filled; mark what is")
        if row.all():
            raise InputError("the mask covers everything, and nothing is known; leave some")
    return hole
