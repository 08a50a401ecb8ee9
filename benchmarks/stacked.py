"""Stacked-MNIST: three digits as the channels of one colour image, so 1,000 modes to cover.

Metz et al., "Unrolled Generative Adversarial Networks", 2017, §3.3.1: how many of the 1,000 triples
a model's samples show, a classifier reading each channel, and how unequally.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from judge import Judge

MODES = 1000
SAMPLES = 10_000
SIZE = 32


def stack(images: np.ndarray, *, seed: int) -> np.ndarray:
    """Digits (N, 28, 28) → as many triples (N, 3, 32, 32), each channel in an order of its own."""
    x = torch.from_numpy(images).float()[:, None]
    x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    digits = x[:, 0].round().to(torch.uint8).numpy()
    orders = np.random.default_rng(seed)
    return np.stack([digits[orders.permutation(len(digits))] for _ in range(3)], 1)


def modes(judge: Judge, images: Tensor) -> dict[str, float]:
    """Triples shown by images (N, 3, 32, 32), and KL(shown ‖ uniform) in nats."""
    digits = [judge(images[:, i : i + 1]).classes for i in range(3)]
    triples = 100 * digits[0] + 10 * digits[1] + digits[2]
    p = torch.bincount(triples, minlength=MODES).double() / len(images)
    kl = torch.special.xlogy(p, p * MODES).sum()
    return {"modes": int((p > 0).sum()), "mode_kl": kl.item()}
