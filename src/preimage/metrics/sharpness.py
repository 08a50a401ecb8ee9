"""How sharp images are, beside the real ones.

The variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield
microscopy", 2000) is large where there are edges and falls with every blur. Noise raises it too:
a ratio well above one is a sign of grain or of checkerboards, not of better images.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from preimage.metrics.measure import Measure, of_ratio


def laplacian_variance(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in [−1, 1] → the variance (N,) of the Laplacian of their grey [0, 1]."""
    grey = (images.float().mean(1, keepdim=True) + 1) / 2
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    return F.conv2d(grey, kernel.to(grey)[None, None]).flatten(1).var(1)


def sharpness(images: Tensor, real: Tensor) -> Measure:
    """Mean Laplacian variance of the images over that of real ones: 1 is as sharp as they are."""
    return of_ratio(laplacian_variance(images), laplacian_variance(real))
