"""Where searches start for images that a generator cannot draw: made once for a generator.

Held-out photographs are of this kind. A cascade that was fitted to the generator's own images errs
wildly on them, one that was fitted to noisy images does not; and what the generator's Jacobians
have in common is a good first guess of the curvature about whatever comes nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from preimage.core import LatentModel, Step, seeds
from preimage.inversion.cascade import Cascade, fitting
from preimage.inversion.jacobian import jacobian
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Decode, Problem, Tangents
from preimage.inversion.starts import prior_latents
from preimage.inversion.terms import L2

ROUGH = "rough"  # the cascade's name, where others go by their operator's
NOISE = 0.1  # σ, in units of pixels on [−1, 1]: what images differ by is taken for noise
LINKS = (("identity", 0.0),)  # none is undone: that would magnify the noise
STAGES = 4
SAMPLES = 32  # latents of the prior whose Jacobians are averaged
MEMORY = 1 << 26  # bytes of Jacobians held at a time


def fitting_roughly(
    model: LatentModel, *, decode: Decode | None = None, seed: int = 0
) -> Iterator[Step | Cascade]:
    """A cascade from noisy images, step by step; what it yields last is the cascade.

    decode: a quicker one than the model's own.
    """
    made = fitting(model, noise=NOISE, stages=STAGES, seed=seed, decode=decode, links=LINKS)
    for step in made:
        yield step if isinstance(step, Cascade) else replace(step, stage="rough cascade")


@torch.no_grad()
def mean_curvature(
    model: LatentModel,
    *,
    decode: Decode | None = None,
    tangents: Tangents | None = None,
    seed: int = 0,
) -> Tensor:
    """The mean of JᵀJ over latents of the prior: (d, d), J of the squared error's residual.

    decode, tangents: quicker ones than the model's own; see `problem.Problem`.

    Raises Unsupported where the generator has an operation without a forward-mode derivative.
    """
    z = prior_latents(model, SAMPLES, seeds.generator(seed, "curvature"))
    labels, objective = model.labels_for(SAMPLES), Objective({"l2": (1.0, L2())})
    problem = Problem.of(
        model, (decode or model.decode)(z, labels).float(), objective, Identity(),
        labels=labels, decode=decode, tangents=tangents,
    )  # fmt: skip
    z = z.flatten(1)
    size = max(1, MEMORY // (4 * z.shape[1] * model.data.size))
    total = z.new_zeros(z.shape[1], z.shape[1])
    for rows in torch.arange(SAMPLES, device=z.device).split(size):
        J = jacobian(problem.select(rows), z[rows])[1]
        total += (J.mT @ J).sum(0)
    return total / SAMPLES
