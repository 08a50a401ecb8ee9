"""Gauss–Newton without a Jacobian: (JᵀJ + λ c I) s = −JᵀR by truncated conjugate gradients.

Products J v by forward mode and Jᵀu by reverse mode. Steihaug's truncation: Nocedal & Wright,
"Numerical Optimization", 2nd ed., algorithm 7.2 (JᵀJ has no negative curvature); damping and
acceptance as in `levenberg_marquardt`. For latents of more than about 128 numbers.

Cost: two decodings and a gradient an iteration, and a decoding with its tangent and a gradient for
every step of the inner loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.inversion.jacobian import jvp, vjp
from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Status
from preimage.inversion.solvers.active import Active

FLOOR, CEILING = 1e-8, 1e8  # of λ


@dataclass
class State:
    z: Tensor  # (M, d)
    f: Tensor  # (M,): ‖R‖²
    λ: Tensor  # (M,): damping, in units of the curvature along the gradient
    ν: Tensor  # (M,): what a rejected step multiplies it by
    idle: Tensor  # (M,): steps in a row that brought little


@torch.no_grad()
def gauss_newton(
    problem: Problem,
    z: Tensor,
    *,
    steps: int = 60,
    tolerance: float = 0.0,
    damping: float = 1e-3,
    products: int = 30,
    fall: float = 1e-4,
    patience: int = 2,
) -> Iterator[Search]:
    """Minimise F = ‖R‖² from latents z (B, d).

    damping: λ at first, in units of the curvature along the gradient.
    products: steps of the inner loop at most.
    fall, patience: an image is finished after so many steps in a row that each lowered its F by
        less than that share.

    Raises Unsupported where the objective is no sum of squares.
    """
    active = Active.begin(problem, z, tolerance=tolerance)
    one = torch.ones_like(active.loss)
    idle = torch.zeros_like(active.rows)
    state = State(active.z, active.loss, damping * one, 2 * one, idle)
    for iteration in range(steps):
        if not len(active):
            break
        r, pullback = vjp(active.problem, state.z)
        g = pullback(r)
        s, predicted, spent = truncated_cg(
            active.problem, state.z, pullback, g, state.λ, products=products
        )
        trial = active.problem.project(state.z + s, iteration=iteration)
        f = active.problem.residual(trial).square().sum(1)
        active.spend(2 + 2 * spent)
        judge(state, trial, f, predicted, fall=fall)
        active.improve(state.z, state.f)
        active.finish(~predicted.isfinite(), Status.FAILED)
        active.finish((state.idle >= patience) | (state.λ >= CEILING), Status.STALLED)
        state = active.compact(state)
        yield active.search
    active.search.finish(active.search.active, Status.LIMIT)
    yield active.search


def truncated_cg(
    problem: Problem,
    z: Tensor,
    pullback: Callable[[Tensor], Tensor],
    g: Tensor,
    λ: Tensor,
    *,
    products: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """s (M, d), the fall of F that the linear model predicts for it (M,), and products spent (M,).

    Each image's loop ends at a residual below √min(0.1, ‖g‖) ‖g‖, or a hundredth of ‖g‖.
    """
    s, e, p = torch.zeros_like(g), -g, -g  # e: the equations' residual
    ee = e.square().sum(1)
    enough = ee * ee.sqrt().clamp_max(0.1).clamp_min(1e-4)  # of ‖e‖²: superlinear convergence
    c, Hs = torch.zeros_like(λ), torch.zeros_like(g)
    spent = torch.zeros_like(λ, dtype=torch.int64)
    running = ee > 0
    for i in range(products):
        if not running.any():
            break
        Hp = pullback(jvp(problem, z, p)[1])
        spent += running
        if i == 0:  # the curvature along the gradient is the scale of the damping
            c = (p * Hp).sum(1) / ee.clamp_min(1e-30)
        pAp = (p * Hp).sum(1) + λ * c * p.square().sum(1)
        α = torch.where(running & (pAp > 0), ee / pAp, 0)[:, None]
        s, Hs = s + α * p, Hs + α * Hp
        e = e - α * (Hp + (λ * c)[:, None] * p)
        ee, before = e.square().sum(1), ee
        running = running & (pAp > 0) & (ee > enough)
        p = torch.where(running[:, None], e + (ee / before)[:, None] * p, p)
    return s, -(2 * g * s + s * Hs).sum(1), spent


def judge(state: State, trial: Tensor, f: Tensor, predicted: Tensor, *, fall: float) -> None:
    """Take the steps that lower F, and adapt the damping to how good the linear model was."""
    taken = f < state.f  # not where it is no number
    fell = state.f - f
    gain = (fell / predicted.clamp_min(1e-30)).nan_to_num(0, 0, 0).clamp(-1, 1)
    easier = (1 - 7 * (2 * gain - 1) ** 3).clamp(1 / 8, 8)
    state.λ = (state.λ * torch.where(taken, easier, state.ν)).clamp(FLOOR, CEILING)
    state.ν = torch.where(taken, 2.0, 2 * state.ν)
    small = torch.where(taken, fell, predicted) <= fall * state.f
    state.idle = torch.where(small, state.idle + 1, torch.where(taken, 0, state.idle))
    state.z = torch.where(taken[:, None], trial, state.z)
    state.f = torch.where(taken, f, state.f)
