"""What guided sampling draws from: the prior, reweighted by the ratio of what it decodes to.

    π(ε) ∝ N(ε; 0, I) r(G(T(ε)))^β

Every prior here is a transport z = T(ε) of standard normal noise, so all methods walk in noise:
the sphere and the cube need no special care, and a step in ε never leaves the space. β is the
strength: 0 draws from the prior, 1 from what the ratio says is real, more overdoes it. Of a
conditional model each sample keeps its label.
"""

from __future__ import annotations

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, seeds
from preimage.exploration.ratio import DensityRatio, features


class Target:
    """The density of samples `rows`, and how often it was asked for."""

    def __init__(
        self,
        model: LatentModel,
        ratio: DensityRatio,
        *,
        seed: int = 0,
        prior: str | None = None,
        label: int | str | None = None,
    ):
        self.model, self.ratio, self.seed, self.label = model, ratio, seed, label
        self.prior = model.space.chosen(prior)
        self.dim = self.prior.noise_dim(model.space.size)
        self.φ = features(model, ratio.kind)[1]

    def noise(self, rows: list[int], attempt: int = 0) -> Tensor:
        """The standard normal noise (B, dim) of these samples; attempt 0 is the plain sample's."""
        seed = self.seed if attempt == 0 else seeds.derive(self.seed, "attempt", attempt)
        return torch.cat([seeds.normal(1, (self.dim,), seed=seed, first=i) for i in rows])

    def uniform(self, rows: list[int], attempt: int) -> Tensor:
        """Uniform numbers in [0, 1): (B,), one for each attempt of each sample."""
        place = [seeds.generator(self.seed, "uniform", attempt, i) for i in rows]
        return torch.stack([torch.rand((), generator=g) for g in place])

    def labels(self, rows: list[int]) -> Tensor | None:
        if not self.model.conditional or self.label is not None:
            return self.model.labels_for(len(rows), self.label)
        return torch.tensor(rows, device=self.model.device) % len(self.model.classes)

    def latents(self, noise: Tensor) -> Tensor:
        """Noise (B, dim) → z (B, *shape)."""
        return self.prior.transport(noise).reshape(len(noise), *self.model.space.shape)

    def images(self, noise: Tensor, rows: list[int]) -> Tensor:
        z = self.latents(noise).to(self.model.device)
        return self.model.decode(z, self.labels(rows))

    def log_ratio(self, noise: Tensor, rows: list[int]) -> Tensor:
        """log r(G(T(ε))): (B,), on the CPU, differentiable in ε. One decode each."""
        found = self.ratio.of(self.φ(self.images(noise, rows)).float()).cpu()
        if not found.isfinite().all():
            raise InputError("the model draws images that are not finite; they cannot be guided")
        return found
