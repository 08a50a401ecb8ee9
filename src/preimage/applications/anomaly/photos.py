"""Pictures to look for anomalies in, at their full size and depth: pages of files, or tensors.

A multipage TIFF is as many pictures as it has pages, and each is reported by its number. Pixels
stay whole numbers of the depth they came in until a detector sees them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from preimage.applications.anomaly.tiles import Box
from preimage.core import InputError
from preimage.data import Dataset
from preimage.data.archives import Item
from preimage.data.decode import Target, flatten, open_image, reason, render

MAX_PIXELS = 170_000_000  # of a page; more is refused before it is decoded
PAGED = ("TIFF", "GIF", "WEBP", "PNG")  # further frames of others are previews of the first


class Photo(Protocol):
    """One picture, whole."""

    @property
    def label(self) -> str:
        """What a person calls it."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def seen(self, box: Box, target: Target) -> Tensor:
        """A part of it as a detector takes it: (C, H, W) in [−1, 1]. Its mirror beyond the edge."""
        ...

    def shown(self, box: Box, size: tuple[int, int]) -> np.ndarray:
        """A part of it for people, of that height and width: (h, w, 3) uint8."""
        ...


@dataclass(frozen=True)
class Picture:
    """A page of a file, or a row of a data set, decoded."""

    name: str
    image: Image.Image  # mode L, RGB, or F
    span: tuple[float, float] | None = None  # what a person sees as black and white
    page: int = 1
    pages: int = 1

    @property
    def label(self) -> str:
        return label(self.name, self.page, self.pages)

    @property
    def size(self) -> tuple[int, int]:
        return self.image.height, self.image.width

    @property
    def extremes(self) -> tuple[float, float] | None:
        """The smallest and largest finite value of a 16-bit or float picture; None of others."""
        if self.image.mode != "F":
            return None
        values = np.asarray(self.image)
        finite = values[np.isfinite(values)]
        return (float(finite.min()), float(finite.max())) if finite.size else None

    def seen(self, box: Box, target: Target) -> Tensor:
        if self.image.mode == "F" and target.range is None:  # learned on photographs of 8 bits
            target = replace(target, range=self.span or self.extremes)
        pixels = render(self._part(box), target)
        values = torch.from_numpy(pixels.astype(np.float32))
        return values.mul_(2 / np.iinfo(pixels.dtype).max).sub_(1)

    def shown(self, box: Box, size: tuple[int, int]) -> np.ndarray:
        span = (self.span or self.extremes) if self.image.mode == "F" else None
        target = Target(*size, channels=3, fit="stretch", range=span)
        pixels = render(self._part(box), target)
        pixels = pixels if span is None else (pixels >> 8).astype(np.uint8)
        return pixels.transpose(1, 2, 0)

    def _part(self, box: Box) -> Image.Image:
        left, top, right, bottom = box
        inside = (left, top, min(right, self.image.width), min(bottom, self.image.height))
        part = self.image if inside == (0, 0, *self.image.size) else self.image.crop(inside)
        below, beside = bottom - inside[3], right - inside[2]
        if not (below or beside):
            return part
        edges = [(0, below), (0, beside), (0, 0)][: 2 if part.mode != "RGB" else 3]
        return Image.fromarray(np.pad(np.asarray(part), edges, mode="symmetric"))


@dataclass(frozen=True)
class InMemory:
    """A picture that is a tensor already."""

    label: str
    x: Tensor  # (C, H, W) in [−1, 1]

    @property
    def size(self) -> tuple[int, int]:
        return self.x.shape[1], self.x.shape[2]

    def seen(self, box: Box, target: Target) -> Tensor:
        if self.x.shape[0] != target.channels:
            raise InputError(
                f"{self.label} has {self.x.shape[0]} channels, and the detector takes "
                f"{target.channels}"
            )
        left, top, right, bottom = box
        y, x = _mirrored(top, bottom, self.size[0]), _mirrored(left, right, self.size[1])
        part = self.x.detach().float().cpu()[:, y][:, :, x]
        size = (target.height, target.width)
        if part.shape[1:] == size:
            return part
        resized = F.interpolate(part[None], size, mode="bilinear", antialias=True)
        return resized[0].clamp(-1, 1)

    def shown(self, box: Box, size: tuple[int, int]) -> np.ndarray:
        part = self.seen(box, Target(*size, channels=self.x.shape[0]))
        part = part[:3] if len(part) >= 3 else part[:1].expand(3, -1, -1)
        return ((part + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _mirrored(first: int, last: int, length: int) -> Tensor:
    """Indices first … last − 1, those beyond the end mirrored at it."""
    at = torch.arange(first, last) % (2 * length)
    return torch.minimum(at, 2 * length - 1 - at)


class Pictures:
    """What a person named, opened one by one: `names` are of whole files, `pages` of pictures."""

    def __init__(
        self,
        items: list[Item] | Dataset,
        *,
        background: tuple[int, int, int] = (255, 255, 255),
        span: tuple[float, float] | None = None,
        max_pixels: int = MAX_PIXELS,
    ):
        """span: black and white of 16-bit and float pictures, for people; unset, each its own."""
        self.items, self.background, self.span = items, background, span
        self.max_pixels = max_pixels
        self.skipped: list[tuple[str, str]] = []
        self.pages: list[tuple[int, int, int]] = []  # which item, which page of how many
        self.sizes: list[tuple[int, int]] = []  # height and width of each picture, about
        if isinstance(items, Dataset):
            self.names = [str(name) for name in items.names]
            self.pages = [(i, 1, 1) for i in range(len(items))]
            self.sizes = [(items.spec.height, items.spec.width)] * len(items)
            self.skipped = [(n, f"{n} cannot be used: {reason}") for n, reason in items.skipped]
            return
        self.names = [item.name for item in items]
        for i, item in enumerate(items):
            try:
                count, size = self._header(item)
            except InputError as error:
                self.skipped.append((item.name, str(error)))
                continue
            self.pages += [(i, page, count) for page in range(1, count + 1)]
            self.sizes += [size] * count

    def __len__(self) -> int:
        return len(self.pages)

    def label(self, k: int) -> str:
        """What a person calls picture k."""
        i, page, pages = self.pages[k]
        return label(self.names[i], page, pages)

    def open(self, k: int) -> Picture:
        """Picture k. Raises InputError where it cannot be decoded."""
        i, page, pages = self.pages[k]
        name, items = self.names[i], self.items
        if isinstance(items, Dataset):
            return Picture(name, _row(items, i), items.value_range)
        try:
            with _quiet(), self._opened(items[i]) as image:
                if page > 1:
                    image.seek(page - 1)
                flat = flatten(image, self.background, whole=True)
        except (Exception, MemoryError) as error:
            raise InputError(f"{self.label(k)} cannot be used: {reason(error)}") from None
        return Picture(name, flat, self.span, page, pages)

    def _header(self, item: Item) -> tuple[int, tuple[int, int]]:
        """How many pages a file has, and the size of the first."""
        try:
            with _quiet(), self._opened(item) as image:
                count = getattr(image, "n_frames", 1) if image.format in PAGED else 1
                return count, (image.height, image.width)
        except (Exception, MemoryError) as error:
            raise InputError(f"{item.name} cannot be used: {reason(error)}") from None

    def _opened(self, item: Item) -> Image.Image:
        return open_image(item.path, item.offset, item.length, max_pixels=self.max_pixels)


def label(name: str, page: int, pages: int) -> str:
    """`scan.tif, page 3`, where there are several."""
    return f"{name}, page {page}" if pages > 1 else name


def _row(data: Dataset, i: int) -> Image.Image:
    """An image of a data set as it would have been decoded from a file."""
    values = data.images[i]  # (C, H, W) uint8 or uint16
    if values.dtype == np.uint16 and len(values) == 1:
        low, high = data.value_range or (0.0, 65535.0)
        return Image.fromarray(low + values[0].astype(np.float32) * ((high - low) / 65535))
    values = values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)
    plain = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(plain))


def _quiet() -> warnings.catch_warnings:
    """Pillow warns of large pictures, which is what these are, and of tags nobody reads."""
    return warnings.catch_warnings(action="ignore")
