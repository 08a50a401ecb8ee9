"""Operators in words, as a command line has them: "blur=1.5"."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from preimage.core import DataSpec, InputError
from preimage.core.errors import nearest_name
from preimage.data.masks import read_mask
from preimage.inversion.operators.base import Compose, ImageOperator
from preimage.inversion.operators.image import Blur, Downsample, Grey, Mask, Noise


def operator(texts: Sequence[str], data: DataSpec) -> ImageOperator:
    """Operators in words: "mask=FILE", "downsample=4", "blur=1.5", "grey", "noise=0.1", in turn.

    A mask's white pixels were seen; it is of the size of the images that it masks.

    Raises InputError for a word that is none of these, or a value that it cannot take.
    """
    parts: list[ImageOperator] = []
    for text in texts:
        name, _, value = text.partition("=")
        if name not in OPERATORS:
            raise InputError(f"--through {text}: no '{name}'; {nearest_name(name, OPERATORS)}")
        try:
            parts.append(OPERATORS[name](value, _after(parts, data)))
        except InputError as error:
            raise InputError(f"--through {text}: {error}") from None
        except ValueError:
            raise InputError(
                f"--through {text}: '{value}' is no number; give one, as in {name}=2"
            ) from None
    return parts[0] if len(parts) == 1 else Compose(*parts)


def _mask(file: str, spec: DataSpec) -> Mask:
    if not file:
        raise InputError("give the file of the mask, as in mask=seen.png")
    return seen_mask(read_mask(file), (spec.height, spec.width))


def seen_mask(mask: np.ndarray, size: tuple[int, int]) -> Mask:
    """mask: (H, W) uint8 of this size, white what was seen, black what was not.

    Raises InputError where it is of another size, or hides nothing.
    """
    (height, width), (H, W) = mask.shape, size
    if (height, width) != size:
        raise InputError(f"a mask of {width}×{height} pixels; give one of {W}×{H}, as it is put on")
    if (mask == 255).all():
        raise InputError("the mask is white, so nothing is hidden; black is what is to be restored")
    return Mask(torch.from_numpy(mask.astype(np.float32) / 255))


def _downsample(text: str, spec: DataSpec) -> Downsample:
    factor, most = float(text), min(spec.height, spec.width)
    if not (factor.is_integer() and 2 <= factor <= most):
        raise InputError(f"of {spec.height}×{spec.width} images; give a whole number, 2 to {most}")
    return Downsample(int(factor))


def _grey(text: str, spec: DataSpec) -> Grey:
    if text:
        raise InputError("grey takes no value; give grey alone")
    return Grey()


OPERATORS: dict[str, Callable[[str, DataSpec], ImageOperator]] = {
    "mask": _mask,
    "downsample": _downsample,
    "blur": lambda value, spec: Blur(float(value)),
    "grey": _grey,
    "noise": lambda value, spec: Noise(float(value)),
}


def _after(parts: Sequence[ImageOperator], data: DataSpec) -> DataSpec:
    """What images look like after some operators."""
    x = torch.zeros(1, *data.shape)
    for part in parts:
        x = part(x)
    return DataSpec(data.kind, tuple(x.shape[1:]))
