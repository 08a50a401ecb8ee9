"""Where an inverter's searches begin, and what carries them on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from preimage.core import InputError, Unsupported
from preimage.inversion.auto import Prepared, auto, suited
from preimage.inversion.encoder import EncodedModel
from preimage.inversion.operators import Blur, Compose, Downsample, Identity, ImageOperator
from preimage.inversion.problem import Problem
from preimage.inversion.rough import ROUGH
from preimage.inversion.search import Search, Solver, Status, solve
from preimage.inversion.settings import STEPS, Settings, operator_key
from preimage.inversion.solvers import SOLVERS
from preimage.inversion.starts import encoder_start, given_start, halving, mean_start

if TYPE_CHECKING:
    from preimage.inversion.inverter import Inverter

SHORT = 5  # iterations of the first searches, where several starts compete
TOLD_APART = 10  # iterations under each class of a conditional generator
COARSE = 15  # iterations at each lower resolution
FACTORS = (8, 4, 2)  # by which images are first made smaller
SMALLEST = 4  # pixels across, below which nothing is left to see
FREE = ("auto", "cma", "encoder")  # methods that need no gradient


def start_of(inverter: Inverter, problem: Problem, settings: Settings) -> Tensor | None:
    """Latents (B, d) to search from; None leaves the choice to `auto`."""
    start, k = settings.start, settings.starts
    if isinstance(start, Tensor):
        z = given_start(problem, start)
    elif k > 1 and not inverter.starts_roughly(settings):
        z = _nearest(inverter, problem, settings, k)
        if not start.startswith("nearest"):
            z[:, 0] = _named(inverter, problem, settings, start)
        z = halving(problem, z, solver_of(problem, settings), steps=SHORT).z
    elif settings.coarse:
        z = _named(inverter, problem, settings, start)
    elif start == "auto" and settings.method == "auto" and not _encodes(inverter, problem):
        return None
    else:
        z = _named(inverter, problem, settings, start)
    z = problem.project(z)
    return coarse_to_fine(problem, z, settings) if settings.coarse else z


def coarse_to_fine(problem: Problem, z: Tensor, settings: Settings) -> Tensor:
    """Latents (B, d) after short searches at an eighth, a quarter and half of the resolution.

    Where details do not overlap, as strokes that lie beside each other, the error at full
    resolution does not say which way to go; that of small blurred images does.

    Raises InputError where observations are no images.
    """
    y = problem.target
    if y.ndim != 4:
        raise InputError("coarse=True needs observations that are images; leave it out")
    for factor in FACTORS:
        if min(y.shape[2:]) < SMALLEST * factor:
            continue
        shrink = Compose(Blur(factor / 2), Downsample(factor))
        through = Compose(cast(ImageOperator, problem.through), shrink)
        weights = through.weights(shrink(y))
        prepared = problem.objective.prepare(shrink(y), weights)
        small = replace(problem, target=shrink(y), through=through, prepared=prepared)
        solver = solver_of(small, settings)
        z = solve(solver(small, z, steps=COARSE, tolerance=settings.tolerance)).z
    return z


def first_latents(inverter: Inverter, problem: Problem, settings: Settings) -> Tensor:
    """Where `auto` begins by itself: (B, d)."""
    cascade = inverter.cascade(problem.through, settings)
    if cascade is not None:
        return cascade.start(problem)
    pool = inverter.pool
    return mean_start(problem) if pool is None else pool.nearest(problem)[:, 0]


def searches_of(
    inverter: Inverter, problem: Problem, z: Tensor | None, settings: Settings
) -> Iterator[Search]:
    """The search from latents z (B, d), or from where `auto` begins."""
    steps, tolerance = settings.iterations, settings.tolerance
    if settings.method == "encoder":
        return _nothing_more(problem, encoder_start(problem))
    if not inverter.gradient and settings.method not in FREE:
        raise Unsupported(
            f"the generator gives no gradient for '{settings.method}'; use method='cma'"
        )
    if settings.method != "auto":
        assert z is not None  # only `auto` chooses for itself
        return SOLVERS[settings.method](problem, z, steps=steps, tolerance=tolerance)
    # Nothing of a calibration is used: fresh images must be searched for as the held-out ones were.
    direct = isinstance(problem.through, Identity)
    prepared = Prepared(
        cascade=inverter.cascade(problem.through, settings),
        rough=inverter.cascades.get(ROUGH) if direct else None,
        curvature=inverter.curvature if direct else None,
        pool=inverter.pool,
    )
    starts = settings.starts if inverter.starts_roughly(settings) else 1
    return auto(problem, z, steps=steps, tolerance=tolerance, prepared=prepared, starts=starts)


def short_search(inverter: Inverter, problem: Problem, settings: Settings) -> Search:
    """A short search from where `auto` begins: enough to tell classes apart."""
    z = first_latents(inverter, problem, settings)
    solver = solver_of(problem, settings)
    return solve(solver(problem, z, steps=TOLD_APART, tolerance=0.0))


def restarted(inverter: Inverter, problem: Problem, k: int, settings: Settings) -> Search:
    """Searches to their end from the k nearest samples of each image: B·k of them."""
    z = _nearest(inverter, problem, settings, k)
    many = problem.select(each(len(problem), z.shape[1]))
    solver = solver_of(problem, settings)
    z = many.project(z.flatten(0, 1))
    steps = settings.iterations or STEPS["auto"]  # an encoder alone proves nothing
    return solve(solver(many, z, steps=steps, tolerance=settings.tolerance))


def solver_of(problem: Problem, settings: Settings) -> Solver:
    """The solver of these settings, or the one that suits the objective."""
    if settings.method in SOLVERS:
        return SOLVERS[settings.method]
    return suited(problem, mean_start(problem))


def each(n: int, k: int) -> Tensor:
    """0, 0, …, 1, 1, …: the rows of n images, k times each."""
    return torch.arange(n).repeat_interleave(k)


def _named(inverter: Inverter, problem: Problem, settings: Settings, name: str) -> Tensor:
    if name == "mean":
        return mean_start(problem)
    if name == "encoder" or (name == "auto" and _encodes(inverter, problem)):
        return encoder_start(problem)
    if name == "auto":
        return first_latents(inverter, problem, settings)
    return _nearest(inverter, problem, settings, 1)[:, 0]


def _nearest(inverter: Inverter, problem: Problem, settings: Settings, k: int) -> Tensor:
    """The k nearest samples of each image (B, k, d), in pixels or in features."""
    features = None
    if settings.start == "nearest-features":
        features = settings.feature_net or inverter.model.features
    return inverter.samples().nearest(problem, k, features=features)  # type: ignore[arg-type]


def _encodes(inverter: Inverter, problem: Problem) -> bool:
    """Whether an encoder says where to begin: a learned one, or one where no cascade can."""
    model = inverter.model
    if not model.can("encode") or not isinstance(problem.through, Identity):
        return False
    no_cascade = operator_key(problem.through) not in inverter.cascades
    return isinstance(model, EncodedModel) or no_cascade


def _nothing_more(problem: Problem, z: Tensor) -> Iterator[Search]:
    """A search that ends where it begins."""
    search = Search.begin(problem, z)
    search.finish(search.active, Status.LIMIT)
    yield search
