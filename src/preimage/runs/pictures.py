"""What leaves the library: images, sheets of them and animations as files, and array files."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from preimage.core import LatentModel
from preimage.exploration.direction import owner
from preimage.pictures import animation, pairs, png, sheet
from preimage.runs.files import write_out

PathLike = str | os.PathLike[str]
NUMBERED = "{:05d}"  # names of images that have none


def save_sheet(images: Tensor | Mapping[str, Tensor], path: PathLike) -> Path:
    """One PNG of images (N, C, H, W) in [−1, 1]; a mapping gives captioned rows of them."""
    drawn = pairs(images) if isinstance(images, Mapping) else sheet(images)
    return write_out(Path(path), png(drawn))


def save_images(images: Tensor, folder: PathLike, *, names: Sequence[str] | None = None) -> Path:
    """A PNG for each image (N, C, H, W) in [−1, 1], pixel for pixel; numbered where unnamed."""
    names = [NUMBERED.format(i) for i in range(len(images))] if names is None else names
    for name, image in zip(names, images, strict=True):
        write_out(Path(folder) / f"{name}.png", png(sheet(image[None], scale=1)))
    return Path(folder)


def numbered(folder: Path, *, first: int) -> list[Path]:
    """Images there that `save_images` has numbered, from this number on."""
    last = NUMBERED.format(first)
    return sorted(p for p in folder.glob("[0-9]" * len(last) + ".png") if p.stem >= last)


def save_animation(
    frames: Tensor | Sequence[Image.Image],  # (N, C, H, W) in [−1, 1]; or pictures, say sheets
    path: PathLike,
    *,
    fps: float = 24,
    ping_pong: bool = False,
    scale: int | None = None,
) -> Path:
    """One file that plays the frames: GIF, WebP or MP4, as the path ends.

    ping_pong: there and back.
    scale: pixels shown for each pixel of a frame; unset, small frames are enlarged to be seen.

    Raises InputError for an ending that is no such format, and for MP4 without its extra.
    """
    kind = Path(path).suffix[1:].lower()
    return write_out(Path(path), animation(frames, kind, fps=fps, ping_pong=ping_pong, scale=scale))


def save_latents(
    path: PathLike, *, model: LatentModel | None = None, **arrays: Tensor | None
) -> Path:
    """An .npz of latents and what belongs to them; arrays that are None are left out.

    model: whose latents they are, remembered by its fingerprint.
    """
    return write_out(Path(path), latents_bytes(model=model, **arrays))


def latents_bytes(*, model: LatentModel | None = None, **arrays: Tensor | None) -> bytes:
    """The bytes of such a file."""
    buffer = io.BytesIO()
    kept = {name: array.numpy() for name, array in arrays.items() if array is not None}
    if model is not None:
        kept["model"] = np.array(owner(model))
    np.savez(buffer, allow_pickle=False, **kept)  # type: ignore[arg-type]
    return buffer.getvalue()
