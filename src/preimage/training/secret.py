"""Randomness that nobody can foresee, and that a resumed run draws again: SHAKE-256 of a secret.

Whoever knows the noise of a private run takes it off, and nothing is private any more. So it must
not follow from the seed, which stands in the run's config, and its generator must be secure: here
an extendable-output hash function (FIPS 202) of the secret, and of the place the numbers are for.
"""

from __future__ import annotations

import hashlib
import math
import secrets

import numpy as np
import torch
from torch import Tensor


def fresh() -> int:
    """A new secret of 256 bits, from the operating system."""
    return secrets.randbits(256)


def uniform(n: int, secret: int, *place: int | str) -> np.ndarray:
    """n numbers in [0, 1), 53 bits each: (n,) float64."""
    text = "/".join(str(part) for part in (secret, *place))
    bits = np.frombuffer(hashlib.shake_256(text.encode()).digest(8 * n), np.uint64)
    return (bits >> np.uint64(11)) * 2.0**-53


def normal(n: int, secret: int, *place: int | str) -> Tensor:
    """n standard normal numbers: (n,) float64. Box & Muller 1958."""
    u = torch.from_numpy(uniform(n + n % 2, secret, *place)).reshape(2, -1)
    r, θ = (-2 * torch.log1p(-u[0])).sqrt(), 2 * math.pi * u[1]
    return torch.cat([r * θ.cos(), r * θ.sin()])[:n]
