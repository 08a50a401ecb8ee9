"""A critic that judges patches: "PatchGAN" (Isola et al. 2017, §3.2.2)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from preimage.core import DataSpec, InputError
from preimage.nets.blocks import SLOPE


@dataclass(frozen=True)
class Patch:
    """`depth` 4×4 convolutions of stride 2: each output sees a patch, none sees the image."""

    width: int = 32
    depth: int = 3

    def encoder(self, data: DataSpec) -> nn.Module:
        return PatchEncoder(self, data)

    def decoder(self, data: DataSpec, inputs: int) -> nn.Module:
        raise InputError("the patch net judges images and cannot draw them; use it as a critic")


class PatchEncoder(nn.Module):
    """(B, C, H, W) → features of patches (B, F, h, w)."""

    def __init__(self, net: Patch, data: DataSpec):
        super().__init__()
        if min(data.height, data.width) < 2**net.depth:
            raise InputError(f"a patch net of depth={net.depth} needs larger images than {data}")
        layers: list[nn.Module] = []
        previous = data.channels
        for level in range(net.depth):
            channels = net.width * 2**level
            layers += [nn.Conv2d(previous, channels, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            previous = channels
        self.layers = nn.Sequential(*layers)
        self.features = previous

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
