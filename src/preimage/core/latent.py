"""A latent space: a shape and one or more priors over it.

A prior is written as a transport of standard normal noise, z = T(ε). That gives batched sampling
for training (ε from one generator), one seed a sample for people (ε from `seeds.normal`), and
truncation, all from one function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from preimage.core import seeds
from preimage.core.errors import InputError, nearest_name


class Prior(Protocol):
    """A distribution over flattened latents (B, d)."""

    def noise_dim(self, d: int) -> int:
        """How many standard normal numbers one sample takes."""
        ...

    def transport(self, noise: Tensor, truncation: float = 1.0) -> Tensor:
        """(B, noise_dim) → (B, d). Truncation ψ < 1 draws nearer to the mode."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: (B, d) → (B,)."""
        ...

    def project(self, z: Tensor) -> Tensor:
        """The nearest point in the typical set: (B, d) → (B, d)."""
        ...


class StandardNormal:
    """N(0, I). Its typical set is the sphere of radius √d."""

    def noise_dim(self, d: int) -> int:
        return d

    def transport(self, noise: Tensor, truncation: float = 1.0) -> Tensor:
        return noise * truncation

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)

    def project(self, z: Tensor) -> Tensor:
        return z * (math.sqrt(z.shape[1]) / z.norm(dim=1, keepdim=True).clamp_min(1e-12))


class Sphere:
    """Uniform on the sphere of radius √d (StyleGAN's normalised z)."""

    def noise_dim(self, d: int) -> int:
        return d

    def transport(self, noise: Tensor, truncation: float = 1.0) -> Tensor:
        return self.project(noise) * truncation

    def log_prob(self, z: Tensor) -> Tensor:
        d = z.shape[1]
        log_area = math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)
        log_area += (d - 1) / 2 * math.log(d)
        return torch.full((len(z),), -log_area, dtype=z.dtype, device=z.device)

    def project(self, z: Tensor) -> Tensor:
        return StandardNormal().project(z)


class Uniform:
    """Uniform on [−1, 1]^d."""

    def noise_dim(self, d: int) -> int:
        return d

    def transport(self, noise: Tensor, truncation: float = 1.0) -> Tensor:
        return (2 * torch.special.ndtr(noise) - 1) * truncation

    def log_prob(self, z: Tensor) -> Tensor:
        inside = (z.abs() <= 1).all(1)
        return torch.where(inside, -z.shape[1] * math.log(2.0), -math.inf)

    def project(self, z: Tensor) -> Tensor:
        return z.clamp(-1, 1)


@dataclass(frozen=True)
class LatentSpace:
    """A shape, (d,) or (c, h, w), and the priors known over it; none where nothing is known."""

    shape: tuple[int, ...]
    priors: Mapping[str, Prior] = field(default_factory=lambda: {"normal": StandardNormal()})
    prior: str = "normal"  # the name of the default prior

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def chosen(self, prior: str | None = None) -> Prior:
        """The prior of that name, or the default.

        Raises InputError where this space has no such prior.
        """
        name = self.prior if prior is None else prior
        if name not in self.priors:
            if not self.priors:
                raise InputError("this latent space has no known prior to sample from")
            raise InputError(f"no prior named '{name}'; {nearest_name(name, self.priors)}")
        return self.priors[name]

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        first: int = 0,
        prior: str | None = None,
        truncation: float = 1.0,
    ) -> Tensor:
        """Latents (n, *shape) for samples first … first + n − 1 of `seed`, one seed a sample."""
        chosen = self.chosen(prior)
        noise = seeds.normal(n, (chosen.noise_dim(self.size),), seed=seed, first=first)
        return chosen.transport(noise, truncation).reshape(n, *self.shape)

    def draw(
        self, n: int, generator: torch.Generator | None = None, *, prior: str | None = None
    ) -> Tensor:
        """Latents (n, *shape) from one stream: quicker, for training."""
        chosen = self.chosen(prior)
        noise = torch.randn(n, chosen.noise_dim(self.size), generator=generator)
        return chosen.transport(noise).reshape(n, *self.shape)

    def log_prob(self, z: Tensor, *, prior: str | None = None) -> Tensor:
        """log p(z) of each sample in nats: (B, *shape) → (B,)."""
        return self.chosen(prior).log_prob(z.flatten(1))

    def project(self, z: Tensor, *, prior: str | None = None) -> Tensor:
        """Each latent moved into the typical set."""
        return self.chosen(prior).project(z.flatten(1)).reshape(z.shape)

    def mean(self, *, prior: str | None = None) -> Tensor:
        """The centre of the space: (*shape,). Zero noise, transported."""
        chosen = self.chosen(prior)
        centre = getattr(chosen, "mean", None)
        if centre is None:
            return torch.zeros(self.shape)
        return centre().reshape(self.shape)
