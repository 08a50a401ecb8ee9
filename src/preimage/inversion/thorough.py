"""`cascade="thorough"`: minutes of preparation, after which searches are shorter.

There are two ways, and which of them is open to a generator shows in the ridge regressions that it
has. Where many of its own images are short of the tolerance when acceleration ends, a longer chain
of regressions, from more pairs, brings nearly all of them there, and the Jacobians that would have
polished them are saved. Where nearly all arrive, a learned cascade takes fewer steps. What is made
is kept only where searches for other samples take clearly fewer decodings from it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from preimage.core import LatentModel, Step, seeds
from preimage.inversion.auto import DENSE, accelerated_steps
from preimage.inversion.cascade import BATCH, Cascade, fitting
from preimage.inversion.learned_cascade import LearnedCascade
from preimage.inversion.learned_cascade_training import learning
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Decode, Operator, Problem, Tangents
from preimage.inversion.search import solve
from preimage.inversion.settings import Settings
from preimage.inversion.solvers.anderson import FixedPoint, anderson
from preimage.inversion.starts import prior_latents
from preimage.inversion.terms import L2

STAGES = 28  # regressions of the longer chain
PAIRS = 24_576  # that they are fitted to
MISSED = 0.1  # share of images short of the tolerance from which the longer chain is tried
JUDGED = 256  # samples by which this is decided, and whether it was worth it
WORTH = 0.9  # share of the decodings before, of which it may take no more

Thorough = Cascade | LearnedCascade


def preparing(
    model: LatentModel,
    cascade: Cascade,
    through: Operator | None = None,
    *,
    seed: int = 0,
    decode: Decode | None = None,
    tangents: Tangents | None = None,
) -> Iterator[Step | Thorough | None]:
    """Step by step; what it yields last is the better cascade, or None where there is none.

    cascade: of the same generator and operator. Where it was fitted to noisy observations nothing
        is made: no search for such reaches a tolerance, wherever it begins. Nor is anything for
        more than `DENSE` latents, whose regressions would fill the memory.
    decode, tangents: quicker ones than the model's own; see `problem.Problem`.
    """
    if cascade.noise or model.space.size > DENSE:
        yield None
        return
    yield Step(0, 1, stage="try the cascade")
    trial = _trial(model, through or Identity(), seed, decode, tangents)
    missed, decodings = _outcome(trial, cascade)
    if missed > MISSED:
        making = fitting(model, through, pairs=PAIRS, stages=STAGES, seed=seed, decode=decode)
    else:
        making = learning(model, cascade, through, seed=seed, decode=decode)
    better = None
    for made in making:
        if isinstance(made, Step):
            yield made
        else:
            better = made
    worth = better is not None and _outcome(trial, better)[1] <= WORTH * decodings
    yield better if worth else None


@torch.no_grad()
def _trial(
    model: LatentModel,
    through: Operator,
    seed: int,
    decode: Decode | None,
    tangents: Tangents | None,
) -> list[Problem]:
    """Samples, in batches, whose latents are to be found."""
    z = prior_latents(model, JUDGED, seeds.generator(seed, "thorough"))
    labels, objective = model.labels_for(JUDGED), Objective({"l2": (1.0, L2())})
    problems = []
    for rows in torch.arange(JUDGED, device=z.device).split(BATCH):
        of = None if labels is None else labels[rows]
        y = through((decode or model.decode)(z[rows], of).float())
        quicker = {"decode": decode, "tangents": tangents}
        problems.append(Problem.of(model, y, objective, through, labels=of, **quicker))
    return problems


@torch.no_grad()
def _outcome(trial: list[Problem], cascade: FixedPoint) -> tuple[float, float]:
    """The share of images that are short of the tolerance in the end, and the mean decodings of an
    image: the Jacobian that such a one needs after it costs as many as there are latents.
    """
    missed, evaluations = [], []
    for problem in trial:
        start, steps = cascade.start(problem), accelerated_steps(problem)
        tolerance = Settings.tolerance
        search = solve(anderson(problem, start, steps=steps, tolerance=tolerance, cascade=cascade))
        missed.append((~(search.loss <= tolerance)).float())
        evaluations.append(search.evaluations + problem.d * missed[-1])
    return float(torch.cat(missed).mean()), float(torch.cat(evaluations).mean())
