"""Small generators of 8×8 images, of which it is known how hard they are to invert."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

import preimage as pi
from preimage.core import ImageSpec, LatentModel, LatentSpace


def wrapped(module: nn.Module, d: int, **more: Any) -> LatentModel:
    data = ImageSpec(1, 8, 8)
    return pi.wrap(module.eval().requires_grad_(False), data=data, space=LatentSpace((d,)), **more)


def linear_layer() -> nn.Linear:
    """Of five latents."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Linear(5, 64)
        nn.init.normal_(layer.weight, std=0.1)
    return layer


def bent_generator(d: int) -> LatentModel:
    """A generator that no linear map inverts."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(d, 32), nn.SiLU(), nn.Linear(32, 64), nn.Tanh())
        for layer in (net[0], net[2]):
            nn.init.normal_(layer.weight, std=1.2 / math.sqrt(layer.in_features))
    return wrapped(net, d)


class _Mirrored(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.A = torch.randn(3, 64, generator=random) * 0.1

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return ((1 - 2 * labels)[:, None] * z) @ self.A


def mirrored_generator() -> LatentModel:
    """One that mirrors latents by class: one linear map for both would find nothing."""
    return wrapped(_Mirrored(), 3, classes=("as it is", "mirrored"))


def relative(found: Tensor, z: Tensor) -> Tensor:
    """‖found − z‖ / ‖z‖: (B,)."""
    return (found - z).norm(dim=1) / z.norm(dim=1)
