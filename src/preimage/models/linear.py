"""The linear part of an autoencoder: where the closed-form start lives.

An autoencoder with this part is x̂ = clip(linear(z) + net(z)), and likewise for the encoder. With
the nets' last layers at zero it begins as the optimal linear VAE of its data, whose weights are
known in closed form (Tipping & Bishop 1999, equation 7; Lucas et al. 2019), and training only
has the nonlinear rest to find.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import DataSpec
from preimage.models.linear_start import LinearVAE

LARGEST = 3072  # numbers an image may have before the linear part works on a smaller one


def reduction(data: DataSpec) -> int:
    """By what factor images are shrunk before the linear part: 1 up to 32×32 colour."""
    factor = 1
    while data.size // factor**2 > LARGEST and data.kind == "image":
        factor *= 2
    return factor


class LinearPart(nn.Module):
    """Affine maps between images and latents, at a reduced resolution where images are large."""

    def __init__(self, data: DataSpec, latent: int):
        super().__init__()
        self.shape = data.shape
        self.factor = reduction(data)
        if data.kind == "image":
            sides = [max(side // self.factor, 1) for side in (data.height, data.width)]
            small = (data.channels, *sides)
        else:
            small = data.shape
        self.small = small
        size = int(torch.Size(small).numel())
        self.encoder = nn.Linear(size, latent)
        self.decoder = nn.Linear(latent, size)
        self.log_variance = nn.Parameter(torch.zeros(latent))
        for parameter in (*self.encoder.parameters(), *self.decoder.parameters()):
            nn.init.zeros_(parameter)

    def reduce(self, x: Tensor) -> Tensor:
        """(B, *shape) → (B, *small), at the reduced resolution."""
        return F.adaptive_avg_pool2d(x, (self.small[-2], self.small[-1])) if self.factor > 1 else x

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(self.reduce(x).flatten(1)).float()

    def decode(self, z: Tensor) -> Tensor:
        x = self.decoder(z).float().reshape(len(z), *self.small)
        if self.factor > 1:
            x = F.interpolate(x, size=self.shape[1:], mode="bilinear")
        return x

    @torch.no_grad()
    def start(self, optimum: LinearVAE) -> None:
        """Take the weights of the optimal linear VAE of the reduced images."""
        to = self.log_variance.device
        basis = optimum.components.basis.to(to)  # (D, d)
        mean = optimum.components.mean.to(to)
        self.encoder.weight.copy_(optimum.encoder_scale.to(to)[:, None] * basis.T)
        self.encoder.bias.copy_(-(self.encoder.weight @ mean))
        self.decoder.weight.copy_(basis * optimum.decoder_scale.to(to))
        self.decoder.bias.copy_(mean)
        self.log_variance.copy_(optimum.log_variance)


def soft_clip(u: Tensor, margin: float = 0.1) -> Tensor:
    """u within [−1 + margin, 1 − margin], and from there smoothly towards ±1: in (−1, 1).

    Like tanh it never leaves the range and never loses its gradient; unlike tanh it leaves the
    linear part as it is.
    """
    excess = (u.abs() - (1 - margin)).clamp_min(0)
    clipped = 1 - margin * torch.exp(-excess / margin)
    return torch.where(excess > 0, u.sign() * clipped, u)
