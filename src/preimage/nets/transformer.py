"""Vision transformers: an image as a sequence of patches (Dosovitskiy et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import DataSpec, InputError
from preimage.nets.pyramid import pyramid


@dataclass(frozen=True)
class Transformer:
    """Blocks of self-attention over patches, whose places are learned embeddings.

    A patch is as large as leaves 5 to 8 of them along the shorter side.
    """

    width: int = 128  # numbers in a token
    depth: int = 4  # blocks
    heads: int = 4

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            raise InputError(
                f"width={self.width} does not divide by heads={self.heads}; choose others"
            )

    def encoder(self, data: DataSpec) -> nn.Module:
        return TransformerEncoder(self, data)

    def decoder(self, data: DataSpec, inputs: int) -> nn.Module:
        return TransformerDecoder(self, data, inputs)


def patches(data: DataSpec) -> tuple[int, tuple[int, int]]:
    """The side of a patch, and the grid (rows, columns): 28 → 4 and 7×7, 64 → 8 and 8×8."""
    shape = pyramid(data)
    side = 2 ** (shape.levels - (min(shape.base_height, shape.base_width) <= 4))
    return side, (data.height // side, data.width // side)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): tokens (B, N, width) → the same."""

    def __init__(self, net: Transformer):
        super().__init__()
        width, self.heads = net.width, net.heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        for last in (self.mix, self.mlp[-1]):  # residuals add up: keep each of them small
            nn.init.normal_(last.weight, std=0.02 / net.depth**0.5)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        b, n, width = x.shape
        qkv = self.query_key_value(self.before_attention(x))
        q, k, v = qkv.reshape(b, n, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)  # (B, heads, N, width / heads)
        x = x + self.mix(attended.transpose(1, 2).reshape(b, n, width))
        return x + self.mlp(self.before_mlp(x))


class TransformerEncoder(nn.Module):
    """(B, C, H, W) → features (B, width), the mean over patches."""

    def __init__(self, net: Transformer, data: DataSpec):
        super().__init__()
        side, (rows, columns) = patches(data)
        self.embed = nn.Conv2d(data.channels, net.width, side, side)
        self.place = nn.Parameter(0.02 * torch.randn(rows * columns, net.width))
        self.blocks = nn.Sequential(*[Block(net) for _ in range(net.depth)])
        self.norm = nn.LayerNorm(net.width)
        self.features = net.width

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.place
        return self.norm(self.blocks(tokens)).mean(1)


class TransformerDecoder(nn.Module):
    """(B, inputs) → (B, C, H, W): every patch sees the latent, and knows its place."""

    def __init__(self, net: Transformer, data: DataSpec, inputs: int):
        super().__init__()
        side, self.grid = patches(data)
        count = self.grid[0] * self.grid[1]
        self.embed = nn.Linear(inputs, net.width)
        self.place = nn.Parameter(torch.randn(count, net.width))
        self.blocks = nn.Sequential(*[Block(net) for _ in range(net.depth)])
        self.norm = nn.LayerNorm(net.width)
        self.output = nn.ConvTranspose2d(net.width, data.channels, side, side)

    def forward(self, z: Tensor) -> Tensor:
        # a product, or tokens of one latent would differ by nothing but their place
        tokens = self.embed(z)[:, None] * (1 + self.place) + self.place
        h = self.norm(self.blocks(tokens)).transpose(1, 2)
        return self.output(h.unflatten(2, self.grid))
