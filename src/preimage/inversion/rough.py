"""Where searches start for images that a generator cannot draw: made once for a generator.

Held-out photographs are of this kind. A cascade that was fitted to the generator's own images errs
wildly on them, one that was fitted to noisy images does not; and what the generator's Jacobians
have in common is a good first guess of the curvature about whatever comes nearest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import LatentModel, Step, seeds
from preimage.inversion.cascade import CANDIDATES, Cascade, fitting
from preimage.inversion.jacobian import jacobian
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Decode, Problem, Tangents
from preimage.inversion.starts import prior_latents
from preimage.inversion.terms import L2

NOISE = 0.1  # σ, in units of pixels on [−1, 1]: what images differ by is taken for noise
PAIRS, STAGES = 8192, 4
SAMPLES = 32  # latents of the prior whose Jacobians are averaged
TOGETHER = 4  # of them at once


@dataclass(frozen=True)
class Rough:
    """For images that are not the generator's own."""

    cascade: Cascade  # fitted to noisy images, with no link undone: that would magnify the noise
    curvature: Tensor  # (d, d): the mean of JᵀJ over the prior, J of the squared error's residual

    def to_tensors(self) -> dict[str, Tensor]:
        """All of it as named tensors, for a file of weights."""
        return {**self.cascade.to_tensors(), "curvature": self.curvature}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Rough:
        """What `to_tensors` gave."""
        return cls(Cascade.from_tensors(tensors), tensors["curvature"])


def making(
    model: LatentModel,
    *,
    decode: Decode | None = None,
    tangents: Tangents | None = None,
    seed: int = 0,
) -> Iterator[Step | Rough]:
    """Make it step by step; what it yields last is it.

    decode, tangents: quicker ones than the model's own; see `problem.Problem`.

    Raises Unsupported where the generator has an operation without a forward-mode derivative.
    """
    curvature = mean_curvature(model, decode=decode, tangents=tangents, seed=seed)
    for made in fitting(
        model, noise=NOISE, pairs=PAIRS, stages=STAGES, seed=seed, decode=decode,
        links=CANDIDATES[:1],
    ):  # fmt: skip
        yield Rough(made, curvature) if isinstance(made, Cascade) else made


@torch.no_grad()
def mean_curvature(
    model: LatentModel,
    *,
    decode: Decode | None = None,
    tangents: Tangents | None = None,
    seed: int = 0,
) -> Tensor:
    """The mean of JᵀJ over latents of the prior: (d, d)."""
    z = prior_latents(model, SAMPLES, seeds.generator(seed, "curvature"))
    labels, objective = model.labels_for(SAMPLES), Objective({"l2": (1.0, L2())})
    problem = Problem.of(
        model, (decode or model.decode)(z, labels).float(), objective, Identity(),
        labels=labels, decode=decode, tangents=tangents,
    )  # fmt: skip
    z = z.flatten(1)
    total = z.new_zeros(z.shape[1], z.shape[1])
    for rows in torch.arange(SAMPLES, device=z.device).split(TOGETHER):
        J = jacobian(problem.select(rows), z[rows])[1]
        total += (J.mT @ J).sum(0)
    return total / SAMPLES
