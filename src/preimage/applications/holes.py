"""Holes in photographs: named by a person, brought to the model's size, and filled at their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageColor
from torch import Tensor

from preimage.applications.blending import seamless
from preimage.applications.photographs import (
    Photograph,
    bounds_of,
    enlarged,
    in_channels,
    softened,
)
from preimage.core import InputError

TOLERANCE = 16  # grey levels by which a colour may differ from the one that marks a hole
BOX = re.compile(r"\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)\s*")
WHITE = 128  # grey level from which a mask's pixel is one to fill

Holes = Callable[[Photograph], np.ndarray]  # → (h, w) bool: what is to be filled


@dataclass(frozen=True)
class Box:
    """Pixels from the left and top ones to before the right and bottom ones, counted from 0."""

    left: int
    top: int
    right: int
    bottom: int

    @staticmethod
    def of(text: str) -> Box:
        """`x0,y0,x1,y1`. Raises InputError where that is no box."""
        found = BOX.fullmatch(text)
        if found is None:
            raise InputError(
                f"--mask box:{text} is no box; give left, top, right and bottom in pixels, as in "
                "box:10,20,60,80"
            )
        box = Box(*map(int, found.groups()))
        if box.left >= box.right or box.top >= box.bottom:
            raise InputError(f"--mask box:{text} holds nothing; right and bottom lie beyond")
        return box

    def within(self, width: int, height: int, name: str) -> np.ndarray:
        """(height, width) bool. Raises InputError where it is not wholly inside."""
        if self.left < 0 or self.top < 0 or self.right > width or self.bottom > height:
            raise InputError(
                f"--mask box:{self.left},{self.top},{self.right},{self.bottom} reaches beyond "
                f"{name}, which is of {width}×{height} pixels; choose a box inside"
            )
        hole = np.zeros((height, width), bool)
        hole[self.top : self.bottom, self.left : self.right] = True
        return hole

    def __call__(self, photo: Photograph) -> np.ndarray:
        model = (photo.target.width, photo.target.height)
        seen = " as the model sees it" if photo.size == model else ""
        return self.within(*photo.size, f"{photo.name}{seen}")


@dataclass(frozen=True)
class Colour:
    """All pixels of one colour, as they were painted over."""

    colour: tuple[int, int, int]
    tolerance: int = TOLERANCE  # in any channel, of 255

    @staticmethod
    def of(text: str, *, tolerance: int = TOLERANCE) -> Colour:
        """`#ff00ff` or a name. Raises InputError where it is no colour."""
        try:
            red, green, blue = ImageColor.getrgb(text.strip())[:3]
        except ValueError:
            raise InputError(
                f"--mask colour:{text} is no colour; give one like colour:#ff00ff"
            ) from None
        return Colour((red, green, blue), tolerance)

    def __call__(self, photo: Photograph) -> np.ndarray:
        low, high = photo.range
        values = photo.pixels[..., : photo.colours].astype(np.float32)
        values = in_channels((values - low) * (255 / (high - low)), 3)
        hole = np.all(np.abs(values - np.array(self.colour)) <= self.tolerance, axis=2)
        if not hole.any():
            raise InputError(
                f"--mask colour:#{bytes(self.colour).hex()}: nothing of {photo.name} is of that "
                "colour; paint over what is to be filled with it"
            )
        return hole


@dataclass(frozen=True)
class Picture:
    """An image, white where photographs are to be filled: of their size or of the model's."""

    values: np.ndarray  # (h, w) uint8
    name: str

    def __call__(self, photo: Photograph) -> np.ndarray:
        (width, height), small = photo.size, (photo.target.height, photo.target.width)
        white = self.values >= WHITE
        if self.values.shape == (height, width):
            return white
        if self.values.shape != small:
            raise InputError(
                f"--mask {self.name} is of {self.values.shape[1]}×{self.values.shape[0]} pixels; "
                f"give one of {photo.name}'s {width}×{height}, or of the model's "
                f"{small[1]}×{small[0]}"
            )
        x0, y0, x1, y1 = photo.covered
        left, top, right, bottom = photo.place.inside
        part = white[top:bottom, left:right, None].astype(np.float32)
        whole = np.zeros((height, width), bool)
        nearest = Image.Resampling.NEAREST
        whole[y0:y1, x0:x1] = enlarged(part, photo.place, (x0, x1), slice(y0, y1), nearest)[..., 0]
        return whole


def checked(hole: np.ndarray, photo: Photograph) -> np.ndarray:
    """The hole itself. Raises InputError where it is empty, all there is, or not all that must be.

    A pixel that is no number is not known: it would spread over what it borders on.
    """
    name = photo.name
    if not hole.any():
        raise InputError(f"--mask: nothing of {name} is to be filled; mark what is in white")
    if hole.all():
        raise InputError(f"--mask: all of {name} is to be filled, and nothing is known; leave some")
    if n := int((~np.isfinite(photo.pixels).all(2) & ~hole).sum()):
        raise InputError(f"{name}: {n:,} of its pixels are NaN or infinite; have --mask cover them")
    return hole


def as_seen(photo: Photograph, hole: np.ndarray) -> Tensor:
    """What the model misses of a photograph with a hole (h, w): (1, H, W) bool.

    A pixel of the model's misses, of which anything is in the hole; where the photograph was
    resized, its neighbours as well, which the resampling has mixed with it.

    Raises InputError where the hole reaches beyond what the model sees, or covers all of that.
    """
    left, top, right, bottom = photo.place.inside
    x0, y0, x1, y1 = photo.covered
    beyond = hole.copy()
    beyond[y0:y1, x0:x1] = False
    if beyond.any():
        raise InputError(
            f"--mask reaches beyond what the model sees of {photo.name}, the pixels from {x0},{y0} "
            f"to {x1},{y1}; crop the photograph, or fill less"
        )
    size = (right - left, bottom - top)
    share = Image.fromarray(hole.astype(np.float32)).resize(
        size, Image.Resampling.BOX, box=photo.place.box
    )
    missing = torch.zeros(1, photo.target.height, photo.target.width)
    missing[0, top:bottom, left:right] = torch.from_numpy(np.asarray(share) > 0)
    if size != photo.size:
        missing = F.max_pool2d(missing, 3, stride=1, padding=1)
    if missing.all():
        raise InputError(
            f"--mask: nothing of {photo.name} is known at the model's "
            f"{photo.target.width}×{photo.target.height} pixels; leave more of it"
        )
    return missing > 0


def filled(
    photo: Photograph,
    filling: np.ndarray,  # (C, H, W) in [−1, 1]: of the model's size
    hole: np.ndarray,  # (h, w) bool
    *,
    blend: str = "poisson",
    feather: float = 0.0,  # pixels of the photograph over which the filling sets in
) -> np.ndarray:
    """The photograph's pixels with the filling in the hole: all others are as they were."""
    ys, xs = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    x0, y0, x1, y1 = photo.covered
    rows = slice(max(y0, ys[0] - 1), min(y1, ys[-1] + 2))
    columns = slice(max(x0, xs[0] - 1), min(x1, xs[-1] + 2))
    left, top, right, bottom = photo.place.inside
    planes = np.ascontiguousarray(filling[:, top:bottom, left:right].transpose(1, 2, 0))
    low, high = photo.range
    k = photo.colours
    large = enlarged(planes, photo.place, (columns.start, columns.stop), rows)
    large = in_channels((large + 1) * ((high - low) / 2) + low, k)
    old, missing = photo.pixels[rows, columns, :k], hole[rows, columns]
    new = seamless(large, old, missing) if blend == "poisson" else large
    if feather:
        soft = softened(hole.astype(np.uint8) * 255, feather)[rows, columns, None]
        new = np.where(np.isfinite(old), old + soft * (new - old), new)
    if photo.pixels.dtype.kind != "f":
        new = np.rint(new)
    new = new.clip(*bounds_of(photo)).astype(photo.pixels.dtype)
    result = photo.pixels.copy()
    result[rows, columns, :k] = np.where(missing[..., None], new, old)
    return result
