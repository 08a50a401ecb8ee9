"""Backbones: nets from images to features and from latents to images; no losses, no families.

A net is a frozen config that builds its two halves: `encoder(data)` maps images to features,
(B, C, H, W) → (B, F) with F its attribute `features`; `decoder(data, inputs)` maps (B, inputs)
to (B, C, H, W) before any output nonlinearity, its last layer being its attribute `output`.
"""

from __future__ import annotations

from typing import Protocol

from torch import nn

from preimage.core import DataSpec
from preimage.nets.conv import Conv
from preimage.nets.gated import Gated
from preimage.nets.mlp import MLP
from preimage.nets.patch import Patch
from preimage.nets.progressive import Progressive
from preimage.nets.residual import Residual
from preimage.nets.transformer import Transformer


class Net(Protocol):
    """What every backbone's config can do."""

    def encoder(self, data: DataSpec) -> nn.Module: ...

    def decoder(self, data: DataSpec, inputs: int) -> nn.Module: ...


NETS: dict[str, type] = {
    "MLP": MLP,
    "Conv": Conv,
    "Gated": Gated,
    "Residual": Residual,
    "Patch": Patch,
    "Progressive": Progressive,
    "Transformer": Transformer,
}

__all__ = ["MLP", "NETS", "Conv", "Gated", "Net", "Patch", "Progressive", "Residual", "Transformer"]
