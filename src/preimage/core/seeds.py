"""Randomness as an argument: one seed a sample, one seed a step.

Sample 7 of seed 0 is the same whatever batch it is drawn in, and step 700 of a run draws the same
numbers whether or not the run was interrupted before it, because neither takes its numbers from a
stream that others have drawn from.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def derive(seed: int, *path: int | str) -> int:
    """A 63-bit seed for one place (a step, a sample, a purpose) below `seed`."""
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *path: int | str) -> torch.Generator:
    """A fresh CPU generator for one place below `seed`."""
    return torch.Generator().manual_seed(derive(seed, *path))


def normal(n: int, shape: tuple[int, ...], *, seed: int, first: int = 0) -> Tensor:
    """Standard normal noise (n, *shape) for samples first … first + n − 1, one seed a sample."""
    rows = [torch.randn(shape, generator=generator(seed, first + i)) for i in range(n)]
    return torch.stack(rows) if rows else torch.empty(0, *shape)
