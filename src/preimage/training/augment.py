"""DiffAugment: the same differentiable changes to reals and fakes (Zhao et al. 2020).

Each takes (B, C, H, W) in [−1, 1]. Randomness comes from torch's current generator, which the
training loop has set for the step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def colour(x: Tensor) -> Tensor:
    """Brightness ±½, saturation ×[0, 2], contrast ×[½, 3⁄2], each image its own."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(len(x), 1, 1, 1, device=x.device) * (high - low) + low

    x = x + uniform(-0.5, 0.5)
    grey = x.mean(1, keepdim=True)
    x = torch.lerp(grey, x, uniform(0, 2))
    middle = x.mean((1, 2, 3), keepdim=True)
    return torch.lerp(middle, x, uniform(0.5, 1.5))


def translation(x: Tensor, share: float = 0.125) -> Tensor:
    """Moved by up to `share` of each side; what comes in is black (−1)."""
    b, _, h, w = x.shape
    reach = max(1, int(h * share + 0.5)), max(1, int(w * share + 0.5))
    padded = F.pad(x, (reach[1], reach[1], reach[0], reach[0]), value=-1.0)
    top = torch.randint(2 * reach[0] + 1, (b, 1, 1), device=x.device)
    left = torch.randint(2 * reach[1] + 1, (b, 1, 1), device=x.device)
    rows = top + torch.arange(h, device=x.device)[None, :, None]
    columns = left + torch.arange(w, device=x.device)[None, None, :]
    batch = torch.arange(b, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2)


def cutout(x: Tensor, share: float = 0.5) -> Tensor:
    """A square of `share` of each side, anywhere, set to mid-grey."""
    b, _, h, w = x.shape
    size = max(1, int(h * share + 0.5)), max(1, int(w * share + 0.5))
    centre_row = torch.randint(h + 1, (b, 1, 1), device=x.device)
    centre_column = torch.randint(w + 1, (b, 1, 1), device=x.device)
    row = torch.arange(h, device=x.device)[None, :, None] - (centre_row - size[0] // 2)
    column = torch.arange(w, device=x.device)[None, None, :] - (centre_column - size[1] // 2)
    cut = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    return x * (~cut)[:, None]


AUGMENTATIONS = {"colour": colour, "translation": translation, "cutout": cutout}


def augment(x: Tensor, names: Sequence[str]) -> Tensor:
    """The named augmentations in turn."""
    for name in names:
        x = AUGMENTATIONS[name](x)
    return x
