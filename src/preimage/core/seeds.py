"""Randomness as an argument: one seed a sample, one seed a step.

Sample 7 of seed 0 is the same whatever batch it is drawn in, and step 700 of a run draws the same
numbers whether or not the run was interrupted before it, because neither takes its numbers from a
stream that others have drawn from.
"""

from __future__ import annotations

import hashlib

import numpy as np
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


def scramble(indices: np.ndarray, *, seed: int) -> np.ndarray:
    """A 64-bit number for each index, uniform and without order, that follows from the seed.

    The output function of SplitMix64: Steele, Lea & Flood, "Fast splittable pseudorandom number
    generators", 2014, with the index as its counter.
    """
    start = np.uint64(derive(seed, "scramble"))
    z = start + (indices.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
