"""Anderson acceleration of a cascade: no derivatives, a decoding an iteration.

With e(z) = h(y) − h(A(G(z))) and W the regression of z* − z on e, z ← z + e(z) W is a fixed-point
iteration: with each of the cascade's maps in turn, and then with its last; or with one that is
learned, and depends on z. From the differences ΔZ, ΔE of its past steps comes the combination that
would have left least of e (Anderson 1965; Walker & Ni, "Anderson Acceleration for Fixed-Point
Iterations", 2011, §2; type II, a Broyden method whose first inverse Jacobian is W):

    γ = argmin ‖e − γ ΔE‖_w,    z ← z − γ ΔZ + w (e − γ ΔE) W

Where the link saturates, φ magnifies rounding and noise of the image. The weights w leave out
what is drowned in it: w = s² / (s² + σ²), as Wiener's filter has them, with σ the magnified noise
of each feature and s the size that e has left, which is as large as the image's error allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Status
from preimage.inversion.solvers.active import moved_up, taken

PATIENCE = 5  # steps without a new lowest loss after which an image is left to other solvers
RIDGE = 1e-8  # on the Gram matrix of the scaled ΔE
SPREAD = 5.0  # size of e in units of the image's error, roughly


class FixedPoint(Protocol):
    """A way from an observation to its latent by steps that take no derivatives: a cascade."""

    @property
    def features(self) -> Callable[[Tensor], Tensor]:
        """h: observations (B, …) → (B, m)."""
        ...

    @property
    def stages(self) -> int:
        """After how many guesses an image that is still far off will stay so."""
        ...

    def start(self, problem: Problem) -> Tensor:
        """Latents (B, d) to start from."""
        ...

    def step(self, k: int, z: Tensor, e: Tensor, labels: Tensor | None) -> Tensor:
        """What to add to latents z (B, d) that leave e (B, m), in step k from 1 on; linear in e."""
        ...

    def noise_in(self, y: Tensor) -> Tensor:
        """σ of the noise, or at least the rounding, in features of observations y: (B, m)."""
        ...


@dataclass
class _Past:
    """The images at work, and the differences of their steps."""

    rows: Tensor  # (M,): which images of the problem
    problem: Problem
    h: Tensor  # (M, m): features of the targets
    σ: Tensor  # (M, m): their noise
    z: Tensor  # (M, d)
    Δz: Tensor  # (M, steps, d), filled up to the present iteration
    Δe: Tensor  # (M, steps + 1, m), likewise, and then e itself
    since: Tensor  # (M,): steps since the loss was lowest

    def select(self, kept: Tensor) -> _Past:
        """The images of a mask (M,)."""
        if kept.all():
            return self
        some = moved_up(kept)
        return _Past(
            rows=self.rows[some],
            problem=self.problem.select(some),
            h=self.h[some],
            σ=self.σ[some],
            z=self.z[some],
            Δz=taken(self.Δz, some),
            Δe=taken(self.Δe, some),
            since=self.since[some],
        )


@torch.no_grad()
def anderson(
    problem: Problem,
    z: Tensor,
    *,
    steps: int,
    tolerance: float,
    cascade: FixedPoint,
    hopeless: float = torch.inf,
) -> Iterator[Search]:
    """Search from latents z (B, d), such as `cascade.start` gives. A solver: see `search.Solver`.

    The objective must be a distance that is least where observations agree, like "l2"; it decides
    which latents are kept and when an image is finished, but not where the steps go.

    hopeless: an image whose loss is above this after `cascade.stages` guesses is left to others.
    """
    features = cascade.features
    h = features(problem.target)
    a = problem.observe(z)
    loss = problem.objective.loss(z, a, problem.prepared)
    search = Search.at(z, loss)
    e = h - features(a)
    B, m = e.shape
    Δe = e.new_empty(B, steps + 1, m)
    Δe[:, 0] = e
    past = _Past(
        rows=torch.arange(B, device=z.device),
        problem=problem,
        h=h,
        σ=cascade.noise_in(problem.target),
        z=z,
        Δz=z.new_empty(B, steps, z.shape[1]),
        Δe=Δe,
        since=torch.zeros(B, dtype=torch.int64, device=z.device),
    )
    for k in range(steps):
        _end(search, past, tolerance, hopeless if k + 1 >= cascade.stages else torch.inf)
        past = past.select(search.status[past.rows] == Status.RUNNING)
        yield search
        if not len(past.rows):
            return
        _step(past, k, cascade, search.loss[past.rows])
        a = past.problem.observe(past.z)
        loss = past.problem.objective.loss(past.z, a, past.problem.prepared)
        e = past.h - features(a)
        past.Δe[:, k] = e - past.Δe[:, k]
        past.Δe[:, k + 1] = e
        better = search.improve(past.rows, past.z, loss)
        past.since = torch.where(better, 0, past.since + 1)
        search.iterations[past.rows] += 1
        search.evaluations[past.rows] += 1
    _end(search, past, tolerance, hopeless)
    search.finish(search.active, Status.LIMIT)
    yield search


def _step(past: _Past, k: int, cascade: FixedPoint, loss: Tensor) -> None:
    """The next latents of the images at work, k steps after their start; lowest losses (M,)."""
    z = past.z
    s = SPREAD * loss.sqrt()[:, None]
    w = 1 / (1 + (past.σ / s).square())
    Δz, weighted = past.Δz[:, :k], w[:, None] * past.Δe[:, : k + 1]
    γ = _mixture(weighted)[:, None]  # (M, 1, k)
    left = weighted[:, k] - (γ @ weighted[:, :k])[:, 0]
    step = cascade.step(k + 1, z, left, past.problem.labels) - (γ @ Δz)[:, 0]
    past.Δz[:, k] = step
    past.z = z + step


def _mixture(Δe: Tensor) -> Tensor:
    """argmin_γ ‖e − γ ΔE‖, of ΔE with e as its last row: (M, k + 1, m) → (M, k)."""
    k = Δe.shape[1] - 1
    gram = (Δe @ Δe.mT).double()
    scale = gram.diagonal(dim1=1, dim2=2).sqrt().clamp_min(1e-30)
    gram /= scale[..., None] * scale[:, None]
    A, right = gram[:, :k, :k], gram[:, :k, k:]
    A.diagonal(dim1=1, dim2=2).add_(RIDGE)
    L, _ = torch.linalg.cholesky_ex(A)
    γ = torch.cholesky_solve(right, L)[..., 0] * scale[:, k:] / scale[:, :k]
    return γ.float()


def _end(search: Search, past: _Past, tolerance: float, hopeless: float) -> None:
    """Finish the images that are at the tolerance, and those that get no nearer or never will."""
    rows = past.rows
    stalled = (past.since >= PATIENCE) | ~past.z.isfinite().all(1) | (search.loss[rows] > hopeless)
    search.finish(rows[stalled], Status.STALLED)
    search.finish(rows[search.loss[rows] <= tolerance], Status.REACHED)
