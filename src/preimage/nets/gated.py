"""A gated net for standardised principal coefficients: the nonlinear rest of a linear VAE.

The principal coefficients of natural images are uncorrelated but not independent: given a common
scale, the local contrast, they are nearly Gaussian (Wainwright & Simoncelli, "Scale Mixtures of
Gaussians and the Statistics of Natural Images", 1999). So what a linear VAE leaves undone is mostly
multiplicative. Three things here multiply: the logarithms of energies among the encoder's inputs;
gated linear features A x ⊙ tanh(G h) beside the usual hidden units h (Dauphin et al., "Language
Modeling with Gated Convolutional Networks", 2017, equation 1); and the gates that the autoencoder
reads off the hidden units and applies to its linear part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import DataSpec

FLOOR = 0.3  # added to energies before the logarithm; a standardised coefficient's is 1


@dataclass(frozen=True)
class Gated:
    """Two hidden layers, and as many gated linear features."""

    width: int = 512

    def encoder(self, data: DataSpec) -> nn.Module:
        return GatedEncoder(self, data)

    def decoder(self, data: DataSpec, inputs: int) -> nn.Module:
        return GatedDecoder(self, data, inputs)


class GatedFeatures(nn.Module):
    """h = two hidden layers of u; (B, inputs), (B, hidden inputs) → [h, A x ⊙ tanh(G h)]."""

    def __init__(self, inputs: int, hidden_inputs: int, width: int):
        super().__init__()
        self.first = nn.Linear(hidden_inputs, width)
        self.second = nn.Linear(width, width)
        self.linear = nn.Linear(inputs, width, bias=False)  # A
        self.gate = nn.Linear(width, width)  # G

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        h = F.gelu(self.second(F.gelu(self.first(u))))
        return torch.cat([h, self.linear(x) * torch.tanh(self.gate(h))], 1)


class GatedEncoder(nn.Module):
    """Coefficients (B, K) → features (B, 2 · width + 1): hidden units first, the contrast last."""

    contrast_mean: Tensor  # ()
    contrast_std: Tensor  # ()

    def __init__(self, net: Gated, data: DataSpec):
        super().__init__()
        self.body = GatedFeatures(data.size, 2 * data.size, net.width)
        self.features, self.hidden_units = 2 * net.width + 1, net.width
        self.register_buffer("contrast_mean", torch.zeros(()))
        self.register_buffer("contrast_std", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        energy = (x.square() + FLOOR).log()  # (B, K)
        energy = energy - self.contrast_mean
        features = self.body(x, torch.cat([x, energy], 1))
        contrast = energy.mean(1, keepdim=True) / self.contrast_std
        return torch.cat([features, contrast.to(features.dtype)], 1)

    @torch.no_grad()
    def standardise_contrast(self, x: Tensor) -> None:
        """Give the contrast mean 0 and variance 1 over these coefficients (B, K)."""
        contrast = (x.square() + FLOOR).log().mean(1)
        self.contrast_mean.copy_(contrast.mean())
        self.contrast_std.copy_(contrast.std(correction=0).clamp_min(1e-2))


class GatedDecoder(nn.Module):
    """Latents (B, inputs) → coefficients (B, K)."""

    def __init__(self, net: Gated, data: DataSpec, inputs: int):
        super().__init__()
        self.shape = data.shape
        self.body = GatedFeatures(inputs, inputs, net.width)
        self.features, self.hidden_units = 2 * net.width, net.width
        self.output = nn.Linear(self.features, data.size)

    def hidden(self, z: Tensor) -> Tensor:
        """The features the output and the gates are read off: (B, inputs) → (B, features)."""
        return self.body(z, z)

    def forward(self, z: Tensor) -> Tensor:
        return self.drawn(self.hidden(z))

    def drawn(self, h: Tensor) -> Tensor:
        """(B, features) → (B, *shape)."""
        return self.output(h).reshape(len(h), *self.shape)
