"""What is asked of a latent, whatever it decodes to: penalties on z, and sets it must stay in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import GaussianMixture, InputError, Sphere, StandardNormal, Uniform
from preimage.core.latent import Prior
from preimage.inversion.noise import normal

NORMAL_RANGE = 4.0  # of N(0, 1): one number in 16,000 of the prior's own samples is beyond it

# --- penalties; all are means over the d numbers of a latent ---


class SquaredNorm:
    """‖z‖² / d: 1 for a typical sample of N(0, I)."""

    def loss(self, z: Tensor) -> Tensor:
        return z.square().mean(1)

    def residual(self, z: Tensor) -> Tensor:
        return z / math.sqrt(z.shape[1])


class AbsoluteNorm:
    """‖z‖₁ / d. √|z| has no derivative at 0, so there is no residual."""

    def loss(self, z: Tensor) -> Tensor:
        return z.abs().mean(1)

    def residual(self, z: Tensor) -> None:
        return


class PriorLogDensity:
    """(max log p − log p(z)) / d in nats, at least 0: under N(0, I) half of ‖z‖² / d.

    The highest density of a mixture is not known, and stands in for it a bound, the sum of its
    components' own.
    """

    def __init__(self, prior: Prior):
        """Raises InputError where the density is flat, so that it could tell nothing."""
        if isinstance(prior, Uniform | Sphere):
            name = "box" if isinstance(prior, Uniform) else "typical"
            raise InputError(f"the density of this prior is flat; use project='{name}' instead")
        self.prior = prior
        self.highest = _highest(prior)

    def loss(self, z: Tensor) -> Tensor:
        if isinstance(self.prior, StandardNormal):
            return 0.5 * z.square().mean(1)
        highest = torch.as_tensor(self.highest).to(z)
        return (highest - self.prior.log_prob(z)) / z.shape[1]

    def residual(self, z: Tensor) -> Tensor | None:
        if isinstance(self.prior, StandardNormal):
            return z / math.sqrt(2 * z.shape[1])
        return None


def _highest(prior: Prior) -> Tensor | float:
    """max log p(z) or a bound on it from above; 0 where nothing is known."""
    if isinstance(prior, GaussianMixture):  # Σ wₖ N(z; mₖ, Cₖ) ≤ Σ wₖ N(mₖ; mₖ, Cₖ)
        return prior.component_log_prob(prior.means).diagonal().logsumexp(0).detach()
    return 0.0


# --- projections ---


@dataclass(frozen=True)
class TypicalSet:
    """Where nearly all samples of the prior are: for N(0, I) the sphere of radius √d."""

    prior: Prior

    def __call__(self, z: Tensor, *, seeds: Tensor, iteration: int) -> Tensor:
        return self.prior.project(z)


@dataclass(frozen=True)
class Box:
    """[−bound, bound]^d, for a prior that is uniform in it."""

    bound: float = 1.0

    def __call__(self, z: Tensor, *, seeds: Tensor, iteration: int) -> Tensor:
        return z.clamp(-self.bound, self.bound)


@dataclass(frozen=True)
class StochasticClip:
    """Each number outside [−bound, bound] is redrawn uniformly inside, by itself.

    Lipton & Tripathi, "Precise Recovery of Latent Vectors from Generative Adversarial Networks",
    2017, §2: a clipped number would stay at the bound, where it has almost no probability.
    """

    bound: float

    SALT = 0x5C11  # these draws are not those of other users of a sample's seed

    def __post_init__(self) -> None:
        if not (self.bound > 0 and math.isfinite(self.bound)):
            raise InputError(f"clipping at {self.bound:g}; give a bound above 0, as in clip=3")

    @classmethod
    def of(cls, prior: Prior) -> StochasticClip:
        """At the prior's typical range. Raises InputError for a mixture, which has no one range."""
        if isinstance(prior, Uniform):
            return cls(1.0)
        if isinstance(prior, StandardNormal | Sphere):
            return cls(NORMAL_RANGE)
        raise InputError("this prior has no single range to clip to; give one, as in clip=3")

    def __call__(self, z: Tensor, *, seeds: Tensor, iteration: int) -> Tensor:
        ε = normal((seeds ^ self.SALT).to(z.device), z.shape[1], draw=iteration)
        fresh = self.bound * (2 * torch.special.ndtr(ε) - 1).to(z)
        return torch.where(z.abs() > self.bound, fresh, z)
