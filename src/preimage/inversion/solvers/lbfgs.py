"""L-BFGS on every image by itself, each with its own curvature pairs and line search.

Two-loop recursion: Nocedal & Wright, "Numerical Optimization", 2nd ed., algorithm 7.4. The line
search brackets a step that satisfies the weak Wolfe conditions (Lewis & Overton, "Nonsmooth
optimization via quasi-Newton methods", 2013, algorithm 2.6), which generators with ReLUs need,
with interpolation in place of bisection. Images do not wait for one another: each evaluation serves
every image at whatever stage of its own line search it is.

Cost: one decoding and its gradient an iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Status
from preimage.inversion.solvers.active import Active

C1, C2 = 1e-4, 0.9  # Armijo's and Wolfe's constants
TRIES = 20  # evaluations of one line search at most

Inverse = Callable[[Problem, Tensor], Tensor]
"""Latents (M, d) → what is known beforehand of F's inverse Hessian there, (M, d, d)."""


@dataclass(frozen=True)
class InitialMatrix:
    """What pairs correct, of M images: a matrix each, one for all of them, or the identity."""

    P: Tensor | None = None  # (M, d, d) or (d, d), symmetric

    def __getitem__(self, rows: Tensor) -> InitialMatrix:
        """That of some of the images."""
        if self.P is None or self.P.ndim == 2:
            return self
        return InitialMatrix(self.P[rows])

    def __call__(self, V: Tensor) -> Tensor:
        """P v of each image's vectors v: (M, n, d) → (M, n, d)."""
        return V if self.P is None else V @ self.P


@dataclass
class State:
    """Of M images: φ(t) = F(z + t p), and h pairs s = Δz, y = Δg; the latest stands last."""

    z: Tensor  # (M, d)
    f: Tensor  # (M,)
    g: Tensor  # (M, d)
    p: Tensor  # (M, d): direction
    slope: Tensor  # (M,): φ′(0)
    t: Tensor  # (M,): the step to be tried
    low: Tensor  # (M, 3): the longest step known to be too short, φ and φ′ there
    high: Tensor  # (M,): the shortest step known to be too long
    tries: Tensor  # (M,): evaluations of this line search
    idle: Tensor  # (M,): line searches in a row that brought little
    S: Tensor  # (M, h, d)
    Y: Tensor  # (M, h, d)
    ρ: Tensor  # (M, h): 1 / sᵀy, 0 where there is no pair
    P: InitialMatrix


@torch.no_grad()
def lbfgs(
    problem: Problem,
    z: Tensor,
    *,
    steps: int = 200,
    tolerance: float = 0.0,
    history: int = 10,
    fall: float = 1e-5,
    patience: int = 3,
    inverse: Inverse | None = None,
    renewals: Collection[int] = (),
    known: Tensor | None = None,
) -> Iterator[Search]:
    """Minimise F from latents z (B, d).

    history: pairs that are kept.
    inverse: what pairs correct, in place of the identity; asked at first and at the iterations
        `renewals`, and counted as d decodings.
    known: (d, d), what pairs correct at first, of all images; then nothing is asked at first.
    fall, patience: an image is finished after so many steps in a row that each lowered its loss by
        less than that share, or where not even a direction without pairs finds a lower one.
    """
    active = Active.begin(problem, z, tolerance=tolerance)
    if not len(active):
        yield active.search
        return
    P, d = InitialMatrix(known), active.problem.d
    active.search.evaluations[active.rows] += 1
    if known is None and inverse is not None and steps:
        P = InitialMatrix(inverse(active.problem, active.z))
        active.search.evaluations[active.rows] += d
    state = begin(active.z, *active.problem.loss_and_gradient(active.z), history, P)
    for step in range(steps):
        if not len(active):
            break
        if inverse is not None and step in renewals:
            state.P = InitialMatrix(inverse(active.problem, state.z))
            active.search.evaluations[active.rows] += d
        trial = active.problem.project(state.z + state.t[:, None] * state.p, iteration=step)
        f, g = active.problem.loss_and_gradient(trial)
        active.spend(1)
        active.improve(trial, f)
        state, stuck = advance(state, trial, f, g, fall=fall)
        active.finish(stuck | (state.idle >= patience), Status.STALLED)
        state = active.compact(state)
        yield active.search
    active.search.finish(active.search.active, Status.LIMIT)
    yield active.search


def begin(
    z: Tensor, f: Tensor, g: Tensor, history: int, P: InitialMatrix = InitialMatrix()
) -> State:
    M, d = z.shape
    pairs, none = z.new_zeros(M, history, d), z.new_zeros(M)
    count = torch.zeros(M, dtype=torch.int64, device=z.device)
    state = State(
        z, f, g, g, none, none, none[:, None].expand(-1, 3), none, count, count.clone(),
        pairs, pairs.clone(), z.new_zeros(M, history), P,
    )  # fmt: skip
    return aim(state, torch.ones_like(count, dtype=torch.bool))


def advance(state: State, z: Tensor, f: Tensor, g: Tensor, *, fall: float) -> tuple[State, Tensor]:
    """One evaluation later, at z = z₀ + t p; and which images can go no further: (M,)."""
    finite = f.isfinite() & g.isfinite().all(1)
    dφ = (g * state.p).sum(1)
    short = finite & (f <= state.f + C1 * state.t * state.slope)  # Armijo's condition
    done = short & (dφ >= C2 * state.slope)
    spent = ~done & (state.tries + 1 >= TRIES)
    done = done | (spent & finite & (f < state.f))  # better than nothing
    lost = spent & ~done
    stuck = lost & ~state.ρ.any(1)  # the direction owed nothing to pairs

    low, high, t = narrowed(state, torch.where(finite, f, torch.inf), dφ, short)
    fell = (state.f - f) > fall * state.f.abs()
    idle = torch.where(done, torch.where(fell, 0, state.idle + 1), state.idle)
    S, Y, ρ = remembered(state, z - state.z, g - state.g, done)
    ρ = torch.where(lost[:, None], 0, ρ)  # forget, and go by the gradient
    one = done[:, None]
    state = State(
        torch.where(one, z, state.z), torch.where(done, f, state.f), torch.where(one, g, state.g),
        state.p, state.slope, t, low, high, state.tries + 1, idle, S, Y, ρ, state.P,
    )  # fmt: skip
    return aim(state, done | lost), stuck


def narrowed(state: State, f: Tensor, dφ: Tensor, short: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The bracket (low, high) after φ(t) = f, φ′(t) = dφ, and the next step to try."""
    a, φ_a, dφ_a = state.low.unbind(1)
    # too long: the minimum of the parabola through φ(a), φ′(a), φ(t)
    Δ = state.t - a
    parabola = -dφ_a * Δ.square() / (2 * (f - φ_a - dφ_a * Δ))
    parabola = torch.where(parabola.isfinite(), parabola, 0.1 * Δ)
    back = a + torch.minimum(torch.maximum(parabola, 0.1 * Δ), 0.5 * Δ)
    # too short: twice the step, or into the middle of the bracket
    on = torch.where(state.high.isinf(), 2 * state.t, 0.5 * (state.t + state.high))
    low = torch.where(short[:, None], torch.stack([state.t, f, dφ], 1), state.low)
    high = torch.where(short, state.high, state.t)
    return low, high, torch.where(short, on, back)


def remembered(state: State, s: Tensor, y: Tensor, done: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """S, Y, ρ with the pair (s, y) of images that took a step, where its curvature is positive."""
    sy = (s * y).sum(1)
    keep = done & (sy > 1e-7 * s.norm(dim=1) * y.norm(dim=1))
    new = 1 / torch.where(keep, sy, 1)
    one, two = keep[:, None], keep[:, None, None]
    S = torch.where(two, torch.cat([state.S[:, 1:], s[:, None]], 1), state.S)
    Y = torch.where(two, torch.cat([state.Y[:, 1:], y[:, None]], 1), state.Y)
    return S, Y, torch.where(one, torch.cat([state.ρ[:, 1:], new[:, None]], 1), state.ρ)


def aim(state: State, which: Tensor) -> State:
    """A new line search for a mask (M,) of images: p = −H g, and a first step along it."""
    p = -inverse_hessian_product(state, state.g)
    slope = (p * state.g).sum(1)
    uphill = ~(slope < 0)  # by rounding
    p = torch.where(uphill[:, None], -state.g, p)
    slope = torch.where(uphill, -state.g.square().sum(1), slope)
    first = 1 / state.g.norm(dim=1).clamp_min(1e-12)  # without curvature: a step of length 1
    scaled = state.ρ.any(1) | (state.P.P is not None)
    t = torch.where(scaled & ~uphill, 1.0, first)
    low = torch.stack([torch.zeros_like(t), state.f, slope], 1)
    one = which[:, None]
    return State(
        state.z, state.f, state.g,
        torch.where(one, p, state.p), torch.where(which, slope, state.slope),
        torch.where(which, t, state.t), torch.where(one, low, state.low),
        torch.where(which, torch.inf, state.high), torch.where(which, 0, state.tries),
        state.idle, state.S, state.Y, state.ρ, state.P,
    )  # fmt: skip


def inverse_hessian_product(state: State, g: Tensor) -> Tensor:
    """H g by the two-loop recursion (Nocedal & Wright, algorithm 7.4): (M, d) → (M, d)."""
    S, Y, ρ = state.S.unbind(1), state.Y.unbind(1), state.ρ[:, :, None].unbind(1)
    dot = torch.linalg.vecdot
    q, α = g, []
    for s, y, ρᵢ in zip(reversed(S), reversed(Y), reversed(ρ), strict=True):
        α.append(ρᵢ * dot(s, q)[:, None])
        q = torch.addcmul(q, α[-1], y, value=-1)
    Pq, Py = state.P(torch.stack([q, Y[-1]], 1)).unbind(1)
    γ = 1 / (ρ[-1] * dot(Y[-1], Py)[:, None])  # sᵀy / yᵀPy of the latest pair
    γ = torch.where(ρ[-1] > 0, γ, 1)
    if state.P.P is not None:
        γ = γ.sqrt()  # half way to P itself, which was not given for nothing
    r = γ * Pq
    for s, y, ρᵢ, αᵢ in zip(S, Y, ρ, reversed(α), strict=True):
        r = torch.addcmul(r, αᵢ - ρᵢ * dot(y, r)[:, None], s)
    return r
