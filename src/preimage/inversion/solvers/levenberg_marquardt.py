"""Levenberg–Marquardt on every image by itself: F = ‖R‖², s = −(JᵀJ + λ c I)⁻¹ JᵀR.

Damping by the gain ratio: Nielsen, "Damping Parameter in Marquardt's Method", 1999; Madsen, Nielsen
& Tingleff, "Methods for Non-Linear Least Squares Problems", 2nd ed., algorithm 3.16. c is the mean
of JᵀJ's diagonal, so that λ means the same for every generator. Between Jacobians, Broyden's
rank-one updates (ibid., equation 3.31) as long as each step divides F by 8 at least.

Cost: one decoding an iteration, and where a Jacobian is due d of them at once. For latents of up to
about 128 numbers; m < d is no difficulty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import seeds
from preimage.inversion.jacobian import jacobian
from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Status
from preimage.inversion.solvers.active import Active

FLOOR, CEILING = 1e-7, 1e8  # of λ: below, float32 cannot factor JᵀJ; above, nothing moves
MEMORY = 1 << 25  # bytes of Jacobians held at a time: more gained nothing, less cost a tenth


@dataclass
class State:
    """Of M images. J is kept transposed, (M, d, m): contiguous along residuals."""

    z: Tensor  # (M, d)
    r: Tensor  # (M, m): R(z)
    f: Tensor  # (M,): ‖R‖²
    Jt: Tensor  # (M, d, n), n = m or the pixels it is restricted to
    H: Tensor  # (M, d, d): JᵀJ
    λ: Tensor  # (M,): damping
    ν: Tensor  # (M,): what a rejected step multiplies it by
    due: Tensor  # (M,) bool: a Jacobian is due
    fresh: Tensor  # (M,) bool: J is the Jacobian at z, without updates
    idle: Tensor  # (M,): steps in a row that brought little


@torch.no_grad()
def levenberg_marquardt(
    problem: Problem,
    z: Tensor,
    *,
    steps: int = 60,
    tolerance: float = 0.0,
    damping: float = 1e-2,
    reuse: float = 8.0,
    dtype: torch.dtype | None = None,
    pixels: int | None = None,
    fall: float = 1e-4,
    patience: int = 2,
    memory: int = MEMORY,
) -> Iterator[Search]:
    """Minimise F = ‖R‖² from latents z (B, d).

    damping: λ at first.
    reuse: a new Jacobian is computed where a step divides F by less than this; `inf` computes one
        at every iteration.
    dtype: torch.bfloat16 computes Jacobians in it; R and F never are.
    pixels: residuals that JᵀJ is computed from, a fixed random subset; F and its gradient are
        of all residuals. The gradient then costs a pass backwards an iteration.
    fall, patience: an image is finished after so many steps in a row, with Jacobians that were
        computed there, that each lowered its F by less than that share.
    memory: bytes of Jacobians held at a time; images wait their turn, in order.

    Raises Unsupported where the objective is no sum of squares.
    """
    active = Active.begin(problem, z, tolerance=tolerance)
    search, rows = active.search, active.rows
    if len(rows) and steps:
        m, subset = residuals(problem.select(rows[:1]), z[rows[:1]], pixels)
        size = max(1, memory // (4 * z.shape[1] * m))
        for block in rows.split(size):
            active = Active(search, problem, block, tolerance=tolerance)
            state = begin(active.problem, active.z, damping)
            search.evaluations[block] += 1
            for iteration in range(steps):
                due = state.due.clone()
                renew(active.problem, state, subset, dtype)
                trial, predicted = step(active.problem, state, subset, iteration)
                r = active.problem.residual(trial)
                active.spend(1 + z.shape[1] * due)
                judge(state, trial, r, predicted, subset=subset, reuse=reuse, fall=fall)
                active.improve(state.z, state.f)
                active.finish(~predicted.isfinite(), Status.FAILED)
                active.finish((state.idle >= patience) | (state.λ >= CEILING), Status.STALLED)
                state = active.compact(state)
                yield search
                if not len(active):
                    break
            search.finish(active.rows, Status.LIMIT)
    search.finish(search.active, Status.LIMIT)
    yield search


def begin(problem: Problem, z: Tensor, damping: float) -> State:
    """At latents z (M, d), every Jacobian due."""
    r = problem.residual(z)
    one, none = r.new_ones(len(z)), r.new_empty(len(z), 0, 0)
    yes, zero = one.bool(), torch.zeros_like(one, dtype=torch.int64)
    return State(
        z, r, r.square().sum(1), none, none, damping * one, 2 * one, yes, yes.clone(), zero
    )


def renew(problem: Problem, state: State, subset: Tensor | None, dtype: torch.dtype | None) -> None:
    """Compute the Jacobians that are due."""
    rows = state.due.nonzero()[:, 0]
    if not len(rows):
        return
    every = len(rows) == len(state.z)
    part = problem if every else problem.select(rows)
    Jt = jacobian(part, state.z if every else state.z[rows], dtype=dtype, rows=subset)[1].mT
    H = Jt @ Jt.mT
    if every:
        state.Jt, state.H = Jt, H
    else:
        state.Jt[rows], state.H[rows] = Jt, H
    state.fresh[rows], state.due[rows] = True, False


def step(
    problem: Problem, state: State, subset: Tensor | None, iteration: int
) -> tuple[Tensor, Tensor]:
    """The latents to try (M, d), and the fall of F that the linear model predicts for them (M,)."""
    if subset is None:
        g = (state.Jt @ state.r[:, :, None])[:, :, 0]
    else:
        g = problem.loss_and_gradient(state.z)[1] / 2
    trial = state.z - damped_solve(state.H, g, state.λ)
    trial = problem.project(trial, iteration=iteration)
    s = trial - state.z
    return trial, -(2 * g * s).sum(1) - (s * (state.H @ s[:, :, None])[:, :, 0]).sum(1)


def damped_solve(H: Tensor, g: Tensor, λ: Tensor) -> Tensor:
    """(H + λ c I)⁻¹ g by Cholesky, at higher λ where that fails: (M, d).

    λ is raised in place. An H that is not finite gives a step that is not.
    """
    c, L = H.diagonal(dim1=1, dim2=2).mean(1), H
    for _ in range(12):  # up to λ = 10⁵, whatever it was
        damped = H.clone()
        damped.diagonal(dim1=1, dim2=2).add_((λ * c)[:, None] + 1e-20)
        L, info = torch.linalg.cholesky_ex(damped)
        failed = (info != 0) & c.isfinite()
        if not failed.any():
            break
        λ[failed] *= 10
    return torch.cholesky_solve(g[:, :, None], L)[:, :, 0]


def judge(
    state: State,
    trial: Tensor,
    r: Tensor,
    predicted: Tensor,
    *,
    subset: Tensor | None,
    reuse: float,
    fall: float,
) -> None:
    """Take the steps that lower F, adapt the damping, and say which Jacobians are due."""
    f = r.square().sum(1)
    taken = f < state.f  # not where it is no number
    gain = ((state.f - f) / predicted.clamp_min(1e-30)).nan_to_num(0, 0, 0).clamp(-1, 1)
    # Madsen et al., equation 2.21 with β = γ = 8: fast where the model is good
    easier = (1 - 7 * (2 * gain - 1) ** 3).clamp(1 / 8, 8)
    harder = ~taken & state.fresh  # else the Jacobian may be to blame
    λ = torch.where(taken, state.λ * easier, torch.where(harder, state.λ * state.ν, state.λ))
    state.λ = λ.clamp(FLOOR, CEILING)
    state.ν = torch.where(harder, 2 * state.ν, 2.0)
    small = state.fresh & (torch.where(taken, state.f - f, predicted) <= fall * state.f)
    state.idle = torch.where(small, state.idle + 1, torch.where(taken, 0, state.idle))

    good = taken & (f * reuse < state.f)
    broyden(state, trial, r, good, subset)
    state.due = (taken & ~good) | (~taken & ~state.fresh)
    state.fresh = state.fresh & ~taken
    one = taken[:, None]
    state.z, state.r = torch.where(one, trial, state.z), torch.where(one, r, state.r)
    state.f = torch.where(taken, f, state.f)


def broyden(state: State, trial: Tensor, r: Tensor, which: Tensor, subset: Tensor | None) -> None:
    """J ← J + w sᵀ / sᵀs with w = ΔR − J s, and JᵀJ with it, for a mask (M,) of images."""
    rows = which.nonzero()[:, 0]
    if not len(rows):
        return
    s = trial[rows] - state.z[rows]
    y = restricted(r[rows] - state.r[rows], subset, state.Jt.shape[2])
    Jt = state.Jt[rows]
    w = y - (s[:, None] @ Jt)[:, 0]
    u = s / s.square().sum(1, keepdim=True)
    a = (Jt @ w[:, :, None])[:, :, 0]  # Jᵀw
    a = a + 0.5 * w.square().sum(1, keepdim=True) * u
    outer = a[:, :, None] * u[:, None]
    state.H[rows] += outer + outer.mT
    state.Jt[rows] = Jt.baddbmm_(u[:, :, None], w[:, None])


def restricted(r: Tensor, subset: Tensor | None, n: int) -> Tensor:
    """Residuals (M, m) as `jacobian` restricts and scales them: (M, n)."""
    if subset is None:
        return r
    latent = n - len(subset)
    pixels = r[:, : r.shape[1] - latent]
    scale = math.sqrt(pixels.shape[1] / len(subset))
    return torch.cat([scale * pixels[:, subset], r[:, r.shape[1] - latent :]], 1)


def residuals(problem: Problem, z: Tensor, pixels: int | None) -> tuple[int, Tensor | None]:
    """How many residuals a Jacobian has, and which of the image's (indices); None for all."""
    of_latent = problem.objective.latent_residual(z)
    m, k = problem.residual(z).shape[1], 0 if of_latent is None else of_latent.shape[1]
    if pixels is None or pixels >= m - k:
        return m, None
    subset = torch.randperm(m - k, generator=seeds.generator(0, "pixels"))[:pixels]
    return pixels + k, subset.sort().values.to(z.device)
