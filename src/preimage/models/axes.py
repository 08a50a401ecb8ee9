"""Images along their principal axes: fewer numbers, and the same squared error.

An orthonormal basis keeps lengths, so for images decoded within the span of K axes

    ‖x̂ − x‖² = ‖ŷ − y‖² + the part of x outside the axes,

whose second term no model on these axes can change. A VAE of a Gaussian likelihood may therefore be
trained on coefficients y computed once, instead of on pixels; mirrored images cost a sign
each (`models/linear_start.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from preimage.core import DataSpec
from preimage.models.linear_start import PrincipalComponents


class PrincipalAxes(nn.Module):
    """The change of coordinates between images (B, C, H, W) and coefficients (B, K)."""

    mean: Tensor  # (D,)
    basis: Tensor  # (D, K), orthonormal columns
    scale: Tensor  # (K,): standard deviation along each axis, softened
    parity: Tensor  # (K,) ±1: what mirroring an image multiplies its coefficients by; 0 if unknown
    outside: Tensor  # (): the mean squared length of what the axes leave out

    def __init__(self, data: DataSpec, count: int):
        super().__init__()
        self.data = data
        self.count = min(count, data.size)
        self.register_buffer("mean", torch.zeros(data.size))
        self.register_buffer("basis", torch.zeros(data.size, self.count))
        self.register_buffer("scale", torch.ones(self.count))
        self.register_buffer("parity", torch.zeros(self.count))
        self.register_buffer("outside", torch.zeros(()))

    @property
    def coordinates(self) -> DataSpec:
        """What a model on these axes sees."""
        return DataSpec("vector", (self.count,))

    def coefficients(self, x: Tensor) -> Tensor:
        """y = Vᵀ(x − mean): (B, C, H, W) → (B, K)."""
        return ((x.flatten(1) - self.mean) @ self.basis).float()

    def images(self, y: Tensor) -> Tensor:
        """mean + V y: (B, K) → (B, C, H, W), not clipped."""
        return ((y @ self.basis.T).float() + self.mean).reshape(len(y), *self.data.shape)

    def standardised(self, y: Tensor) -> Tensor:
        """Coefficients of about unit variance, for a net: (B, K)."""
        return y / self.scale

    @torch.no_grad()
    def start(self, components: PrincipalComponents, *, softening: float = 0.1) -> None:
        """Take these axes; `softening` keeps the smallest from being blown up to unit variance."""
        components = components.first(self.count)
        self.mean.copy_(components.mean)
        self.basis.copy_(components.basis)
        self.scale.copy_((components.eigenvalues + softening).sqrt())
        self.outside.fill_(components.discarded_variance)
        if components.parity is not None:
            self.parity.copy_(components.parity)
