"""L-BFGS with an initial matrix from JᵀJ: for images that the generator cannot draw exactly.

What is left over of such an image is not small, and Gauss–Newton's matrix 2 JᵀJ lacks the curvature
that belongs to it: Levenberg–Marquardt creeps, at a Jacobian a step. L-BFGS learns what is lacking
from gradients, each at a small part of a Jacobian's price, but has all of F's curvature to learn.
Here it begins with what one Jacobian says, or the mean of many,

    H ≈ (2 (JᵀJ + λ c I))⁻¹,    c the mean of JᵀJ's diagonal,

and pairs correct that (Nocedal & Wright, "Numerical Optimization", 2nd ed., §7.2: the initial
matrix of algorithm 7.4 is free, and may change). Jacobians are taken anew, ever more seldom.

Cost: a decoding and its gradient an iteration, and now and then d decodings at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from preimage.inversion.jacobian import jacobian
from preimage.inversion.problem import Problem
from preimage.inversion.search import Search
from preimage.inversion.solvers.lbfgs import lbfgs

DAMPING = 1e-2  # λ
HISTORY = 7  # pairs; with ten, searches took no fewer iterations, and each was longer
MEMORY = 1 << 26  # bytes of Jacobians held at a time


def preconditioned_lbfgs(
    problem: Problem,
    z: Tensor,
    *,
    steps: int = 60,
    tolerance: float = 0.0,
    fall: float = 1e-4,
    curvature: Tensor | None = None,
) -> Iterator[Search]:
    """Minimise F = ‖R‖² from latents z (B, d). A solver: see `search.Solver`.

    fall: see `lbfgs`.
    curvature: (d, d), a mean of JᵀJ to begin with; without it each image's own is.

    Raises Unsupported where the objective is no sum of squares.
    """
    return lbfgs(
        problem,
        z,
        steps=steps,
        tolerance=tolerance,
        fall=fall,
        history=HISTORY,
        inverse=gauss_newton_inverse,
        renewals=renewals(problem.d),
        known=None if curvature is None else damped_inverse(curvature[None])[0],
    )


def renewals(d: int) -> tuple[int, ...]:
    """Iterations at which a Jacobian of d latents is taken anew.

    First where iterations have taken about as long as it takes, a fifth of a gradient a latent.
    """
    first = max(30, d // 5)
    return first, 4 * first, 16 * first


def gauss_newton_inverse(problem: Problem, z: Tensor) -> Tensor:
    """(2 (JᵀJ + λ c I))⁻¹ at latents z (M, d): (M, d, d)."""
    size = max(1, MEMORY // (4 * z.shape[1] * problem.target[0].numel()))
    found = []
    for rows in torch.arange(len(z), device=z.device).split(size):
        J = jacobian(problem.select(rows), z[rows])[1]
        found.append(damped_inverse(J.mT @ J))
    return torch.cat(found)


def damped_inverse(H: Tensor) -> Tensor:
    """(2 (H + λ c I))⁻¹ of matrices (M, d, d); the identity for one that has none."""
    c = H.diagonal(dim1=1, dim2=2).mean(1)
    damped = H.clone()
    damped.diagonal(dim1=1, dim2=2).add_((DAMPING * c)[:, None] + 1e-20)
    L, failed = torch.linalg.cholesky_ex(2 * damped)
    P = torch.cholesky_inverse(L)
    unknown = (failed != 0) | ~P.flatten(1).isfinite().all(1)
    return torch.where(unknown[:, None, None], torch.eye(H.shape[1]).to(P), P)
