"""The images of a search that are still at work: what every solver steps in one batch."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Status

State = TypeVar("State", bound=Any)  # a dataclass; every field is indexed by the image


class Active:
    """M images at work, their problem, and where they stand in the whole search.

    Masks and values of its methods are (M,), a row an image at work.
    """

    def __init__(self, search: Search, problem: Problem, rows: Tensor, *, tolerance: float):
        self.search, self.rows, self.tolerance = search, rows, tolerance
        self.problem = problem if len(rows) == len(problem) else problem.select(rows)

    @classmethod
    def begin(cls, problem: Problem, z: Tensor, *, tolerance: float) -> Active:
        """All images that are not done, or beyond help, at the latents z (B, d) they start from."""
        search = Search.begin(problem, z)
        search.finish(search.loss <= tolerance, Status.REACHED)
        return cls(search, problem, search.active, tolerance=tolerance)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def z(self) -> Tensor:
        """The best latents so far: (M, d)."""
        return self.search.z[self.rows]

    @property
    def loss(self) -> Tensor:
        """Their losses: (M,)."""
        return self.search.loss[self.rows]

    def spend(self, evaluations: int | Tensor) -> None:
        """Count an iteration, and the decodings that each image took in it."""
        self.search.iterations[self.rows] += 1
        self.search.evaluations[self.rows] += evaluations

    def improve(self, z: Tensor, loss: Tensor) -> None:
        """Keep latents (M, d) that are the best so far; end the searches they complete."""
        self.search.improve(self.rows, z, loss)
        self.finish(self.loss <= self.tolerance, Status.REACHED)

    def finish(self, which: Tensor, status: Status) -> None:
        """End the searches of a mask (M,) of images, those that have not ended already."""
        running = self.search.status[self.rows] == Status.RUNNING
        self.search.finish(self.rows[which & running], status)

    def compact(self, state: State) -> State:
        """Let the images that have ended leave; the state of the others."""
        running = self.search.status[self.rows] == Status.RUNNING
        if bool(running.all()):
            return state
        at = moved_up(running)
        self.rows, self.problem = self.rows[at], self.problem.select(at)
        return replace(state, **{f.name: taken(getattr(state, f.name), at) for f in fields(state)})


def moved_up(running: Tensor) -> Tensor:
    """Which rows remain of a mask (M,), where the last fill the gaps and the others stay."""
    n = int(running.sum())
    rows = torch.arange(n, device=running.device)
    rows[~running[:n]] = running[n:].nonzero()[:, 0] + n
    return rows


def taken(x: Any, rows: Tensor) -> Any:
    """x[rows], of a tensor in its own memory: Jacobians are large, and most stay in their place."""
    if not isinstance(x, Tensor):
        return x[rows]
    gaps = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
    x[gaps] = x[rows[gaps]]  # from behind all gaps
    return x[: len(rows)]


def since_fall(
    best: Tensor, reference: Tensor, waited: Tensor, *, fall: float
) -> tuple[Tensor, Tensor]:
    """Whether losses still fall: the new reference (M,), and iterations waited since then (M,).

    A loss has fallen when it is below the reference by more than a share `fall` of it.
    """
    fell = best < (1 - fall) * reference
    return torch.where(fell, best, reference), torch.where(fell, 0, waited + 1)
