"""A batch of diagonal Gaussians: what an encoder says about each image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """N(mean, diag σ²), with σ = exp(½ · log_variance). Both are (B, *latent shape)."""

    mean: Tensor
    log_variance: Tensor

    @property
    def std(self) -> Tensor:
        return (0.5 * self.log_variance).exp()

    def sample(self, noise: Tensor | None = None) -> Tensor:
        """mean + σ ε, differentiable in both; `noise` is ε, drawn afresh where not given.

        Reparameterisation: Kingma & Welling, "Auto-Encoding Variational Bayes", §2.4.
        """
        ε = torch.randn_like(self.mean) if noise is None else noise
        return self.mean + self.std * ε

    def kl(self) -> Tensor:
        """KL(q ‖ N(0, I)) of each sample, in nats, summed over latents: (B,).

        −½ Σ (1 + log σ² − μ² − σ²): Kingma & Welling, appendix B.
        """
        μ, logσ2 = self.mean, self.log_variance
        return -0.5 * (1 + logσ2 - μ.square() - logσ2.exp()).flatten(1).sum(1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z) of each sample, in nats: (B,)."""
        logσ2 = self.log_variance
        terms = (z - self.mean).square() / logσ2.exp() + logσ2 + math.log(2 * math.pi)
        return -0.5 * terms.flatten(1).sum(1)
