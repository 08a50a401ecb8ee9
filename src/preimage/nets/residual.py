"""Residual nets without normalisation, as in R3GAN (Huang et al. 2024) at a laptop's size."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor, nn

from preimage.core import DataSpec
from preimage.nets.blocks import (
    ConvResidual,
    MinibatchDeviation,
    NoiseInjection,
    he_linear,
    leaky,
)
from preimage.nets.pyramid import pyramid


@dataclass(frozen=True)
class Residual:
    """One or more residual blocks at each resolution, below the finest one."""

    width: int = 32  # channels at half resolution
    widest: int = 256
    blocks: int = 1  # residual blocks at each resolution
    dense: int = 256  # width of the fully connected layer next to the latents
    deviation: bool = False  # minibatch deviation before the dense layer of an encoder
    noise: bool = False  # noise of a learned strength at each resolution of a decoder

    def encoder(self, data: DataSpec) -> nn.Module:
        return ResidualEncoder(self, data)

    def decoder(self, data: DataSpec, inputs: int) -> nn.Module:
        return ResidualDecoder(self, data, inputs)

    def widths(self, levels: int) -> list[int]:
        """Channels at ½, ¼, … of the resolution."""
        return [min(self.width * 2**level, self.widest) for level in range(levels)]


class ResidualEncoder(nn.Module):
    """(B, C, H, W) → features (B, dense)."""

    def __init__(self, net: Residual, data: DataSpec):
        super().__init__()
        shape = pyramid(data)
        layers: list[nn.Module] = []
        previous = data.channels
        for channels in net.widths(shape.levels):
            layers.append(nn.Conv2d(previous, channels, 4, 2, 1))  # the resampling convolution
            layers += [ConvResidual(channels) for _ in range(net.blocks)]
            previous = channels
        self.stem = nn.Sequential(*layers)
        self.deviation = MinibatchDeviation() if net.deviation else nn.Identity()
        inner = (previous + net.deviation, shape.base_height, shape.base_width)
        self.dense = he_linear(prod(inner), net.dense)
        self.features = net.dense

    def forward(self, x: Tensor) -> Tensor:
        h = self.deviation(leaky(self.stem(x)))
        return leaky(self.dense(h.flatten(1)))


class ResidualDecoder(nn.Module):
    """(B, inputs) → (B, C, H, W), before any output nonlinearity."""

    def __init__(self, net: Residual, data: DataSpec, inputs: int):
        super().__init__()
        shape = pyramid(data)
        widths = net.widths(shape.levels)[::-1]  # from the base outwards
        self.inner = (widths[0], shape.base_height, shape.base_width)
        self.dense = he_linear(inputs, net.dense)
        self.unfold = he_linear(net.dense, prod(self.inner))
        self.stages = nn.ModuleList()
        height, width = shape.base_height, shape.base_width
        for previous, channels in zip([widths[0], *widths], widths, strict=False):
            stage: list[nn.Module] = []
            if self.stages:  # the first stage is the base itself
                height, width = 2 * height, 2 * width
                stage.append(nn.ConvTranspose2d(previous, channels, 4, 2, 1))
            stage += [ConvResidual(channels) for _ in range(net.blocks)]
            stage += [NoiseInjection(channels, height, width)] if net.noise else []
            self.stages.append(nn.Sequential(*stage))
        self.output = nn.ConvTranspose2d(widths[-1], data.channels, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.unfold(leaky(self.dense(z))).reshape(len(z), *self.inner)
        for stage in self.stages:
            h = stage(leaky(h))
        return self.output(leaky(h))
