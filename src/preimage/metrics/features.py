"""Features to compare images by, without a download: a convolutional net of random weights.

Random nets tell distributions of images apart (Saxe et al., "On random weights and unsupervised
feature learning", 2011), and their scores can be compared between models of one project, but not
with published ones. Any other callable from images to rows will do in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preimage.core import InputError
from preimage.core.words import counted
from preimage.metrics.stored import Stored

WIDTH = 32  # channels of every stage
STAGES = 4
CHECKED = 2048  # rows looked at at a time
SMALLEST = 4  # pixels, the side of the last stage


class RandomFeatures(nn.Module):
    """Images (B, C, H, W) of any size in [−1, 1] → features (B, dim).

    Four stages of a 3×3 convolution, on sides that fall evenly from the image's own to 4 pixels.
    The mean and the spread of every channel over each quarter of each stage, put together and
    projected at random onto `dim` numbers, are the features: what is in the picture, and where.
    The weights follow from the seed alone and are the same on every machine.
    """

    def __init__(self, channels: int, *, dim: int = 256, seed: int = 0) -> None:
        super().__init__()
        self.channels = channels
        self.dim = dim
        numbers = np.random.default_rng(seed)
        for i in range(STAGES):
            fan_in = 9 * (channels if i == 0 else WIDTH)
            shape = (WIDTH, fan_in // 9, 3, 3)
            self.register_buffer(f"weight{i}", _normal(numbers, shape, (2 / fan_in) ** 0.5))
            self.register_buffer(f"bias{i}", _normal(numbers, (WIDTH,), 0.1))
        pooled = STAGES * WIDTH * 4 * 2  # four quarters, mean and spread
        self.register_buffer("projection", _normal(numbers, (pooled, dim), pooled**-0.5))

    def forward(self, x: Tensor) -> Tensor:
        sides = [_sides(length) for length in x.shape[-2:]]
        pooled = []
        for i, size in enumerate(zip(*sides, strict=True)):
            x = F.adaptive_avg_pool2d(x, size)
            weight, bias = self.get_buffer(f"weight{i}"), self.get_buffer(f"bias{i}")
            x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias))
            mean = F.adaptive_avg_pool2d(x, 2)
            square = F.adaptive_avg_pool2d(x.square(), 2)
            spread = (square - mean.square()).clamp_min(1e-8).sqrt()
            pooled += [mean.flatten(1), spread.flatten(1)]
        return torch.cat(pooled, dim=1) @ self.get_buffer("projection")


@torch.no_grad()
def extract(features: Callable[[Tensor], Tensor], batches: Iterable[Tensor]) -> Tensor:
    """The features (N, dim), float32 on the CPU, of images that come in batches (B, C, H, W).

    A module gets its batches on its own device and is run in evaluation mode.
    """
    if not isinstance(features, nn.Module):
        return torch.cat([features(x).flatten(1).float().cpu() for x in batches])
    tensors = [*features.parameters(), *features.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    before = [(part, part.training) for part in features.modules()]
    features.eval()
    try:
        return torch.cat([features(x.to(device)).flatten(1).float().cpu() for x in batches])
    finally:
        for part, training in before:  # a part may be held by others, in a mode of its own
            part.training = training


def check_rows(real: Tensor | Stored, fake: Tensor | Stored, *, least: int = 2) -> None:
    """Raises InputError where two sets of features (N, d), (M, d) cannot be compared."""
    for rows, which in ((real, "real"), (fake, "generated")):
        if rows.dim() != 2:
            raise InputError(f"{which} features must be rows (N, d), not {tuple(rows.shape)}")
        if len(rows) < least:
            found = counted(len(rows), "row")
            raise InputError(f"{which} features: {found}; at least {least} are needed")
        if bad := sum(int((~part.isfinite()).any(1).sum()) for part in rows.split(CHECKED)):
            found = counted(bad, "row holds", "rows hold")
            raise InputError(
                f"{which} features: {found} NaN or infinite values, of {len(rows)}: mend the "
                "network that made them, or leave those rows out"
            )
    if real.shape[1] != fake.shape[1]:
        raise InputError(
            f"real features have {real.shape[1]} numbers a row, generated {fake.shape[1]}: "
            "compute both with one network"
        )


def _sides(length: int) -> list[int]:
    """The sides of the stages: a geometric series from the image's own to the smallest."""
    ratio = min(1.0, SMALLEST / length)
    return [round(length * ratio ** (i / (STAGES - 1))) for i in range(STAGES)]


def _normal(numbers: np.random.Generator, shape: tuple[int, ...], scale: float) -> Tensor:
    return torch.from_numpy((numbers.standard_normal(shape) * scale).astype(np.float32))
