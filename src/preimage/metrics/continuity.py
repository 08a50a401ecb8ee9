"""Does a small step in latent space make a small step in the image?

Path length: Karras et al., "A style-based generator architecture", 2019, §4.1, with the squared
distance of pixels where they have one of a feature net. Both measures take pairs of latents, and a
path between them that is straight unless another is given.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from preimage.metrics.measure import Measure, of_mean

Decode = Callable[[Tensor], Tensor]  # latents (B, *latent shape) → images or features (B, …)
Path = Callable[[Tensor, Tensor, Tensor], Tensor]  # starts, ends, t in [0, 1] → latents


@torch.no_grad()
def path_length(
    decode: Decode,
    starts: Tensor,  # (N, *latent shape)
    ends: Tensor,  # (N, *latent shape)
    *,
    seed: int = 0,
    epsilon: float = 1e-3,
    path: Path = torch.lerp,
    batch_size: int = 128,
) -> Measure:
    """E ‖G(z_{t+ε}) − G(z_t)‖² / ε², t uniform on the path: small where images change smoothly.

    A linear G = A z between independent standard normal latents has 2 ‖A‖²_F, for any ε.
    """
    t = torch.rand(len(starts), generator=torch.Generator().manual_seed(seed)) * (1 - epsilon)
    t = t.to(starts).view(-1, *[1] * (starts.ndim - 1))
    lengths = []
    for a, b, s in zip(*(x.split(batch_size) for x in (starts, ends, t)), strict=True):
        change = decode(path(a, b, s + epsilon)) - decode(path(a, b, s))
        lengths.append(change.flatten(1).double().square().sum(1) / epsilon**2)
    return of_mean(torch.cat(lengths).cpu())


@torch.no_grad()
def largest_step(
    decode: Decode,
    starts: Tensor,  # (N, *latent shape)
    ends: Tensor,  # (N, *latent shape)
    *,
    frames: int = 16,
    path: Path = torch.lerp,
) -> Measure:
    """The largest step between frames over the mean step, per path, averaged over paths.

    1 where every path is walked evenly; frames − 1 where each path is one jump.
    """
    if frames < 3:
        raise ValueError(f"an interpolation needs at least 3 frames to compare, not {frames}")
    t = torch.linspace(0, 1, frames).to(starts).view(-1, *[1] * (starts.ndim - 1))
    ratios = []
    for a, b in zip(starts, ends, strict=True):
        images = decode(path(a[None], b[None], t)).flatten(1).double()
        steps = images.diff(dim=0).norm(dim=1)
        ratios.append(steps.max() / steps.mean().clamp_min(1e-12))
    return of_mean(torch.stack(ratios).cpu())
