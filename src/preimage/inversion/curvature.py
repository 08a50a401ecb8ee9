"""How the values a = A(G(z)) turn with the latent: the eigenvectors of Lᵀ JᵀJ L, J = da/dz.

By the whole Jacobian where the latent is small; by products with it (Lanczos) where it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import jvp as forward_mode

from preimage.core import seeds
from preimage.inversion.jacobian import jacobian, jvp, vjp
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Problem, Weighted

DENSE = 128  # latents up to which the whole Jacobian is formed


@dataclass(frozen=True)
class Curvature:
    """At latents z (B, d) with L w = z; all in float64."""

    squared_error: Tensor  # ‖a − y‖²: (B,)
    values: Tensor  # (B,): how many values of y were seen
    gradient: Tensor  # Lᵀ Jᵀ (a − y): (B, d)
    eigenvalues: Tensor  # (B, k), descending, at least 0
    basis: Tensor  # V: (B, d, k), orthonormal columns


def curvature(problem: Problem, z: Tensor, factor: Tensor, *, rank: int) -> Curvature:
    """All d eigenvectors of Lᵀ JᵀJ L where d ≤ 128, else about the `rank` leading ones.

    factor: L, (B, d, d) or (B, 1, 1) for a multiple of the identity.
    """
    problem = of_values(problem)
    return (
        _by_jacobian(problem, z, factor)
        if z.shape[1] <= DENSE
        else _by_lanczos(problem, z, factor, rank)
    )


class Values:
    """The term Σ wᵢ (aᵢ − yᵢ)²: every value as it is, as far as it was seen."""

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> Tensor:
        return torch.stack([y, torch.ones_like(y) if weights is None else weights], 1)

    def loss(self, a: Tensor, prepared: Tensor) -> Tensor:
        return self.residual(a, prepared).square().sum(1)

    def residual(self, a: Tensor, prepared: Tensor) -> Tensor:
        y, w = prepared.unbind(1)
        return (w.sqrt() * (a - y)).flatten(1)


def of_values(problem: Problem) -> Problem:
    """The same observation with the residual √w (a − y) and nothing else."""
    through, y = problem.through, problem.target
    weights = through.weights(y) if isinstance(through, Weighted) else None
    objective = Objective({"values": (1.0, Values())})
    return replace(problem, objective=objective, prepared=objective.prepare(y, weights))


def values_seen(problem: Problem) -> Tensor:
    """How many values of each y were seen, half seen counting a half: (B,), of `of_values`."""
    return problem.prepared["values"][:, 1].flatten(1).sum(1)


def jacobian_of_images(problem: Problem, z: Tensor) -> Tensor:
    """dG/dz of whole images: (B, C·H·W, d)."""
    unseen = problem.target.new_zeros(len(z), *problem.model.data.shape)
    whole = replace(problem, through=Identity(), target=unseen)
    return jacobian(of_values(whole), z)[1]


def image_tangents(problem: Problem, z: Tensor, tangents: Tensor) -> Tensor:
    """(dG/dz) δ of whole images, for tangents δ (B, d, n): (B, C·H·W, n)."""
    columns = [
        forward_mode(problem.images, (z,), (δ.contiguous(),))[1].flatten(1)
        for δ in tangents.unbind(2)
    ]
    return torch.stack(columns, 2)


def unwhiten(factor: Tensor, w: Tensor) -> Tensor:
    """L w: (B, d, n) → (B, d, n)."""
    return factor @ w if factor.shape[1] > 1 else factor * w


def pull_back(factor: Tensor, g: Tensor) -> Tensor:
    """Lᵀ g: (B, d, n) → (B, d, n)."""
    return factor.mT @ g if factor.shape[1] > 1 else factor * g


def whiten(factor: Tensor, δ: Tensor) -> Tensor:
    """L⁻¹ δ: (B, d, n) → (B, d, n)."""
    if factor.shape[1] == 1:
        return δ / factor
    return torch.linalg.solve_triangular(factor, δ, upper=False)


def log_determinant(factor: Tensor, d: int) -> Tensor:
    """log det L of a latent of d numbers: (B,)."""
    logs = factor.diagonal(dim1=1, dim2=2).log()
    return d * logs[:, 0] if factor.shape[1] == 1 else logs.sum(1)


def _by_jacobian(problem: Problem, z: Tensor, factor: Tensor) -> Curvature:
    r, J = jacobian(problem, z)
    J = J.nan_to_num(0, 0, 0).double()  # a latent without an image says nothing
    r = r.nan_to_num(0, 0, 0).double()
    J = pull_back(factor, J.mT).mT  # J L
    eigenvalues, V = torch.linalg.eigh(J.mT @ J)
    return Curvature(
        squared_error=r.square().sum(1),
        values=values_seen(problem),
        gradient=(J.mT @ r[:, :, None])[:, :, 0],
        eigenvalues=eigenvalues.flip(1).clamp_min(0),
        basis=V.flip(2),
    )


def _by_lanczos(problem: Problem, z: Tensor, factor: Tensor, rank: int) -> Curvature:
    r, pullback = vjp(problem, z)

    def forward(w: Tensor) -> Tensor:
        v = unwhiten(factor, w[:, :, None])[:, :, 0]
        return jvp(problem, z, v.to(z))[1].nan_to_num(0, 0, 0)

    def backward(u: Tensor) -> Tensor:
        g = pullback(u).nan_to_num(0, 0, 0).double()
        return pull_back(factor, g[:, :, None])[:, :, 0]

    first = torch.randn(z.shape[1], generator=seeds.generator(0, "lanczos"), dtype=torch.float64)
    first = first.to(z.device).expand(len(z), -1)
    r = r.nan_to_num(0, 0, 0)
    eigenvalues, V = lanczos(lambda w: backward(forward(w)), first, rank=min(rank, z.shape[1] - 1))
    return Curvature(
        squared_error=r.double().square().sum(1),
        values=values_seen(problem),
        gradient=backward(r),
        eigenvalues=eigenvalues,
        basis=V,
    )


def lanczos(H: Callable[[Tensor], Tensor], first: Tensor, *, rank: int) -> tuple[Tensor, Tensor]:
    """Leading eigenvalues (B, k) and vectors (B, d, k) of symmetric H ≥ 0, one for each row.

    k = min(rank, d) products H: (B, d) → (B, d), from the vectors `first`. Every new vector is made
    orthogonal to all before it, twice (Golub & Van Loan, "Matrix Computations", §10.3.4). Where H
    has fewer eigenvectors to show, the rest of V is zero, with eigenvalue 0.
    """
    B, d = first.shape
    k = min(rank, d)
    Q = first.new_zeros(B, d, k)
    T = first.new_zeros(B, k, k)
    q = first / first.norm(dim=1, keepdim=True)
    for i in range(k):
        Q[:, :, i] = q
        w = H(q)
        T[:, i, i] = (w * q).sum(1)
        for _ in range(2):
            w = w - (Q @ (Q.mT @ w[:, :, None]))[:, :, 0]
        β = w.norm(dim=1)
        exhausted = β <= 1e-7 * T.diagonal(dim1=1, dim2=2).amax(1)
        β = β.masked_fill(exhausted, 0)
        q = torch.where(exhausted[:, None], 0, w / β[:, None].clamp_min(1e-300))
        if i + 1 < k:
            T[:, i, i + 1] = T[:, i + 1, i] = β
    eigenvalues, S = torch.linalg.eigh(T)
    return eigenvalues.flip(1).clamp_min(0), Q @ S.flip(2)
