"""Progressive growing: resolution doubles with a fade-in (Karras et al. 2018, §2).

Seen from outside both nets always work at the full resolution: below it the decoder's picture is
enlarged and the encoder's input shrunk. So the model, its losses and its files need not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import DataSpec
from preimage.nets.blocks import ConvResidual, MinibatchDeviation, he_linear, leaky
from preimage.nets.pyramid import Pyramid, pyramid


@dataclass(frozen=True)
class Progressive:
    """Residual blocks at each resolution, with a layer to and from colours at every one."""

    width: int = 32  # channels at the full resolution
    widest: int = 256
    fade: float = 0.5  # share of each resolution's time spent fading it in

    def encoder(self, data: DataSpec) -> nn.Module:
        return ProgressiveEncoder(self, data)

    def decoder(self, data: DataSpec, inputs: int) -> nn.Module:
        return ProgressiveDecoder(self, data, inputs)

    def widths(self, levels: int) -> list[int]:
        """Channels from the base (level 0) to the full resolution (level `levels`)."""
        return [min(self.width * 2 ** (levels - level), self.widest) for level in range(levels + 1)]


class Growing(nn.Module):
    """The state both nets share: the level reached, and how far it has faded in."""

    reached: Tensor  # (2,): level, α

    def __init__(self, net: Progressive, shape: Pyramid):
        super().__init__()
        self.levels, self.fade = shape.levels, net.fade
        self.register_buffer("reached", torch.tensor([float(shape.levels), 1.0]))

    def grow(self, progress: float) -> None:
        """Set level and α for a share of the training done, in [0, 1].

        Every level has the same number of steps; the first needs no fading in.
        """
        position = min(progress, 1.0) * (self.levels + 1)
        level = min(int(position), self.levels)
        α = 1.0 if level == 0 else min(1.0, (position - level) / max(self.fade, 1e-6))
        self.reached.copy_(torch.tensor([float(level), α]))

    def state(self) -> tuple[int, float]:
        level, α = self.reached.tolist()
        return int(level), α


class ProgressiveDecoder(Growing):
    """(B, inputs) → (B, C, H, W), before any output nonlinearity."""

    def __init__(self, net: Progressive, data: DataSpec, inputs: int):
        shape = pyramid(data)
        super().__init__(net, shape)
        widths = net.widths(shape.levels)
        self.inner = (widths[0], shape.base_height, shape.base_width)
        self.dense = he_linear(inputs, prod(self.inner))
        self.blocks = nn.ModuleList()
        for previous, channels in zip([widths[0], *widths], widths, strict=False):
            change = nn.Conv2d(previous, channels, 1) if previous != channels else nn.Identity()
            self.blocks.append(nn.Sequential(change, ConvResidual(channels)))
        self.colours = nn.ModuleList(nn.Conv2d(width, data.channels, 1) for width in widths)

    @property
    def output(self) -> nn.Module:
        """The last layer at full resolution."""
        return self.colours[-1]

    def forward(self, z: Tensor) -> Tensor:
        level, α = self.state()
        h = self.blocks[0](self.dense(z).reshape(len(z), *self.inner))
        coarser = h
        for block in self.blocks[1 : level + 1]:
            coarser = F.interpolate(h, scale_factor=2, mode="nearest")
            h = block(coarser)
        x = self.colours[level](leaky(h))
        if α < 1:
            below = self.colours[level - 1](leaky(coarser))
            x = α * x + (1 - α) * below
        return F.interpolate(x, scale_factor=2 ** (self.levels - level), mode="nearest")


class ProgressiveEncoder(Growing):
    """(B, C, H, W) → features (B, F)."""

    def __init__(self, net: Progressive, data: DataSpec):
        shape = pyramid(data)
        super().__init__(net, shape)
        widths = net.widths(shape.levels)
        self.colours = nn.ModuleList(nn.Conv2d(data.channels, width, 1) for width in widths)
        self.blocks = nn.ModuleList()
        for previous, channels in zip([widths[0], *widths], widths, strict=False):
            change = nn.Conv2d(channels, previous, 1) if previous != channels else nn.Identity()
            self.blocks.append(nn.Sequential(ConvResidual(channels), change))
        self.deviation = MinibatchDeviation()
        inner = (widths[0] + 1, shape.base_height, shape.base_width)
        self.dense = he_linear(prod(inner), widths[0])
        self.features = widths[0]

    def forward(self, x: Tensor) -> Tensor:
        level, α = self.state()
        x = F.avg_pool2d(x, 2 ** (self.levels - level))
        h = leaky(self.colours[level](x))
        for i in range(level, 0, -1):
            h = F.avg_pool2d(self.blocks[i](h), 2)
            if i == level and α < 1:
                below = leaky(self.colours[level - 1](F.avg_pool2d(x, 2)))
                h = α * h + (1 - α) * below
        h = self.deviation(leaky(self.blocks[0](h)))
        return leaky(self.dense(h.flatten(1)))
