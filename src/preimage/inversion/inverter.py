"""A generator with what inverting it needs; each part is made once, when it is first needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from preimage.core import DataSpec, InputError, LatentModel, Step, Unsupported
from preimage.inversion.auto import Prepared, auto, suited
from preimage.inversion.cascade import Cascade, fitting
from preimage.inversion.checks import check_generator, in_evaluation_mode, takes_gradient
from preimage.inversion.classes import with_found_classes
from preimage.inversion.curvature import of_values, values_seen
from preimage.inversion.encoder import EncodedModel
from preimage.inversion.graph import Compiled, compiled
from preimage.inversion.losses import objective
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity, as_operator
from preimage.inversion.posterior import Posterior, laplace
from preimage.inversion.problem import Decode, Operator, Problem
from preimage.inversion.result import Inversion, Trace
from preimage.inversion.search import Search, Solver, Status, solve
from preimage.inversion.settings import Settings
from preimage.inversion.solutions import Solutions, distinct_solutions
from preimage.inversion.solvers import SOLVERS
from preimage.inversion.starts import (
    Pool,
    encoder_start,
    given_start,
    halving,
    is_shared,
    mean_start,
)
from preimage.inversion.verdict import Calibration, calibrate, contrast_of

SHORT = 5  # iterations of the first searches, where several starts compete
RECOVERED = 128  # the generator's own images by which the solver is judged
LARGE = 512  # latents from which no cascade is fitted: the regressions would need too many pairs
EXACT = ("cma", "basin-cma")  # methods that need no gradient


@dataclass(frozen=True)
class Work:
    """The search for the latents of one batch, and what to make of its end."""

    inverter: Inverter
    problem: Problem
    settings: Settings
    start: Tensor  # (B, d)
    searches: Iterator[Search]

    @torch.no_grad()
    def images(self, z: Tensor) -> Tensor:
        """Images of the first latents (M, d) of the batch."""
        rows = torch.arange(len(z), device=z.device)
        return self.problem.select(rows).images(z)

    @torch.no_grad()
    def result(self, search: Search, trace: Tensor) -> Inversion:
        """Decoded again by the model itself, whatever the search ran on."""
        problem, shape = self.problem, self.problem.model.space.shape
        exact = replace(problem, decode=None, tangents=None)
        images = exact.images(search.z)
        observed = exact.through(images)
        error = squared_error(problem, observed)
        found = Inversion(
            z=search.z.reshape(-1, *shape).cpu(),
            images=images.float().cpu(),
            target=problem.target.cpu(),
            observed=observed.float().cpu(),
            error=error.cpu(),
            objective=search.loss.detach().cpu(),
            start=self.start.reshape(-1, *shape).cpu(),
            status=search.status.cpu(),
            iterations=search.iterations.cpu(),
            evaluations=search.evaluations.cpu(),
            trace=trace,
            labels=None if problem.labels is None else problem.labels.cpu(),
        )
        return self.inverter.judged(found, problem, self.settings)


class Inverter:
    """A generator made ready. `prepare` makes what settings call for; `begin` starts a search.

    Everything here belongs to the generator's weights as they are: after changing them, make
    another.
    """

    def __init__(self, model: LatentModel, *, fold: bool = True, seed: int = 0):
        """model: is put into evaluation mode. fold: whether to look for a quicker form of it.

        Raises InputError where its images are not finite or do not depend on the latent.
        """
        self.model, self.seed = model, seed
        self.notes = tuple(in_evaluation_mode(model))
        model.requires_grad_(False)
        check_generator(model)
        self.gradient = takes_gradient(model)
        self.calibration: Calibration | None = None
        self.pool: Pool | None = None
        self.cascades: dict[str, Cascade | None] = {}  # by the operator they are for
        self.compiled: Compiled | None = None
        self._fold = fold

    def observation(self, through: Operator | None) -> DataSpec:
        """What is observed of an image. Raises InputError where the operator is not for such."""
        data = self.model.data
        if through is None:
            return data
        as_operator(through, data, device=self.model.device)
        y = self._alone(through)(torch.zeros(1, *data.shape, device=self.model.device))
        return DataSpec(data.kind if y.ndim == 4 else "vector", tuple(y.shape[1:]), data.range)

    def prepare(self, settings: Settings) -> Iterator[Step]:
        """Make what searches with these settings start from, if it is not there yet."""
        if self.compiled is None and self._fold and self.gradient:
            yield Step(0, 1, stage="look for a quicker form of the generator")
            self.compiled = compiled(self.model)
        through = settings.through or Identity()
        key = operator_key(through)
        if self._uses_cascade(settings) and key not in self.cascades:
            cascade = None
            for made in fitting(
                self.model, through, noise=through_noise(through), seed=self.seed,
                decode=self._decode(),
            ):  # fmt: skip
                if isinstance(made, Step):
                    yield made
                else:
                    cascade = made
            self.cascades[key] = cascade
        if self.pool is None and self._uses_pool(settings):
            yield Step(0, 1, stage="draw samples to start from")
            self.pool = Pool.of(self.model, seed=self.seed, decode=self._decode())

    def objective(self, settings: Settings) -> Objective:
        """What these settings minimise. Raises InputError where the model cannot have it."""
        return objective(
            self.model,
            settings.loss,
            prior=settings.prior,
            project=settings.project,
            feature_net=settings.feature_net,
            noise=through_noise(settings.through or Identity()) or None,
        )

    def problem(
        self, y: Tensor, labels: Tensor | None = None, settings: Settings | None = None
    ) -> Problem:
        """The problem of observations y (B, …), of the classes (B,) if they are known."""
        settings = settings or Settings()
        device = self.model.device
        return Problem.of(
            self.model,
            y.to(device),
            self.objective(settings),
            settings.through or Identity(),
            labels=None if labels is None else labels.to(device),
            seed=settings.seed,
            decode=self._decode(),
            tangents=self.compiled.tangents if self._folded() else None,  # type: ignore[union-attr]
        )

    def begin(self, y: Tensor, labels: Tensor | None, settings: Settings) -> Work:
        """Set a search up for observations y (B, …); where classes are unknown, find them."""
        problem = self.problem(y, labels, settings)
        if self.model.conditional and problem.labels is None:
            problem = with_found_classes(problem, lambda tried: self._short(tried, settings))
        z = self._start(problem, settings)
        z = None if z is None else problem.project(z)
        searches = self._searches(problem, z, settings)
        start = z if z is not None else self._first(problem)
        return Work(self, problem, settings, start, searches)

    def invert(
        self, y: Tensor, labels: Tensor | None = None, settings: Settings | None = None
    ) -> Inversion:
        """One batch from beginning to end."""
        settings = settings or Settings()
        for _ in self.prepare(settings):
            pass
        work, trace, search = self.begin(y, labels, settings), Trace(), None
        for search in work.searches:
            trace.add(search)
        assert search is not None  # every solver yields where it begins
        return work.result(search, trace.tensor())

    # --- what else there is to know of a found latent ---

    def posterior(self, found: Inversion, settings: Settings | None = None) -> Posterior:
        """The Laplace posterior about the latents found: what the images leave undetermined."""
        problem = self.problem(found.target, found.labels, settings)
        z = found.z.flatten(1).to(self.model.device)
        return laplace(problem, z)

    def solutions(
        self, found: Inversion, *, starts: int = 16, settings: Settings | None = None
    ) -> list[Solutions]:
        """The distinct latents that so many searches of each image end at, the found one first."""
        settings = settings or Settings()
        if self.pool is None:
            self.pool = Pool.of(self.model, seed=self.seed, decode=self._decode())
        problem = self.problem(found.target, found.labels, settings)
        ends = self._restarted(problem, starts, settings).z
        own = found.z.flatten(1).to(ends)[:, None]
        return distinct_solutions(problem, torch.cat([own, ends.reshape(len(own), starts, -1)], 1))

    def judged(self, found: Inversion, problem: Problem, settings: Settings) -> Inversion:
        """With a verdict on each image, where there is a calibration for such observations."""
        calibration = self.calibration
        if calibration is None or settings.through is not None:
            return found
        restarts = None
        if settings.restarts:
            ends = self._restarted(problem, settings.restarts, settings)
            restarts = squared_error(
                problem.select(_each(len(found), settings.restarts)), self._observed(problem, ends)
            ).reshape(len(found), -1)
        verdicts = calibration.verdict(
            found.error,
            contrast=contrast_of(found.target),
            restarts=restarts,
            seeds=problem.seeds.cpu(),
        )
        return replace(found, verdicts=verdicts)

    def calibrating(
        self, heldout: Tensor, labels: Tensor | None = None, settings: Settings | None = None
    ) -> Iterator[Step]:
        """Make `calibration`, from real images (N, C, H, W) that training has not seen.

        Raises InputError where there are none.
        """
        settings = settings or Settings()
        if not len(heldout):
            raise InputError("a verdict needs held-out images to compare with; give some")
        self.calibration = None
        yield from self.prepare(settings)
        own = self.model.sample(RECOVERED, seed=self.seed + 1)
        own = ((own + 1) * 127.5).round() / 127.5 - 1
        own_labels = self.model.labels_for(RECOVERED)
        errors, total = [], len(heldout) + len(own)
        for images, classes in ((heldout, labels), (own, own_labels)):
            found = []
            for rows in torch.arange(len(images)).split(settings.batch_size):
                of = None if classes is None else classes[rows]
                found.append(self.invert(images[rows], of, settings).error)
                done = sum(map(len, (*errors, *found)))
                yield Step(done, total, stage="calibrate the verdict")
            errors.append(torch.cat(found))
        self.calibration = calibrate(*errors, contrast=contrast_of(heldout))

    # --- starts and searches ---

    def _start(self, problem: Problem, settings: Settings) -> Tensor | None:
        """Latents (B, d) to search from; None leaves the choice to `auto`."""
        start, k = settings.start, settings.starts
        if isinstance(start, Tensor):
            return given_start(problem, start)
        if k > 1:
            assert self.pool is not None  # `prepare` has drawn it
            z = self.pool.nearest(problem, k)
            if start != "nearest":
                z[:, 0] = self._named_start(problem, start)
            return halving(problem, z, self._solver(problem, settings), steps=SHORT).z
        if start == "auto" and settings.method == "auto" and not self._encodes(problem):
            return None
        return self._named_start(problem, start)

    def _named_start(self, problem: Problem, name: str) -> Tensor:
        if name == "mean":
            return mean_start(problem)
        if name == "encoder" or (name == "auto" and self._encodes(problem)):
            return encoder_start(problem)
        if name == "auto":
            return self._first(problem)
        assert self.pool is not None  # `prepare` has drawn it
        return self.pool.nearest(problem)[:, 0]

    def _first(self, problem: Problem) -> Tensor:
        """Where `auto` begins by itself."""
        cascade = self.cascades.get(operator_key(problem.through))
        if cascade is not None:
            return cascade.start(problem)
        return mean_start(problem) if self.pool is None else self.pool.nearest(problem)[:, 0]

    def _encodes(self, problem: Problem) -> bool:
        """Whether an encoder says where to begin: a learned one, or one where no cascade can."""
        if not self.model.can("encode") or not isinstance(problem.through, Identity):
            return False
        return (
            isinstance(self.model, EncodedModel)
            or operator_key(problem.through) not in self.cascades
        )

    def _solver(self, problem: Problem, settings: Settings) -> Solver:
        """The solver of these settings, or the one that suits the objective."""
        if settings.method in SOLVERS:
            return SOLVERS[settings.method]
        return suited(problem, mean_start(problem))

    def _searches(self, problem: Problem, z: Tensor | None, settings: Settings) -> Iterator[Search]:
        steps, tolerance = settings.iterations, settings.tolerance
        if settings.method == "encoder":
            return _nothing_more(problem, encoder_start(problem))
        if not self.gradient and settings.method not in (*EXACT, "auto"):
            raise Unsupported(
                f"the generator gives no gradient for '{settings.method}'; use method='cma'"
            )
        if settings.method != "auto":
            assert z is not None  # only `auto` chooses for itself
            return SOLVERS[settings.method](problem, z, steps=steps, tolerance=tolerance)
        prepared = Prepared(
            cascade=self.cascades.get(operator_key(problem.through)),
            pool=self.pool,
            floor=self.calibration.floor if self.calibration is not None else torch.inf,
        )
        return auto(problem, z, steps=steps, tolerance=tolerance, prepared=prepared)

    def _short(self, problem: Problem, settings: Settings) -> Search:
        z = self._first(problem)
        solver = self._solver(problem, settings)
        return solve(solver(problem, z, steps=SHORT, tolerance=settings.tolerance))

    def _restarted(self, problem: Problem, k: int, settings: Settings) -> Search:
        """Searches to their end from the k nearest samples of each image: B·k of them."""
        assert self.pool is not None  # `prepare` has drawn it
        z = self.pool.nearest(problem, k)
        many = problem.select(_each(len(problem), k))
        solver = self._solver(problem, settings)
        return solve(
            solver(many, z.flatten(0, 1), steps=settings.iterations, tolerance=settings.tolerance)
        )

    @torch.no_grad()
    def _observed(self, problem: Problem, search: Search) -> Tensor:
        return problem.select(_each(len(problem), len(search.z) // len(problem))).observe(search.z)

    def _uses_cascade(self, settings: Settings) -> bool:
        if settings.method != "auto" or settings.start != "auto" or not self.gradient:
            return False
        if self.model.space.size > LARGE:
            return False
        if isinstance(self.model, EncodedModel) and settings.through is None:
            return False  # it was trained for this
        through = settings.through or Identity()
        x = torch.zeros(1, *self.model.data.shape, device=self.model.device)
        return is_shared(through, x, settings.batch_size)

    def _uses_pool(self, settings: Settings) -> bool:
        named = settings.start == "nearest" or settings.starts > 1 or settings.restarts > 0
        alone = not self._uses_cascade(settings) and not self.model.can("encode")
        return named or alone or self.model.conditional

    def _folded(self) -> bool:
        return self.compiled is not None and self.compiled.refusal is None

    def _decode(self) -> Decode | None:
        return self.compiled.decode if self._folded() else None  # type: ignore[union-attr]

    @staticmethod
    def _alone(through: Operator) -> Operator:
        return through.select(torch.zeros(1, dtype=torch.int64))


def squared_error(problem: Problem, observed: Tensor) -> Tensor:
    """Mean squared error over the values that were seen, of observations (B, …): (B,)."""
    values = of_values(problem)
    summed = values.objective.loss(
        observed.new_empty(len(observed), 0), observed.float(), values.prepared
    )
    return summed / values_seen(values).clamp_min(1e-12)


def through_noise(through: Operator) -> float:
    """σ of the noise that an operator says observations have; 0 where it says nothing."""
    return float(getattr(through, "noise", 0.0))


def operator_key(through: Operator) -> str:
    """What tells operators apart: their kind and everything they hold."""
    held = getattr(through, "__dict__", {})
    parts = [type(through).__name__]
    for name, value in sorted(held.items()):
        if isinstance(value, Tensor):
            content = value.detach().cpu().contiguous().double().numpy().tobytes()
            value = hashlib.blake2b(content, digest_size=8).hexdigest()
        elif isinstance(value, tuple):
            value = [operator_key(v) if hasattr(v, "select") else v for v in value]
        parts.append(f"{name}={value}")
    return " ".join(parts)


def _each(n: int, k: int) -> Tensor:
    return torch.arange(n).repeat_interleave(k)


def _nothing_more(problem: Problem, z: Tensor) -> Iterator[Search]:
    """A search that ends where it begins."""
    search = Search.begin(problem, z)
    search.finish(search.active, Status.LIMIT)
    yield search
