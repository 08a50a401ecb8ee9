"""`preimage.counterfactual`: what latents would be with one attribute changed and all others kept.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preimage.api import basics
from preimage.api.examples import Model, Values, asked, of_images, opened, usable
from preimage.api.observations import Images, PathLike, Progress
from preimage.core import LatentModel
from preimage.exploration.counterfactual import Counterfactual, fit_counterfactual
from preimage.exploration.direction import owner
from preimage.runs import counterfactuals as files
from preimage.runs.run import Run


def counterfactual(
    model: Model,
    images: Images | None = None,
    *,
    attributes: Sequence[str] | None = None,
    labels: PathLike | Mapping[str, Values] | None = None,
    n: int | None = None,
    label: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    **search: Any,
) -> Counterfactual:
    """Moves that change one attribute and hold all others, learned from labelled images together.

    Where directions are straight, this bends with the image; it takes thousands of images of which
    all attributes are known, and minutes.

    model: a model, the folder of a run, or an `inverter`.
    images: a data set with attributes; unset, the run's own.
    attributes: only these; the others are then not held. Unset, all with enough examples; of those
        left out a step's notes tell.
    labels: what is known of `images`: a CSV or JSON-lines file, or values (N,) by name.
    n: how many images at most.
    label: the class of all of them, of a conditional model.
    search: settings of `latents`: method of inversion and others, as `inversion="search"`.

    Raises InputError for attributes that are not known or never vary, for too few examples, and
    for images that cannot be used.
    """
    ready, run = opened(model, device)
    options = {"n": n, "label": label, "seed": seed, "progress": progress, **search}
    examples = of_images(ready, run, images, labels, options)
    chosen = list(examples.columns.values())
    if attributes is not None:
        chosen = asked(examples.columns, attributes)
    needed = [] if attributes is None else [column.name for column in chosen]
    return fit_counterfactual(
        examples.latents,
        {column.name: column for column in usable(chosen, needed, progress)},
        model=owner(ready.model),
        seed=seed,
        progress=progress,
    )


def save_counterfactual(run: PathLike, found: Counterfactual) -> Path:
    """Write it to its run, in place of one that is there.

    Raises InputError where it belongs to another model.
    """
    found.check(basics.load(run))
    return files.save_counterfactual(Path(run), found)


def load_counterfactual(run: PathLike, *, model: LatentModel | None = None) -> Counterfactual:
    """What `save_counterfactual` wrote.

    model: the run's, where it is at hand; it is loaded otherwise.

    Raises InputError where there is none, and where it was fitted on other weights.
    """
    found = files.load_counterfactual(Run.open(Path(run)).path)
    found.check(basics.load(run) if model is None else model)
    return found


def saved_counterfactual(run: PathLike) -> Counterfactual | None:
    """That of a run, whatever weights it was fitted on; None where there is none."""
    path = Run.open(Path(run)).path
    return files.load_counterfactual(path) if files.has_counterfactual(path) else None


def remove_counterfactual(run: PathLike) -> Path:
    """Delete that of a run. Raises InputError where there is none."""
    return files.remove_counterfactual(Run.open(Path(run)).path)
