"""Small pictures as bytes, to be kept by the thousand: PNG where that is smaller, else JPEG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from preimage.pictures.sheet import pixels

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 96  # pixels, at most
LARGEST = 256  # pixels of a thumbnail's side: one that claims more is not ours, and is not opened
QUALITY = 85
GREY = (127, 127, 127)


def thumbnails(images: Tensor | np.ndarray) -> list[bytes]:
    """Of images (N, C, H, W) in [−1, 1]: made smaller where they are large, never larger."""
    grey = images.shape[1] in (1, 2)
    made = []
    for tile in pixels(images):
        picture = Image.fromarray(tile[..., 0] if grey else tile)
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        forms = [_encoded(picture, "JPEG", quality=QUALITY)]
        if max(picture.size) <= 32:
            forms.append(_encoded(picture, "PNG"))
        made.append(min(forms, key=len))
    return made


def opened(content: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """A thumbnail as an image (C, H, W) in [−1, 1]; grey where it is none."""
    channels, height, width = shape
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as found:
            if max(found.size) > LARGEST:
                raise ValueError
            picture = found.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, SyntaxError):
        picture = Image.new("RGB", (width, height), GREY).convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    array = np.asarray(picture, np.float32).reshape(height, width, -1).transpose(2, 0, 1)
    return array / 127.5 - 1


def _encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()
