"""The two loops of L-BFGS against the matrix that they stand for."""

from __future__ import annotations

import importlib

import pytest
import torch

lbfgs = importlib.import_module("preimage.inversion.solvers.lbfgs")  # a solver has its name


@pytest.mark.parametrize("given", ["nothing", "one for all", "one each"])
def test_the_product_is_that_of_the_bfgs_matrix(given: str) -> None:
    """H ← (I − ρ s yᵀ) H (I − ρ y sᵀ) + ρ s sᵀ of each pair (Nocedal & Wright, equation 6.17)."""
    random = torch.Generator().manual_seed(0)
    M, h, d = 5, 4, 6
    A = torch.randn(d, d, generator=random).double()
    S = torch.randn(M, h, d, generator=random).double()
    Y, g = S @ (A @ A.T + torch.eye(d)), torch.randn(M, d, generator=random).double()
    ρ = 1 / (S * Y).sum(2)
    ρ[3, :2] = 0  # pairs that were never made
    ρ[4] = 0
    B = torch.randn(M, d, d, generator=random).double()
    Ps = {"one for all": (B @ B.mT)[0], "one each": B @ B.mT}
    P = Ps.get(given)
    z = torch.zeros_like(g)
    state = lbfgs.begin(z, z[:, 0], g, h, lbfgs.InitialMatrix(P))
    state.S, state.Y, state.ρ = S, Y, ρ
    product = lbfgs.inverse_hessian_product(state, g)
    for i in range(M):
        own = torch.eye(d).double() if P is None else P if P.ndim == 2 else P[i]
        γ = (S[i, -1] @ Y[i, -1]) / (Y[i, -1] @ own @ Y[i, -1]) if ρ[i, -1] else torch.ones(())
        H = own * (γ if P is None else γ.sqrt())
        for s, y, r in zip(S[i], Y[i], ρ[i], strict=True):
            V = torch.eye(d) - r * torch.outer(y, s)
            H = V.T @ H @ V + r * torch.outer(s, s)
        assert torch.allclose(product[i], H @ g[i], rtol=1e-8)
    if given == "nothing":  # what the last pair says is kept to the letter
        assert torch.allclose(lbfgs.inverse_hessian_product(state, Y[:, -1])[:4], S[:4, -1])
