"""A generator, with what inverting it needs; each part is made once, when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from preimage.core import DataSpec, LatentModel, Step, Unsupported
from preimage.inversion.auto import is_plain
from preimage.inversion.cascade import Cascade, fitting
from preimage.inversion.checks import check_generator, in_evaluation_mode, takes_gradient
from preimage.inversion.classes import found_classes
from preimage.inversion.encoder import EncodedModel
from preimage.inversion.graph import Compiled, compiled
from preimage.inversion.judging import calibrating, judged, squared_error, through_noise
from preimage.inversion.losses import objective
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity, as_operator
from preimage.inversion.posterior import Posterior, laplace
from preimage.inversion.problem import Decode, Operator, Problem, Tangents
from preimage.inversion.result import Inversion, Trace
from preimage.inversion.rough import ROUGH, fitting_roughly, mean_curvature
from preimage.inversion.search import Search
from preimage.inversion.searching import first_latents, searches_of, short_search, start_of
from preimage.inversion.settings import Settings, operator_key
from preimage.inversion.solvers.anderson import FixedPoint
from preimage.inversion.starts import Pool, is_shared
from preimage.inversion.thorough import Thorough, preparing
from preimage.inversion.verdict import Calibration

LARGE = 512  # latents from which no cascade is fitted: the regressions would need too many pairs


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
        return judged(self.inverter, found, problem, self.settings)


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
        self.calibrations: dict[str, Calibration] = {}  # by the settings they are for
        self.calibrated_on: dict[str, int] = {}  # likewise: see `judging.told_apart`
        self.pool: Pool | None = None
        self.cascades: dict[str, Cascade] = {}  # by the operator they are for, or ROUGH
        self.thorough: dict[str, Thorough | None] = {}  # likewise; None where none is better
        self.curvature: Tensor | None = None  # (d, d): see `rough.mean_curvature`
        self._told: set[str] = set()  # operators of which it was said that no cascade is better
        self._without_rough = False  # whether Jacobians were asked for in vain
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
        """Make what searches with these settings start from, if it is not there yet.

        Raises Unsupported for a posterior of a generator that gives no gradient, or a thorough
        cascade where there can be none.
        """
        if settings.posterior:
            self._check_posterior()
        if settings.cascade == "thorough" and not self._uses_cascade(settings):
            raise Unsupported(
                "there is no cascade for a generator without a gradient, with more than "
                f"{LARGE} latents or with a learned encoder, nor where each image has an "
                "operator of its own; leave cascade='thorough' out"
            )
        if self.compiled is None and self._fold and self.gradient:
            yield Step(0, 1, stage="look for a quicker form of the generator")
            self.compiled = compiled(self.model)
        through = settings.through or Identity()
        key = operator_key(through)
        if self._uses_cascade(settings) and key not in self.cascades:
            noise = through_noise(settings)
            yield from self._fitting(
                key, fitting(self.model, through, noise=noise, **self._quicker())
            )
        if settings.cascade == "thorough":
            yield from self._thoroughly(key, through)
        if self._uses_cascade(settings) and isinstance(through, Identity):
            yield from self._prepare_rough(settings)
        if self.pool is None and self._uses_pool(settings):
            yield Step(0, 1, stage="draw samples to start from")
            self.samples()

    def _prepare_rough(self, settings: Settings) -> Iterator[Step]:
        """What searches for images that are not the generator's own begin with."""
        if self._without_rough or ROUGH in self.cascades:
            return
        if not is_plain(self.objective(settings)):
            return
        yield Step(0, 1, stage="average Jacobians")
        try:
            self.curvature = mean_curvature(
                self.model, tangents=self._tangents(), **self._quicker()
            )
        except (Unsupported, RuntimeError):  # a stranger's module may hold anything
            self._without_rough = True
            return
        yield from self._fitting(ROUGH, fitting_roughly(self.model, **self._quicker()))

    def _fitting(self, key: str, steps: Iterator[Step | Cascade]) -> Iterator[Step]:
        for made in steps:
            if isinstance(made, Step):
                yield made
            else:
                self.cascades[key] = made

    def _thoroughly(self, key: str, through: Operator) -> Iterator[Step]:
        if key not in self.thorough:
            quicker = {**self._quicker(), "tangents": self._tangents()}
            for made in preparing(self.model, self.cascades[key], through, **quicker):
                if isinstance(made, Step):
                    yield made
                else:
                    self.thorough[key] = made
        if self.thorough[key] is None and key not in self._told:
            self._told.add(key)
            note = "no better cascade was found by thorough preparation; the quick one is taken"
            yield Step(1, 1, stage="try the cascade", notes=(note,))

    def cascade(self, through: Operator, settings: Settings) -> FixedPoint | None:
        """What `auto` starts from and accelerates, where it is prepared."""
        key = operator_key(through)
        better = self.thorough.get(key) if settings.cascade == "thorough" else None
        return better or self.cascades.get(key)

    def samples(self) -> Pool:
        """The pool, drawn when it is first needed."""
        if self.pool is None:
            self.pool = Pool.of(self.model, seed=self.seed, decode=self._decode())
        return self.pool

    def objective(self, settings: Settings, *, values: int | None = None) -> Objective:
        """What these settings minimise. Raises InputError where the model cannot have it.

        values: numbers in an observation; by default those in an image.
        """
        return objective(
            self.model,
            settings.loss,
            prior=settings.prior,
            project=settings.project,
            feature_net=settings.feature_net,
            noise=through_noise(settings) or None,
            values=values,
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
            self.objective(settings, values=y[0].numel()),
            settings.through or Identity(),
            labels=None if labels is None else labels.to(device),
            seed=settings.seed,
            decode=self._decode(),
            tangents=self._tangents(),
        )

    def begin(self, y: Tensor, labels: Tensor | None, settings: Settings) -> Work:
        """Set a search up for observations y (B, …); where classes are unknown, find them."""
        problem = self.problem(y, labels, settings)
        if self.model.conditional and problem.labels is None:
            problem = replace(problem, labels=self._classes(y, settings))
        z = start_of(self, problem, settings)
        searches = searches_of(self, problem, z, settings)
        start = z if z is not None else first_latents(self, problem, settings)
        return Work(self, problem, settings, start, searches)

    def _classes(self, y: Tensor, settings: Settings) -> Tensor:
        """The likeliest class (B,) of each observation: a latent's improbability counts as well,
        for with an odd enough latent any class will do.
        """
        if settings.prior is None and self.model.space.priors:
            settings = replace(settings, prior="l2")
        problem = self.problem(y, None, settings)
        return found_classes(problem, lambda tried: short_search(self, tried, settings))

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

    def calibrating(
        self, heldout: Tensor, labels: Tensor | None = None, settings: Settings | None = None
    ) -> Iterator[Step]:
        """Make the calibration of these settings, from real images (N, C, H, W) never trained on.

        Raises InputError where there are none, or where each image has an operator of its own.
        """
        yield from calibrating(self, heldout, labels, settings or Settings())

    def posterior(self, found: Inversion, settings: Settings | None = None) -> Posterior:
        """The Laplace posterior about the latents found: what the images leave undetermined.

        settings: those that they were found with, where an operator was given.
        """
        self._check_posterior()
        problem = self.problem(found.target, found.labels, settings)
        return laplace(problem, found.z.flatten(1).to(self.model.device))

    def _check_posterior(self) -> None:
        if not self.gradient:
            raise Unsupported("a posterior takes the generator's derivative, and it gives none")

    def _uses_cascade(self, settings: Settings) -> bool:
        if settings.method != "auto" or settings.start != "auto" or not self.gradient:
            return False
        if self.model.space.size > LARGE:
            return False
        if isinstance(self.model, EncodedModel) and settings.through is None:
            return False  # it was trained for this
        return self.shares(settings)

    def starts_roughly(self, settings: Settings) -> bool:
        """Whether `auto` has a rough start, after which it can search from others by itself."""
        if settings.coarse or not self._uses_cascade(settings) or self.curvature is None:
            return False
        direct = isinstance(settings.through or Identity(), Identity)
        return direct and is_plain(self.objective(settings))

    def shares(self, settings: Settings) -> bool:
        """Whether all images are seen through one and the same operator."""
        x = torch.zeros(1, *self.model.data.shape, device=self.model.device)
        n = settings.images_at_once(self.model.data)
        return is_shared(settings.through or Identity(), x, n)

    def _uses_pool(self, settings: Settings) -> bool:
        nearest = isinstance(settings.start, str) and settings.start.startswith("nearest")
        several = settings.starts > 1 and not self.starts_roughly(settings)
        named = nearest or several or settings.restarts > 0
        alone = not self._uses_cascade(settings) and not self.model.can("encode")
        return named or alone

    def _folded(self) -> bool:
        return self.compiled is not None and self.compiled.refusal is None

    def _decode(self) -> Decode | None:
        return self.compiled.decode if self._folded() else None  # type: ignore[union-attr]

    def _quicker(self) -> dict[str, Any]:
        return {"decode": self._decode(), "seed": self.seed}

    def _tangents(self) -> Tangents | None:
        return self.compiled.tangents if self._folded() else None  # type: ignore[union-attr]

    @staticmethod
    def _alone(through: Operator) -> Operator:
        return through.select(torch.zeros(1, dtype=torch.int64))
