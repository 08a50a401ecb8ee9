"""`method="auto"`: the quickest way to the bottom that each image allows.

Start from the cascade where there is one for the operator, and follow it by Anderson acceleration:
most of what the generator can draw is found so. Levenberg–Marquardt polishes what is above the
tolerance. Images that the generator cannot draw start again from a cascade that takes what they
differ by for noise, or from the model's encoder where that is nearer, and are followed by L-BFGS
whose initial matrix is the prior's mean of JᵀJ, inverted, and later each image's own. Where several
starts are asked for, these, and what the generator should have been able to draw and was not found,
are searched for again and again from beside the best so far. An objective that is no sum of squares
is minimised from the latents that are best in squared error; one without gradient by CMA-ES.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from preimage.core import Unsupported
from preimage.inversion.cascade import Cascade
from preimage.inversion.noise import normal
from preimage.inversion.objective import Objective
from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Solver, Status
from preimage.inversion.solvers.anderson import FixedPoint, anderson
from preimage.inversion.solvers.cma import cma
from preimage.inversion.solvers.gauss_newton import gauss_newton
from preimage.inversion.solvers.lbfgs import lbfgs
from preimage.inversion.solvers.levenberg_marquardt import levenberg_marquardt
from preimage.inversion.solvers.preconditioned_lbfgs import preconditioned_lbfgs
from preimage.inversion.starts import Pool, encoder_start, mean_start
from preimage.inversion.terms import L2

ACCELERATED = 36  # iterations of Anderson acceleration at most, where Jacobians are quick
PATIENT = 48  # and where they take as many decodings as there are latents
POLISHED = 12  # of the solver after L-BFGS: an exact answer that is near takes no more
DENSE = 160  # latents up to which a whole Jacobian is formed
SHRINKING = 0.8  # of the rough cascade's latents: nearer the prior's mean, the valleys are deeper
BEYOND, ASIDE = 2.0, 1.0  # times the latent at rest, and σ about it: there another search begins
ABOUT = 0.3  # σ about a latent that was still moving; the prior's is 1
LEAST_SQUARES = (levenberg_marquardt, gauss_newton)
Continuation = Callable[[Problem, Tensor], Iterator[Search]]  # a solver with its options

# Squared errors, on images in [−1, 1]:
HOPELESS = 1e-2  # after the cascade's first guesses: Anderson acceleration seldom mends more
FOREIGN = 0.1  # there: no generator measured has left so much of an image of its own
NEAR = 1e-4  # a grey level and a quarter: below, an image is taken for the generator's own
LATE = 1e-5  # twice what rounding to 8 bits leaves: reached late, it is worth polishing


@dataclass(frozen=True)
class Prepared:
    """What was made once for a generator, seen through one operator, to start searches from."""

    cascade: FixedPoint | None = None
    rough: Cascade | None = None  # for images that the generator cannot draw
    curvature: Tensor | None = None  # (d, d): the prior's mean of JᵀJ, for these
    pool: Pool | None = None


def auto(
    problem: Problem,
    z: Tensor | None = None,
    *,
    steps: int,
    tolerance: float,
    prepared: Prepared | None = None,
    starts: int = 1,
) -> Iterator[Search]:
    """Search from latents z (B, d), or from the best start there is. A solver: see `search.Solver`.

    starts: of each image that is searched for by L-BFGS; never worse than one alone.

    Raises Unsupported where the generator cannot be searched at all.
    """
    prepared = prepared or Prepared()
    search = None if z is None else Search.begin(problem, z)
    if search is None:
        for search in _started(problem, prepared, steps=steps, tolerance=tolerance):
            yield _going_on(search)
    assert search is not None  # a start yields at least once
    foreign, other = torch.zeros_like(search.loss, dtype=torch.bool), search.z
    if z is None:
        foreign, other = _consult_others(problem, search, prepared, tolerance)
    near = (search.loss > tolerance) & search.loss.isfinite()
    search.finish(near, Status.RUNNING)
    search.finish(search.loss <= tolerance, Status.REACHED)
    solver = suited(problem, search.z)
    polish = partial(solver, steps=steps, tolerance=tolerance)
    plain = is_plain(problem.objective)
    if prepared.curvature is None or not plain or solver not in LEAST_SQUARES:
        yield from _continued(problem, search, near, polish)
        return
    weight = _weight(problem)
    far = near & foreign & (search.loss > NEAR * weight)
    curvature = prepared.curvature * weight
    run = partial(preconditioned_lbfgs, curvature=curvature, steps=steps, tolerance=tolerance)
    first = chain(
        _continued(problem, search, near & ~far, polish),
        _continued(problem, search, far, run, other),
    )
    least = torch.where(far, LATE, NEAR) * weight  # above, an image has further starts
    yield from first if starts == 1 else (_going_on(one, one.loss > least) for one in first)
    yield from _again(problem, search, near & (search.loss > least), run, times=starts - 1)
    late = far & (search.loss > tolerance) & (search.loss <= LATE * weight)
    polish = partial(solver, steps=min(steps, POLISHED), tolerance=tolerance)
    yield from _continued(problem, search, late, polish)


def accelerated_steps(problem: Problem) -> int:
    """After how many steps of acceleration a Jacobian is worth its price."""
    return PATIENT if problem.tangents is None else ACCELERATED


def _going_on(search: Search, due: Tensor | None = None) -> Search:
    """The same, with images that were given up still at work, all or a mask (B,) of them: other
    searches go on with them.
    """
    given_up = (search.status == Status.STALLED) | (search.status == Status.LIMIT)
    given_up = given_up if due is None else given_up & due
    return replace(search, status=torch.where(given_up, int(Status.RUNNING), search.status))


def _weight(problem: Problem) -> float:
    """By how much a plain objective exceeds the squared error."""
    return sum(weight for weight, _ in problem.objective.terms.values())


def is_plain(objective: Objective) -> bool:
    """Whether it is the squared error and nothing else."""
    only_l2 = all(type(term) is L2 for _, term in objective.terms.values())
    return only_l2 and not objective.penalties and not objective.projections


def suited(problem: Problem, z: Tensor) -> Solver:
    """The solver for such an objective, found by trying it on one of latents z (B, d)."""
    row = torch.zeros(1, dtype=torch.int64, device=z.device)
    one, z = problem.select(row), z[row]
    try:
        one.loss_and_gradient(z)
    except Unsupported:
        return cma
    try:
        one.residual(z)
    except Unsupported:
        return lbfgs
    return levenberg_marquardt if problem.d <= DENSE else gauss_newton


def _started(
    problem: Problem, prepared: Prepared, *, steps: int, tolerance: float
) -> Iterator[Search]:
    """From nothing: the cascade, accelerated; or else the nearest sample of the pool."""
    cascade, plain = prepared.cascade, is_plain(problem.objective)
    if cascade is None:
        pool = prepared.pool
        z = mean_start(problem) if pool is None else pool.nearest(problem)[:, 0]
        yield Search.begin(problem, z)
        return
    squared = problem if plain else in_squared_error(problem)
    search = None
    for search in anderson(
        squared,
        cascade.start(problem),
        steps=min(steps, accelerated_steps(problem)),
        tolerance=tolerance,
        cascade=cascade,
        hopeless=HOPELESS * _weight(problem) if plain and prepared.rough else torch.inf,
    ):
        if plain:
            yield search
    assert search is not None  # a solver yields at least once
    if not plain:
        found = Search.begin(problem, problem.project(search.z))
        found.evaluations += search.evaluations
        yield found


@torch.no_grad()
def _consult_others(
    problem: Problem, search: Search, prepared: Prepared, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Which images (B,) are not the generator's own, and latents (B, d) for these to start from.

    There the cascade, which is exact on the generator's own images, does worse than one that takes
    what images differ by for noise, or than the model's encoder. What is better is kept.
    """
    plain = is_plain(problem.objective)
    weight = _weight(problem) if plain else 1.0
    foreign, start = search.loss > FOREIGN * weight, search.z.clone()
    if prepared.rough is not None and plain:
        rows = (search.loss > max(NEAR * weight, tolerance)).nonzero()[:, 0]
        if len(rows):
            z, loss = prepared.rough.latents(problem.select(rows))
            foreign[rows] |= search.improve(rows, z, loss)
            start[rows] = torch.where(loss.isfinite()[:, None], SHRINKING * z, start[rows])
            search.evaluations[rows] += len(prepared.rough.maps)
    rows = (search.loss > tolerance).nonzero()[:, 0]
    whole = tuple(problem.target.shape[1:]) == tuple(problem.model.data.shape)
    if problem.model.can("encode") and whole and len(rows):
        part = problem.select(rows)
        z = encoder_start(part)
        nearer = search.improve(rows, z, part.loss(z))
        foreign[rows] |= nearer
        start[rows[nearer]] = z[nearer]
        search.evaluations[rows] += 1
    return foreign, start


def _again(
    problem: Problem, search: Search, which: Tensor, run: Continuation, *, times: int
) -> Iterator[Search]:
    """Let a mask (B,) of images search again and again, each time from the best so far.

    As basin hopping does (Wales & Doye, "Global Optimization by Basin-Hopping", 1997), but for
    what came to rest: that begins beyond its valley, where images have too much contrast, and comes
    down another way. What was still falling goes on, a little aside.
    """
    for k in range(1, times + 1):
        loss, status = search.loss.clone(), search.status.clone()
        resting, falling = status == Status.STALLED, status == Status.LIMIT
        noise = normal(problem.seeds, problem.d, draw=k).to(search.z)
        beyond, about = BEYOND * search.z + ASIDE * noise, search.z + ABOUT * noise
        start = torch.where(resting[:, None], beyond, about)
        rows, shown = which & (resting | falling), search
        for _ in _continued(problem, search, rows, run, start):
            kept = (search.loss < loss) | (search.status == Status.RUNNING)
            shown = replace(search, status=torch.where(kept, search.status, status))
            yield shown if k == times else _going_on(shown, rows)
        search.status = shown.status


def in_squared_error(problem: Problem) -> Problem:
    """The same images, with the squared error as the objective."""
    squared = Problem.of(
        problem.model,
        problem.target,
        Objective({"l2": (1.0, L2())}),
        problem.through,
        labels=problem.labels,
        decode=problem.decode,
        tangents=problem.tangents,
    )
    return replace(squared, seeds=problem.seeds)


def _continued(
    problem: Problem,
    search: Search,
    which: Tensor,
    run: Continuation,
    start: Tensor | None = None,
) -> Iterator[Search]:
    """Let a solver go on with a mask (B,) of images; keep what is better.

    It starts from where they are, or from other latents `start` (B, d).
    """
    rows = (which & search.loss.isfinite()).nonzero()[:, 0]
    if not len(rows):
        yield search
        return
    iterations, evaluations = search.iterations[rows], search.evaluations[rows]
    z = search.z if start is None else start
    for part in run(problem.select(rows), z[rows]):
        search.improve(rows, part.z, part.loss)
        search.status[rows] = part.status
        search.iterations[rows] = iterations + part.iterations
        search.evaluations[rows] = evaluations + part.evaluations
        yield search
