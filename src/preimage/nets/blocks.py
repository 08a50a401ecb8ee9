"""Building blocks the backbones share."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of every LeakyReLU: Radford et al., "DCGAN", §3

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def he_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer initialised for a LeakyReLU after it (He et al. 2015), bias zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    nn.init.zeros_(layer.bias)
    return layer


def zeroed(layer: Layer) -> Layer:
    """The layer with all its parameters at zero, so that a residual branch starts as nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


class LinearResidual(nn.Module):
    """x + B a(A a(x)) on (B, width), starting as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.first = he_linear(width, width)
        self.second = zeroed(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(leaky(self.first(leaky(x))))


class ConvResidual(nn.Module):
    """x + B a(A a(x)) on (B, channels, H, W) with 3×3 convolutions, starting as the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        nn.init.kaiming_normal_(self.first.weight, a=SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(leaky(self.first(leaky(x))))


class NoiseInjection(nn.Module):
    """Adds noise of a learned strength: (B, C, H, W) → the same (Karras et al. 2019, §3.2).

    Fresh noise in training; in evaluation one fixed picture of it, so that decoding stays a
    function of the latent alone.
    """

    fixed: Tensor  # (1, 1, H, W)

    def __init__(self, channels: int, height: int, width: int):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("fixed", torch.randn(1, 1, height, width))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x[:, :1]) if self.training else self.fixed.to(x.dtype)
        return x + self.strength * noise


class MinibatchDeviation(nn.Module):
    """Appends one channel: the mean deviation over groups of the batch (Karras et al. 2018, §3).

    In groups of 4 neighbours, so that the critic can see that samples look alike, and so that reals
    and fakes in one batch, one after the other, stay apart. In evaluation every image stands alone
    and the channel is the running mean, so batches do not couple.
    """

    running: Tensor  # ()

    def __init__(self, group: int = 4):
        super().__init__()
        self.group = group
        self.register_buffer("running", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        if not self.training or b % self.group:
            return torch.cat([x, self.running.to(x.dtype).expand(b, 1, h, w)], 1)
        groups = x.float().reshape(-1, self.group, *x.shape[1:])
        deviation = (groups.var(1, unbiased=False) + 1e-8).sqrt().flatten(1).mean(1)
        self.running.lerp_(deviation.detach().mean(), 0.01)
        channel = deviation.repeat_interleave(self.group).to(x.dtype)[:, None, None, None]
        return torch.cat([x, channel.expand(b, 1, h, w)], 1)
