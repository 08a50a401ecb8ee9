"""The state that every solver works on: the best latent of each image, and who is still at work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

from preimage.inversion.problem import Problem


class Status(IntEnum):
    """Why the search for an image's latent ended."""

    RUNNING = 0
    REACHED = 1  # the loss is at the tolerance
    STALLED = 2  # the loss no longer falls: a minimum, as far as this solver can tell
    LIMIT = 3  # the iterations are spent
    FAILED = 4  # the generator gave no finite image

    @property
    def sentence(self) -> str:
        return SENTENCES[self]


SENTENCES = {
    Status.RUNNING: "stopped before it was done",
    Status.REACHED: "reached the tolerance",
    Status.STALLED: "no longer improving",
    Status.LIMIT: "used up its iterations",
    Status.FAILED: "the generator gave no finite image",
}


@dataclass
class Search:
    """B searches side by side. A solver yields the same object after every iteration."""

    z: Tensor  # (B, d): the best latents so far
    loss: Tensor  # (B,): theirs
    status: Tensor  # (B,) int64 of Status
    iterations: Tensor  # (B,) int64: spent on each image
    evaluations: Tensor  # (B,) int64: decodings each image took; a Jacobian counts d of them

    @classmethod
    def begin(cls, problem: Problem, z: Tensor) -> Search:
        """At latents z (B, d), their loss evaluated."""
        with torch.no_grad():
            return cls.at(z, problem.loss(z))

    @classmethod
    def at(cls, z: Tensor, loss: Tensor) -> Search:
        """At latents z (B, d), of which the loss (B,) is known."""
        counts = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        search = cls(z.clone(), loss, counts.clone(), counts.clone(), counts + 1)
        search.finish(~loss.isfinite(), Status.FAILED)
        return search

    @property
    def active(self) -> Tensor:
        """Indices (M,) of the images still at work."""
        return (self.status == Status.RUNNING).nonzero()[:, 0]

    def improve(self, rows: Tensor, z: Tensor, loss: Tensor) -> Tensor:
        """Keep latents (M, d) of images `rows` where their loss (M,) is lower: which were, (M,)."""
        better = loss < self.loss[rows]
        kept = rows[better]
        self.z[kept], self.loss[kept] = z[better], loss[better]
        return better

    def finish(self, rows: Tensor, status: Status) -> None:
        """End the searches of some images: indices (M,), or a mask (B,)."""
        self.status[rows] = int(status)


class Solver(Protocol):
    """z₀ → z: every solver has this form; further options are keyword-only."""

    def __call__(
        self, problem: Problem, z: Tensor, *, steps: int, tolerance: float
    ) -> Iterator[Search]:
        """Search from latents z (B, d), a row of the problem each; a yield an iteration.

        steps: iterations of one image at most.
        tolerance: the loss at which an image is finished.
        """
        ...


def solve(searches: Iterator[Search]) -> Search:
    """Run a solver to its end; its last state."""
    *_, last = searches
    return last
