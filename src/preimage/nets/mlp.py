"""Fully connected backbones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from preimage.core import DataSpec
from preimage.nets.blocks import LinearResidual, he_linear, leaky


@dataclass(frozen=True)
class MLP:
    """Hidden layers of the given widths (from the image inwards), LeakyReLU after each."""

    widths: tuple[int, ...] = (400,)
    blocks: int = 0  # residual blocks at the innermost width
    noise: bool = False  # noise of a learned strength after each hidden layer of a decoder

    def encoder(self, data: DataSpec) -> nn.Module:
        return MLPEncoder(self, data)

    def decoder(self, data: DataSpec, inputs: int) -> nn.Module:
        return MLPDecoder(self, data, inputs)


class MLPEncoder(nn.Module):
    """(B, *data.shape) → features (B, widths[-1])."""

    def __init__(self, net: MLP, data: DataSpec):
        super().__init__()
        widths = (data.size, *net.widths)
        self.layers = nn.ModuleList(he_linear(a, b) for a, b in pairwise(widths))
        self.blocks = nn.Sequential(*[LinearResidual(widths[-1]) for _ in range(net.blocks)])
        self.features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)
        for i, layer in enumerate(self.layers):
            h = layer(h if i == 0 else leaky(h))
        return leaky(self.blocks(h))


class MLPDecoder(nn.Module):
    """(B, inputs) → (B, *data.shape), before any output nonlinearity."""

    def __init__(self, net: MLP, data: DataSpec, inputs: int):
        super().__init__()
        widths = (inputs, *reversed(net.widths))
        self.shape = data.shape
        self.layers = nn.ModuleList(he_linear(a, b) for a, b in pairwise(widths))
        self.blocks = nn.Sequential(*[LinearResidual(widths[1]) for _ in range(net.blocks)])
        self.output = nn.Linear(widths[-1], data.size)
        self.strengths = nn.ParameterList(
            [nn.Parameter(torch.zeros(width)) for width in widths[1:]] if net.noise else []
        )

    def forward(self, z: Tensor) -> Tensor:
        h = z
        for i, layer in enumerate(self.layers):
            h = layer(h if i == 0 else leaky(h))
            if i == 0:
                h = self.blocks(h)
            if self.strengths and self.training:  # silent in evaluation: a function of z alone
                h = h + self.strengths[i] * torch.randn_like(h)
        return self.output(leaky(h)).reshape(len(z), *self.shape)
