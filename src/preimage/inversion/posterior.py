"""What an image leaves undetermined: the Laplace posterior of its latent.

    p(z | y) ∝ exp(−‖A(G(z)) − y‖² / 2σ²) p(z)  ≈  N(μ, Σ),   Σ⁻¹ = JᵀJ/σ² + C⁻¹

at its mode μ, with J = d A(G(z))/dz and N(c, C) the prior about μ (MacKay, "A Practical Bayesian
Framework for Backpropagation Networks", 1992; the second derivative of G is left out, as in
Gauss–Newton). With C = L Lᵀ and V, λ the eigenvectors and eigenvalues of Lᵀ JᵀJ L / σ²,

    Σ = L (V (I + diag λ)⁻¹ Vᵀ + I − V Vᵀ) Lᵀ

where a few leading eigenvectors are enough: along the rest the image adds nothing to the prior.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from preimage.core import GaussianMixture, InputError, StandardNormal, Uniform, seeds
from preimage.core.latent import Prior
from preimage.inversion.curvature import (
    DENSE,
    Curvature,
    curvature,
    image_tangents,
    jacobian_of_images,
    log_determinant,
    of_values,
    pull_back,
    unwhiten,
    whiten,
)
from preimage.inversion.noise import normal
from preimage.inversion.problem import Problem

ROUNDING = 2 / 255 / math.sqrt(12)  # standard deviation of rounding to 8 bits, in [−1, 1]
BLOCK = 1 << 26  # numbers of Jacobians held at a time: 256 MiB
UNIFORM = 1 / math.sqrt(3)  # standard deviation of U[−1, 1]
HALVINGS = 8  # of a step
SETTLED = 0.01  # nats that a Gauss–Newton step must promise to be worth another Jacobian


@dataclass(frozen=True)
class Posterior:
    """N(μ, Σ) of each of B latents, flat; the algebra is in float64."""

    mean: Tensor  # μ: (B, d)
    factor: Tensor  # L: (B, d, d), or (B, 1, 1) for a multiple of the identity
    basis: Tensor  # V: (B, d, k)
    gains: Tensor  # λ: (B, k), descending: what the image adds to the prior's precision of 1
    noise: Tensor  # σ: (B,), on values in [−1, 1]
    seeds: Tensor  # (B,) int64: the images' own

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def d(self) -> int:
        return self.mean.shape[1]

    @cached_property
    def covariance(self) -> Tensor:
        """Σ: (B, d, d)."""
        return self._square_root @ self._square_root.mT

    @cached_property
    def std(self) -> Tensor:
        """√diag Σ, the standard deviation of each latent: (B, d)."""
        return self.covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt().to(self.mean)

    @property
    def directions(self) -> Tensor:
        """Orthonormal (B, d, d): column 0 of an image is the direction it determines least."""
        return self._principal[1]

    @property
    def stds(self) -> Tensor:
        """Standard deviations along `directions`, descending: (B, d)."""
        return self._principal[0]

    @property
    def effective_dimension(self) -> Tensor:
        """Σ λ/(λ + 1), how many latents the image determines: (B,) (MacKay 1992, equation 4.9)."""
        return (self.gains / (self.gains + 1)).sum(1).to(self.mean)

    @property
    def undetermined(self) -> list[str]:
        """A sentence an image."""
        free = (self.d - (self.gains >= 1).sum(1)).tolist()
        v = self.directions[:, :, 0].to(self.factor)
        before = pull_back(self.factor, v[:, :, None]).norm(dim=1)[:, 0].tolist()
        return [
            _sentence(n, self.d, std, prior)
            for n, std, prior in zip(free, self.stds[:, 0].tolist(), before, strict=True)
        ]

    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        """n latents for each image: (B, n, d). An image's are the same in any batch."""
        own = self.seeds ^ seeds.derive(seed, "posterior")
        ε = normal(own, self.d * n).reshape(len(self), self.d, n).to(self.basis)
        δ = self.root(ε)  # (B, d, n)
        return (self.mean[:, :, None] + δ).mT.to(self.mean)

    def log_prob(self, z: Tensor) -> Tensor:
        """log N(z; μ, Σ) in nats: (B, n, d) → (B, n)."""
        δ = (z - self.mean[:, None]).mT.to(self.factor)
        w = whiten(self.factor, δ)  # L⁻¹ (z − μ): (B, d, n)
        quadratic = w.square().sum(1)
        quadratic += (self.gains[:, :, None] * (self.basis.mT @ w).square()).sum(1)
        log_det = log_determinant(self.factor, self.d) - 0.5 * self.gains.log1p().sum(1)
        return -0.5 * (quadratic + self.d * math.log(2 * math.pi)) - log_det[:, None]

    def image_std(self, problem: Problem, *, draws: int = 64) -> Tensor:
        """√diag(J Σ Jᵀ) with J = dG/dz at μ: (B, C, H, W), the standard deviation of each value.

        It is that of the whole image G(z), so behind a mask it says what is not known there.
        Linearised. Where d is large, J is not formed and the variance is that of `draws` tangents,
        which is within a factor of 1 ± √(2 / draws) of it.
        """
        if self.basis.shape[2] == self.d:
            variances = []
            for rows in _blocks(problem, problem.model.data.size):
                J = jacobian_of_images(problem.select(rows), self.mean[rows]).double()
                variances.append((J @ self._square_root[rows]).square().sum(2))
            variance = torch.cat(variances)
        else:
            δ = (self.sample(draws) - self.mean[:, None]).mT  # (B, d, n)
            variance = image_tangents(problem, self.mean, δ).square().mean(2)
        return variance.sqrt().to(self.mean).reshape(len(self), *problem.model.data.shape)

    @cached_property
    def _square_root(self) -> Tensor:
        """R with R Rᵀ = Σ: (B, d, d)."""
        eye = torch.eye(self.d, dtype=self.basis.dtype, device=self.basis.device)
        return self.root(eye.expand(len(self), -1, -1))

    def root(self, ε: Tensor) -> Tensor:
        """R ε with R Rᵀ = Σ: (B, d, n) → (B, d, n)."""
        return unwhiten(self.factor, shrink(self.basis, self.gains, ε))

    @cached_property
    def _principal(self) -> tuple[Tensor, Tensor]:
        variances, v = torch.linalg.eigh(self.covariance)
        v = v.flip(2)
        largest = v.abs().argmax(1, keepdim=True)
        v = v * v.gather(1, largest).sign()  # an eigenvector's sign is arbitrary
        return variances.flip(1).clamp_min(0).sqrt().to(self.mean), v.to(self.mean)


def laplace(
    problem: Problem,
    z: Tensor,
    *,
    noise: float | Tensor | None = None,
    prior: str | None = None,
    rank: int = 64,
    steps: int = 2,
) -> Posterior:
    """The Laplace posterior of the latents found, z (B, d): B independent Gaussians.

    Only values count, whatever the problem's objective: y = A(G(z)) + σ ε, and the prior.

    noise: σ on values in [−1, 1], of all images or of each (B,). Where neither it nor the
        operator's own is given, it is estimated from the residual, and never taken below that of
        rounding to 8 bits.
    prior: the name of one of the space's priors. A mixture stands for its likeliest component at
        z. Priors without curvature stand for a Gaussian about z as wide as they are; where the
        space has none, as wide as z is large.
    rank: directions of most information that are looked at, where d > 128; along the others the
        prior is kept, so uncertainty is overstated if the image determines more than these.
    steps: Gauss–Newton steps towards the mode at most. An ẑ of least squares is off it in
        directions that the image does not determine.

    Raises InputError where `noise` is not above 0, or the space has no prior of that name.
    """
    if noise is None:
        noise = getattr(problem.through, "noise", 0.0) or None
    if noise is not None:
        noise = torch.as_tensor(noise, dtype=torch.float64, device=z.device).expand(len(z))
        if not (noise > 0).all():
            raise InputError("noise= must be above 0; leave it out to have it estimated")
    parts = []
    for rows in _blocks(problem, problem.target[:1].numel()):
        σ = None if noise is None else noise[rows]
        parts.append(_laplace(problem.select(rows), z[rows].detach(), σ, prior, rank, steps))
    return Posterior(
        **{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Posterior)}
    )


@dataclass(frozen=True)
class WeightedSamples:
    """Samples of Laplace posteriors, weighted to be samples of the posteriors themselves."""

    z: Tensor  # (B, n, d)
    weights: Tensor  # (B, n), summing to 1

    @property
    def effective_share(self) -> Tensor:
        """1 / (n Σ w²): (B,). Near 1 the Laplace posterior is exact, near 1/n it is of no use.

        The effective sample size over n (Kong 1992).
        """
        return 1 / (self.weights.shape[1] * self.weights.square().sum(1))


@torch.no_grad()
def importance(
    problem: Problem, posterior: Posterior, n: int, *, seed: int = 0, prior: str | None = None
) -> WeightedSamples:
    """n samples of each Laplace posterior with self-normalised importance weights.

    Owen, "Monte Carlo Theory, Methods and Examples", §9.2. Decodes n images for each.
    """
    z = posterior.sample(n, seed=seed)
    columns = []
    for draw in z.unbind(1):
        error = of_values(problem).loss(draw).double()
        likelihood = -0.5 * error / posterior.noise.square()
        columns.append(likelihood + log_prior(problem, draw, prior))
    weights = (torch.stack(columns, 1) - posterior.log_prob(z)).softmax(1)
    return WeightedSamples(z, weights)


def noise_level(squared_error: Tensor, values: Tensor, eigenvalues: Tensor) -> Tensor:
    """σ (B,) from ‖a − y‖² at the mode, the values seen (B,), and the eigenvalues of JᵀJ (B, k).

    σ² = ‖a − y‖² / (m − γ), where γ = Σ s/(s + σ²) latents went into the fit (MacKay 1992,
    equation 4.10); at least the noise of rounding to 8 bits.
    """
    σ2 = (squared_error / values.clamp_min(1)).clamp_min(ROUNDING**2)
    for _ in range(20):
        γ = (eigenvalues / (eigenvalues + σ2[:, None])).sum(1)
        σ2 = (squared_error / (values - γ).clamp_min(1)).clamp_min(ROUNDING**2)
    return σ2.sqrt()


def _laplace(
    problem: Problem, z: Tensor, σ: Tensor | None, prior: str | None, rank: int, steps: int
) -> Posterior:
    while True:
        centre, L = local_prior(problem, z, prior)
        found = curvature(problem, z, L, rank=rank)
        noise = (
            noise_level(found.squared_error, found.values, found.eigenvalues) if σ is None else σ
        )
        gains = found.eigenvalues / noise.square()[:, None]
        posterior = Posterior(z, L, found.basis, gains, noise, problem.seeds)
        if not steps:
            return posterior
        moved = _towards_mode(problem, posterior, centre, found, prior)
        if torch.equal(moved, z):
            return posterior
        z, steps = moved, steps - 1


@torch.no_grad()
def _towards_mode(
    problem: Problem, posterior: Posterior, centre: Tensor, found: Curvature, prior: str | None
) -> Tensor:
    """One Gauss–Newton step on −log p(z | y), halved until it gains; z itself where none does."""
    z, L, σ2 = posterior.mean, posterior.factor, posterior.noise.square()
    w = whiten(L, (z - centre)[:, :, None].to(L))[:, :, 0]
    gradient = found.gradient / σ2[:, None] + w  # of −log p(z | y), with respect to L⁻¹ z
    half = shrink(posterior.basis, posterior.gains, gradient[:, :, None])
    step = -posterior.root(half)[:, :, 0].to(z)

    def log_density(z: Tensor) -> Tensor:
        return -0.5 * of_values(problem).loss(z).double() / σ2 + log_prior(problem, z, prior)

    best, highest = z.clone(), log_density(z)
    searching = 0.5 * half.square().sum((1, 2)) > SETTLED
    for halvings in range(HALVINGS):
        if not searching.any():
            break
        trial = z + step * 0.5**halvings
        density = log_density(trial)
        higher = searching & (density > highest)
        best, highest = _where(higher, trial, best), _where(higher, density, highest)
        searching &= ~higher
    return best


def shrink(basis: Tensor, gains: Tensor, ε: Tensor) -> Tensor:
    """(V (I + diag λ)^−½ Vᵀ + I − V Vᵀ) ε: (B, d, n) → (B, d, n)."""
    along = basis.mT @ ε  # (B, k, n)
    shrunk = basis @ (along * (1 + gains).rsqrt()[:, :, None])
    return shrunk if basis.shape[2] == basis.shape[1] else shrunk + ε - basis @ along


def local_prior(problem: Problem, z: Tensor, name: str | None) -> tuple[Tensor, Tensor]:
    """The prior about z as N(c, L Lᵀ): c (B, d), and L (B, d, d) or (B, 1, 1) in float64."""
    space = problem.model.space
    one = torch.ones(len(z), 1, 1, dtype=torch.float64, device=z.device)
    if not space.priors and name is None:
        return z, one * z.double().square().mean(1).sqrt().clamp_min(1e-6)[:, None, None]
    return local_gaussian(space.chosen(name), z)


def local_gaussian(prior: Prior, z: Tensor) -> tuple[Tensor, Tensor]:
    """A prior about z (B, d), likewise: of a mixture the likeliest component, or one as wide."""
    one = torch.ones(len(z), 1, 1, dtype=torch.float64, device=z.device)
    if isinstance(prior, StandardNormal):
        return torch.zeros_like(z), one
    if isinstance(prior, GaussianMixture):
        k = prior.component_log_prob(z).argmax(1)
        return prior.means[k], prior.factors[k].double()
    return z, one * UNIFORM if isinstance(prior, Uniform) else one


def log_prior(problem: Problem, z: Tensor, name: str | None) -> Tensor:
    """log p(z) of latents (B, d), up to a constant: (B,) float64."""
    space = problem.model.space
    if not space.priors and name is None:
        return z.new_zeros(len(z), dtype=torch.float64)
    return space.chosen(name).log_prob(z).double()


def _blocks(problem: Problem, values: int) -> Iterator[Tensor]:
    """Indices of images whose Jacobians, of so many values, fit in memory together."""
    rows = torch.arange(len(problem), device=problem.target.device)
    yield from rows.split(max(1, BLOCK // (values * min(problem.d, DENSE))))


def _where(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Rows of a where the mask (B,) is true, else of b."""
    return torch.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b)


def _sentence(free: int, d: int, std: float, prior: float) -> str:
    if not free:
        return f"the image determines all {d} latents; the least certain direction to ±{std:.2g}"
    return (
        f"the image leaves {free} of {d} directions open; "
        f"the widest to ±{std:.2g}, where ±{prior:.2g} was known before"
    )
