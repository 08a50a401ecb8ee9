"""What is usual: of a map's cell at its distance from the border, of a score, of an image.

All three are learnt from good images that the scores themselves were not fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError

RINGS = 12  # distances from the border that are told apart, in cells
SMALLEST = 1e-3  # a spread, below which dividing would only blow up rounding


@dataclass(frozen=True)
class BorderCalibration:
    """Mean and spread of a map's cells at each distance from the horizontal and vertical border.

    Near the border a cell sees less of the image, and filters see what padding makes up there; both
    change what is usual. Without this the border of good images outshines the defects of bad ones.
    """

    mean: Tensor  # (R, R): rows by distance from top or bottom, columns from left or right
    std: Tensor  # (R, R)

    @classmethod
    def fit(cls, maps: Iterable[Tensor], *, rings: int = RINGS) -> BorderCalibration:
        """From maps (B, h, w) of good images, in batches of any sizes."""
        count, first, second = torch.zeros(3, rings * rings, dtype=torch.float64)
        for part in maps:
            cells = _rings(part.shape[1], part.shape[2], rings).flatten()
            v = part.double().flatten(1)
            count += torch.bincount(cells, minlength=len(count)) * len(v)
            first.index_add_(0, cells, v.sum(0))
            second.index_add_(0, cells, v.square().sum(0))
        if not count.any():
            raise InputError("a calibration needs maps of good images; none were given")
        whole = first.sum() / count.sum()
        spread = (second.sum() / count.sum() - whole.square()).clamp_min(0)
        seen = count > 0
        mean = torch.where(seen, first / count.clamp_min(1), whole)
        variance = torch.where(seen, second / count.clamp_min(1) - mean.square(), spread)
        std = variance.clamp_min(SMALLEST**2).sqrt()
        return cls(mean.reshape(rings, rings).float(), std.reshape(rings, rings).float())

    def __call__(self, maps: Tensor) -> Tensor:
        """Maps (B, h, w) → in spreads above what is usual at each place."""
        cells = _rings(maps.shape[1], maps.shape[2], len(self.mean))
        return (maps - self.mean.flatten()[cells]) / self.std.flatten()[cells]


def _rings(height: int, width: int, rings: int) -> Tensor:
    """Which (row ring, column ring), as one number, each cell of a map is in: (h, w)."""
    y, x = torch.arange(height), torch.arange(width)
    rows = torch.minimum(y, height - 1 - y).clamp_max(rings - 1)
    columns = torch.minimum(x, width - 1 - x).clamp_max(rings - 1)
    return rows[:, None] * rings + columns


@dataclass(frozen=True)
class Standard:
    """A score's middle and spread over good images, by order statistics: outliers move neither."""

    middle: Tensor  # (P,), of P scores
    spread: Tensor  # (P,)

    @classmethod
    def fit(cls, scores: Tensor) -> Standard:
        """Of scores (N, P) of good images: the median, and how far above it the top 2.5 % begin.

        Scores are skewed to the right, and it is the right that matters: one with a long tail
        must not drown the others in a sum.
        """
        middle, high = scores.double().quantile(scores.new_tensor([0.5, 0.975]).double(), dim=0)
        spread = ((high - middle) / 1.96).clamp_min(1e-9)
        return cls(middle.float(), spread.float())

    def __call__(self, scores: Tensor) -> Tensor:
        """(N, P) → in spreads above the median."""
        return (scores - self.middle) / self.spread


def needed(false_alarms: float) -> int:
    """How many good images a false-alarm rate α takes: n ≥ 1/α − 1."""
    return math.ceil(1 / false_alarms - 1 - 1e-9)


def conformal_threshold(good: Tensor, false_alarms: float) -> float:
    """The score above which at most a share α of good images lie, whatever their distribution.

    The ⌈(n + 1)(1 − α)⌉-th smallest of n scores of good images: one more good image exceeds it with
    a probability of at most α, and of at least α − 1/(n + 1) where no two scores are alike (Vovk,
    Gammerman & Shafer, "Algorithmic Learning in a Random World", 2005, §2.2; Papadopoulos et al.,
    "Inductive Confidence Machines for Regression", 2002, for a held-out set).

    Raises InputError where n < 1/α − 1, and says how many are needed.
    """
    n = len(good)
    if not 0 < false_alarms < 1:
        raise InputError(f"false_alarms={false_alarms:g} must lie between 0 and 1, as in 0.01")
    if n < needed(false_alarms):
        raise InputError(
            f"{n} good images to calibrate with, and false_alarms={false_alarms:g} needs "
            f"{needed(false_alarms)}; give more, or false_alarms={1 / (n + 1):.2g} or above"
        )
    rank = math.ceil((n + 1) * (1 - false_alarms) - 1e-9)
    return good.double().sort().values[rank - 1].item()


def conformal_p_values(scores: Tensor, good: Tensor) -> Tensor:
    """(1 + #{good ≥ score}) / (n + 1): the share of good images as odd as this, (B,) float64."""
    good = good.double().sort().values
    above = len(good) - torch.searchsorted(good, scores.double())
    return (1 + above).double() / (len(good) + 1)
