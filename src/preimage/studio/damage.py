"""What a page can do to an image, to watch it come back: shrink, blur, grey, noise, scratch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from preimage.core import DataSpec, InputError, seeds
from preimage.core.errors import nearest_name
from preimage.inversion.operators import Blur, Downsample, Grey, ImageOperator, Mask, Noise

FACTORS = (2, 4, 8)  # that an image is shrunk by
BLURS = (0.5, 4.0)  # standard deviations in pixels, of images of 64
NOISES = (0.1, 1.0)  # standard deviations, of values in [−1, 1]
SCRATCHES = (2, 14)
AT = 64  # pixels of the images that these are meant for


def operator(kind: str, amount: float, data: DataSpec, *, seed: int = 0) -> ImageOperator:
    """What is done to images; `amount` runs from 0, a little, to 1, a lot.

    Raises InputError for a kind that is none, and for what these images are too small for.
    """
    if kind not in KINDS:
        raise InputError(f"no damage '{kind[:40]}'; {nearest_name(kind[:40], KINDS)}")
    return KINDS[kind](amount, data, seed)


def damaged(x: Tensor, through: ImageOperator, *, seed: int = 0) -> Tensor:
    """Images (B, C, H, W) after it: y = A(x), with the noise that it says there is."""
    y = through(x)
    σ = float(getattr(through, "noise", 0.0))
    if not σ:
        return y
    return y + σ * torch.randn(y.shape, generator=seeds.generator(seed, "damage"))


def _shrink(amount: float, data: DataSpec, seed: int) -> ImageOperator:
    able = [k for k in FACTORS if min(data.height, data.width) // k >= 4]
    if not able:
        raise InputError("these images are too small to be shrunk")
    return Downsample(able[round(amount * (len(able) - 1))])


def _blur(amount: float, data: DataSpec, seed: int) -> ImageOperator:
    return Blur(_between(BLURS, amount) * min(data.height, data.width) / AT)


def _noise(amount: float, data: DataSpec, seed: int) -> ImageOperator:
    return Noise(_between(NOISES, amount))


def _scratch(amount: float, data: DataSpec, seed: int) -> ImageOperator:
    """Straight scratches across the image, of a fortieth of its side and more."""
    H, W = data.height, data.width
    g = seeds.generator(seed, "scratches")
    rows, columns = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    seen = torch.ones(H, W)
    for _ in range(round(_between(SCRATCHES, amount))):
        y, x, turn, width = torch.rand(4, generator=g).tolist()
        angle = math.pi * turn
        off = (rows - H * y) * math.cos(angle) - (columns - W * x) * math.sin(angle)
        seen[off.abs() <= max(0.5, min(H, W) * (0.012 + 0.02 * width))] = 0
    return Mask(seen)


def _between(span: tuple[float, float], amount: float) -> float:
    return span[0] + (span[1] - span[0]) * amount


KINDS: dict[str, Callable[[float, DataSpec, int], ImageOperator]] = {
    "shrink": _shrink,
    "blur": _blur,
    "grey": lambda amount, data, seed: Grey(),
    "noise": _noise,
    "scratch": _scratch,
}


def asked(body: dict[str, Any], data: DataSpec) -> dict[str, Any]:
    """What a page asked for, checked: {kind, amount, seed}."""
    kind, amount, seed = str(body.get("damage")), body.get("amount", 0.5), body.get("seed", 0)
    number = isinstance(amount, int | float) and not isinstance(amount, bool)
    if not number or not 0 <= amount <= 1:
        raise InputError("amount must be a number from 0 to 1")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise InputError("seed must be a whole number from 0")
    if kind == "grey" and data.channels != 3:
        raise InputError("these images are grey already")
    operator(kind, amount, data, seed=seed)  # or say what is wrong
    return {"damage": kind, "amount": float(amount), "seed": seed}
