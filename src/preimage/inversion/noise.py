"""Standard normal noise of many samples at once, each from its own seed.

A generator a sample would be a Python loop over samples; here noise is a function of (seed, place),
so that a sample's numbers are the same in any batch and at any point of a resumed search.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _signed(x: int) -> int:
    """An unsigned 64-bit constant as the int64 with the same bits."""
    return x - (1 << 64) if x >> 63 else x


GOLDEN = _signed(0x9E3779B97F4A7C15)


def normal(seeds: Tensor, n: int, *, draw: int = 0) -> Tensor:
    """n numbers of N(0, 1) for each of the seeds (B,) int64: (B, n) float32.

    draw: which n of the seed's stream; draws of the same n do not overlap.
    """
    places = torch.arange(draw * n, (draw + 1) * n, device=seeds.device)
    bits = _mix(_mix(seeds)[:, None] + (places + 1) * GOLDEN)
    uniform = (_shifted(bits, 11).double() + 0.5) * 2.0**-53  # inside (0, 1)
    return torch.special.ndtri(uniform).float()


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser (Steele, Lea & Flood 2014, variant 13 of Stafford), modulo 2⁶⁴."""
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, k: int) -> Tensor:
    """x ≫ k with zeros shifted in, as of unsigned numbers."""
    return (x >> k) & ((1 << (64 - k)) - 1)
