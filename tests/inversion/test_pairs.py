"""What L-BFGS makes of its pairs, against the matrix that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from preimage.inversion.solvers.lbfgs import (
    TRIES,
    InitialMatrix,
    advance,
    begin,
    inverse_hessian_product,
)

M, H, D = 4, 5, 7  # images, pairs, latents


def random(*size: int, seed: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def positive(*size: int, seed: int) -> Tensor:
    """Symmetric matrices (…, d, d) without an eigenvalue below 1/2."""
    A = random(*size, D, D, seed=seed) / D**0.5
    return A @ A.mT + 0.5 * torch.eye(D)


def updated(γP: Tensor, S: Tensor, Y: Tensor, there: Tensor) -> Tensor:
    """H of one image, pair after pair: Nocedal & Wright, equation 7.16. S, Y: (h, d)."""
    matrix = γP
    for s, y in zip(S[there], Y[there], strict=True):
        ρ = 1 / (s @ y)
        V = torch.eye(D) - ρ * torch.outer(y, s)
        matrix = V.T @ matrix @ V + ρ * torch.outer(s, s)
    return matrix


@pytest.mark.parametrize("of", ["none", "one for all", "one each"])
def test_the_product_is_that_of_the_matrix(of: str):
    P = {"none": None, "one for all": positive(seed=1), "one each": positive(M, seed=2)}[of]
    g = random(M, D, seed=3)
    state = begin(random(M, D, seed=4), g.new_zeros(M), g, H, InitialMatrix(P))
    state.S = random(M, H, D, seed=5)
    state.Y = (positive(M, seed=6) @ state.S.mT).mT  # gradients of a bowl: every sᵀy > 0
    state.ρ = 1 / (state.S * state.Y).sum(2)
    state.ρ[1, :3] = 0  # an image with few pairs,
    state.ρ[2] = 0  # one that forgot all of them,
    state.ρ[3, 1] = 0  # and one with a gap
    found = inverse_hessian_product(state, g)
    for i in range(M):
        own = torch.eye(D) if P is None else P.expand(M, D, D)[i]
        s, y = state.S[i, -1], state.Y[i, -1]
        γ = (s @ y) / (y @ own @ y) if state.ρ[i, -1] else torch.tensor(1.0)
        γ = γ if P is None else γ.sqrt()
        expected = updated(γ * own, state.S[i], state.Y[i], state.ρ[i] > 0) @ g[i]
        assert torch.allclose(found[i], expected, rtol=1e-3, atol=1e-4), i


def test_images_keep_their_own_matrix_when_others_leave():
    v, rows = random(M, 1, D, seed=7), torch.tensor([3, 1])
    for P in (None, positive(seed=8), positive(M, seed=9)):
        matrix = InitialMatrix(P)
        assert torch.allclose(matrix[rows](v[rows]), matrix(v)[rows], atol=1e-6)


def test_who_finds_nothing_lower_forgets_its_pairs_and_only_then_gives_up():
    g = random(M, D, seed=10)
    state = begin(random(M, D, seed=11), g.new_zeros(M), g, H, InitialMatrix())
    state.S = state.Y = random(M, H, D, seed=12)
    state.ρ = torch.ones(M, H)
    higher = g.new_ones(M)
    for gives_up in (False, True):
        state.tries[:] = TRIES - 1
        state, stuck = advance(state, state.z + state.t[:, None] * state.p, higher, g, fall=0)
        assert (stuck == gives_up).all()
        assert not state.ρ.any()
        assert torch.allclose(state.p, -g)
