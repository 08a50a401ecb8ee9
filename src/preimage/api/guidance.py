"""`preimage.guided`: better samples by exploring the latent space, from runs and from any model.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.observations import Images, Tensors
from preimage.api.observations import source as observed
from preimage.core import InputError, LatentModel, Step, seeds
from preimage.data import Dataset
from preimage.exploration import guided as _guided
from preimage.exploration.guided import GuidedSamples
from preimage.exploration.ratio import MOST, DensityRatio, fit_ratio
from preimage.inversion.fingerprint import fingerprint
from preimage.runs.ratios import load_ratio, save_ratio
from preimage.runs.run import Run

PathLike = str | os.PathLike[str]
Progress = Callable[[Step], None]
BATCH = 500


def guided(
    what: PathLike | LatentModel,
    n: int,
    *,
    method: str = "rejection",
    ratio: DensityRatio | None = None,
    real: Images | None = None,
    seed: int = 0,
    label: int | str | None = None,
    prior: str | None = None,
    batch_size: int = 256,
    device: str = "cpu",
    progress: Progress | None = None,
    **options: Any,
) -> GuidedSamples:
    """n samples nearer to real images than plain ones; sample 7 of a seed is the same whatever n.

    what: the folder of a run, or any model.
    method: "rejection", "metropolis-hastings" or "langevin": a key of `METHODS`.
    ratio: of `density_ratio`; unset, it is fitted to the images of `real`, which are those of the
        run if it is one, and kept with the run.
    label: of a conditional model, a class or its number; unset, the classes in turn.
    options: fields of the method: strength, and percentile, steps, step_size, …

    Raises InputError for a method or option there is not, a rejection that would not end, and a
    model without real images to go by.
    """
    chosen = _guided.method(method, **options)
    model = what if isinstance(what, LatentModel) else basics.load(what, device=device)
    model.labels_for(1, label)  # or say at once that there is no such class
    model.space.chosen(prior)
    if ratio is None:
        ratio = _ratio(what, model, real, prior, seed=0, progress=progress)
    return _guided.guide(
        model, n, chosen, ratio,
        seed=seed, label=label, prior=prior, batch_size=batch_size, progress=progress,
    )  # fmt: skip


def density_ratio(
    what: PathLike | LatentModel,
    real: Images | None = None,
    *,
    prior: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> DensityRatio:
    """log p(x)/q(x), of real images to samples; a run's is fitted once and kept with it.

    what, real: as in `guided`. Of a run, only images that it was trained on are looked at, so
    that what it held out can still judge; of images given, all. Raises InputError where there are
    none, or fewer than 100.
    """
    model = what if isinstance(what, LatentModel) else basics.load(what, device=device)
    return _ratio(what, model, real, prior, seed=seed, progress=progress)


def _ratio(
    what: PathLike | LatentModel,
    model: LatentModel,
    real: Images | None,
    prior: str | None,
    *,
    seed: int,
    progress: Progress | None,
) -> DensityRatio:
    run = None if isinstance(what, LatentModel) else Run.open(Path(what))
    own = run if real is None else None  # whose ratio is kept
    belongs = {"weights": fingerprint(model), "prior": prior or model.space.prior}
    belongs["seed"] = str(seed)
    if own is not None and (found := load_ratio(own.path, **belongs)) is not None:
        return found
    source = _real(run, model, real, progress)
    if progress is not None:
        progress(Step(0, 1, stage="compare samples with real images"))
    rows = np.arange(len(source))
    if own is not None and isinstance(source, Dataset):
        rows = source.train
    found = fit_ratio(model, _batches(source, rows, seed), seed=seed, prior=prior)
    if own is not None:
        save_ratio(own.path, found, **belongs)
    return found


def _real(
    run: Run | None, model: LatentModel, real: Images | None, progress: Progress | None
) -> Dataset | Tensors:
    """The real images to go by."""
    if real is not None:
        return observed(real, model.data, progress)
    if run is None:
        raise InputError("samples are guided by real images, and none are given; pass real=")
    try:
        return basics.run_dataset(run, progress=progress)
    except InputError as error:
        raise InputError(
            f"samples are guided by the images that {run.path} was trained on, and they are gone: "
            f"{error}; put them back, or give others with --real"
        ) from None


def _batches(source: Dataset | Tensors, rows: np.ndarray, seed: int) -> Iterator[Tensor]:
    """At most 50,000 of these images, in an order that the seed decides."""
    order = torch.randperm(len(rows), generator=seeds.generator(seed, "real images"))
    for part in torch.from_numpy(rows)[order[:MOST]].split(BATCH):
        yield source.batch(part)


__all__ = ["GuidedSamples", "density_ratio", "guided"]
