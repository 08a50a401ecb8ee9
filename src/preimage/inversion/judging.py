"""What there is to know of latents once they are found: verdict, posterior, other solutions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from preimage.core import InputError, Step
from preimage.inversion.curvature import of_values, values_seen
from preimage.inversion.noise import normal
from preimage.inversion.operators import Identity
from preimage.inversion.posterior import ROUNDING, laplace
from preimage.inversion.problem import Problem, content_seeds
from preimage.inversion.result import Inversion
from preimage.inversion.search import Search
from preimage.inversion.searching import each, restarted
from preimage.inversion.settings import Settings
from preimage.inversion.solutions import distinct_solutions
from preimage.inversion.starts import is_shared
from preimage.inversion.verdict import calibrate, contrast_of

if TYPE_CHECKING:
    from preimage.inversion.inverter import Inverter

RECOVERED = 128  # the generator's own images, at most, by which the solver is judged


def judged(inverter: Inverter, found: Inversion, problem: Problem, settings: Settings) -> Inversion:
    """With what was asked for besides the latents, and a verdict where there is a calibration."""
    z = found.z.flatten(1).to(problem.target.device)
    errors = None
    if settings.restarts:
        ends = restarted(inverter, problem, settings.restarts, settings)
        errors = _errors(problem, ends).reshape(len(found), -1).cpu()
        latents = torch.cat([z[:, None], ends.z.reshape(len(z), -1, problem.d)], 1)
        found = replace(found, solutions=tuple(distinct_solutions(problem, latents)))
    if settings.posterior:
        posterior = laplace(problem, z)
        found = replace(
            found,
            latent_std=posterior.std.reshape(found.z.shape).float().cpu(),
            undetermined=tuple(posterior.undetermined),
        )
    calibration = inverter.calibrations.get(settings.key)
    if calibration is None or not settings.verdict:
        return found
    verdicts = calibration.verdict(
        found.error,
        contrast=_contrast(problem).cpu(),
        restarts=errors,
        seeds=problem.seeds.cpu(),
    )
    return replace(found, verdicts=verdicts)


def calibrating(
    inverter: Inverter, heldout: Tensor, labels: Tensor | None, settings: Settings
) -> Iterator[Step]:
    """Make the calibration of these settings, from real images (N, C, H, W) never trained on.

    They are observed as the settings say, with their operator and its noise, and so are samples
    of the generator, rounded to 8 bits.

    Raises InputError where there are no images, or where each image has an operator of its own.
    """
    if not len(heldout):
        raise InputError("a verdict needs held-out images to compare with; give some")
    through = settings.through or Identity()
    n_at_once = settings.images_at_once(inverter.model.data)
    if not is_shared(through, heldout[:1], n_at_once):
        raise InputError("a verdict needs one operator for all images; leave calibration out")
    inverter.calibrations.pop(settings.key, None)
    inverter.calibrated_on.pop(settings.key, None)
    settings = replace(settings, restarts=0, posterior=False)
    yield from inverter.prepare(settings)
    n = min(RECOVERED, len(heldout))
    own = inverter.model.sample(n, seed=inverter.seed + 1)
    own = ((own + 1) * 127.5).round() / 127.5 - 1
    own_labels = inverter.model.labels_for(n)
    errors, contrasts, total = [], [], len(heldout) + len(own)
    for images, classes in ((heldout, labels), (own, own_labels)):
        found, contrast = [], []
        for rows in torch.arange(len(images)).split(n_at_once):
            y = _observed(inverter, images[rows], settings)
            of = None if classes is None else classes[rows]
            found.append(inverter.invert(y, of, settings).error)
            contrast.append(_contrast(inverter.problem(y, of, settings)).cpu())
            done = sum(map(len, (*errors, *found)))
            yield Step(done, total, stage="calibrate the verdict")
        errors.append(torch.cat(found))
        contrasts.append(torch.cat(contrast))
    noise = math.hypot(ROUNDING, through_noise(settings))
    inverter.calibrations[settings.key] = calibrate(*errors, contrast=contrasts[0], noise=noise)
    inverter.calibrated_on[settings.key] = told_apart(heldout)


def told_apart(images: Tensor) -> int:
    """A number by which a set of images (N, C, H, W) is known again."""
    return int(content_seeds(images, 0).sum())


def squared_error(problem: Problem, observed: Tensor) -> Tensor:
    """Mean squared error over the values that were seen, of observations (B, …): (B,)."""
    values = of_values(problem)
    nothing = observed.new_empty(len(observed), 0)
    summed = values.objective.loss(nothing, observed.float(), values.prepared)
    return summed / values_seen(values).clamp_min(1e-12)


def through_noise(settings: Settings) -> float:
    """σ of the noise that the operator says observations have; 0 where it says nothing."""
    return float(getattr(settings.through, "noise", 0.0))


@torch.no_grad()
def _errors(problem: Problem, ends: Search) -> Tensor:
    """Squared errors (B·k,) where several searches of each image ended."""
    many = problem.select(each(len(problem), len(ends.z) // len(problem)))
    return squared_error(many, many.observe(ends.z))


@torch.no_grad()
def _observed(inverter: Inverter, x: Tensor, settings: Settings) -> Tensor:
    """Whole images as these settings say they are observed, each with noise of its own."""
    if settings.through is None:
        return x
    y = settings.through(x.to(inverter.model.device))
    if σ := through_noise(settings):
        seeds = content_seeds(x, settings.seed).to(y.device)
        y = y + σ * normal(seeds, y[0].numel()).reshape(y.shape)
    return y


def _contrast(problem: Problem) -> Tensor:
    """The contrast of each observation (B,), over what was seen."""
    return contrast_of(*of_values(problem).prepared["values"].unbind(1))
