"""`preimage.compare`: models side by side, trained for it or finished before.

A function of the public interface like those in `api`, upon which it stands.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from preimage.api import basics
from preimage.api.observations import report_skipped
from preimage.core import InputError, LatentModel, Step
from preimage.data import Dataset
from preimage.evaluation import Comparison, report
from preimage.evaluation import compare as _compare
from preimage.runs.files import check_free, readable_errors, write_bytes, write_json
from preimage.runs.run import Run

PathLike = str | os.PathLike[str]
Progress = Callable[[Step], None]


def compare(
    *what: PathLike | LatentModel,
    source: PathLike | Dataset | None = None,
    recipes: Sequence[str] = ("vae-gan", "gan"),
    out: PathLike | None = None,
    n: int = 1000,
    prior: str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    **options: Any,
) -> Comparison:
    """Hold models against each other and against real images: a VAE against a GAN, by default.

    what: one source of images, on which each of `recipes` is then trained; or two or more runs,
        or models.
    source: the images to judge runs and models by; unset, those the first run was trained on. Those
        that any run was trained on are left out; a model that is no run is taken to be trained on
        the training side of these.
    out: a folder for `report.html`, `comparison.json` and the runs trained here. Runs and models
        can be compared without one.
    n: samples of each model, no more than there are held-out images.
    prior: to sample from: "normal", "mixture"; unset, each model's own.
    progress: called with each Step of the training, its stage beginning with the recipe's name,
        and of the measuring.
    options: those of `basics.training`: steps, minutes, precision, data, …

    Raises InputError where there is nothing to compare, where the models' images differ in shape,
    and where `out` holds something already.
    """
    folder = None if out is None else Path(out)
    if folder is not None:
        check_free(folder)
    if len(what) == 1:
        (only,) = what
        if isinstance(only, LatentModel) or source is not None or _is_run(only):
            raise InputError("one model has nothing to be compared with; give two, or a source")
        runs = _trained(
            only,
            recipes,
            folder or Path("runs") / f"compare-{Path(only).stem or 'images'}",
            seed=seed,
            device=device,
            progress=progress,
            **options,
        )
        what = tuple(run.path for run in runs.values())
        models = {
            name: basics.load(path, device=device) for name, path in zip(runs, what, strict=True)
        }
    elif options:
        raise InputError(f"'{next(iter(options))}' is an option of training; these are trained")
    else:
        models = _opened(what, device=device)
    images = _images(what, source, progress)
    trained, notes = _trained_on(dict(zip(models, what, strict=True)), progress)
    found = _measured(models, images, progress, trained=trained, n=n, prior=prior, seed=seed)
    found = replace(found, notes=(*found.notes, *notes))
    if folder is not None:
        save(found, folder)
    return found


def save(comparison: Comparison, folder: PathLike) -> Path:
    """Write `report.html` and `comparison.json` into a folder; the path of the page."""
    folder = Path(folder)
    with readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "comparison.json", comparison.to_json())
    write_bytes(folder / "report.html", report(comparison).encode())
    return folder / "report.html"


def _is_run(path: PathLike) -> bool:
    return (Path(path) / "config.json").is_file()


def _trained(
    source: PathLike,
    recipes: Sequence[str],
    folder: Path,
    *,
    progress: Progress | None,
    **options: Any,
) -> dict[str, Run]:
    """A run of each recipe, below `folder`; all of them are set up before the first one trains."""
    if len(set(recipes)) < 2:
        raise InputError("--recipes names fewer than two different recipes; give two or more")
    jobs: dict[str, basics.Training] = {}
    try:
        for name in recipes:
            jobs[name] = basics.training(
                source, recipe=name, out=folder / name, progress=progress, **options
            )
    except InputError:  # leave nothing of those that were accepted before it
        for job in jobs.values():
            shutil.rmtree(job.run.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    for name, job in jobs.items():
        for step in job:
            if progress is not None:
                progress(_of(name, step))
    return {name: job.run for name, job in jobs.items()}


def _of(recipe: str, step: Step) -> Step:
    """The same step, its stage beginning with the recipe's name."""
    stage = f"{recipe}: {step.stage}"
    return Step(step.step, step.total, step.metrics, step.previews, stage, step.notes)


def _opened(what: Sequence[PathLike | LatentModel], *, device: str) -> dict[str, LatentModel]:
    """The models by the names of their folders, or of their classes, numbered where they repeat."""
    if not what:
        raise InputError("nothing to compare; give a source of images, or two or more runs")
    models: dict[str, LatentModel] = {}
    for item in what:
        if isinstance(item, LatentModel):
            name, model = type(item).__name__, item
        else:
            name, model = Path(item).resolve().name, basics.load(item, device=device)
        unique, number = name, 2
        while unique in models:
            unique, number = f"{name} {number}", number + 1
        models[unique] = model
    return models


def _images(
    what: Sequence[PathLike | LatentModel],
    source: PathLike | Dataset | None,
    progress: Progress | None,
) -> Dataset:
    """The images to judge by, in the first run's shape where there is a run."""
    if isinstance(source, Dataset):
        return source
    run = next((Run.open(Path(item)) for item in what if not isinstance(item, LatentModel)), None)
    if run is not None:
        if source is None:
            return basics.run_dataset(run, progress=progress)
        data = basics.fitted(source, run, progress=progress)
    elif source is None:
        raise InputError("models that are no runs need source=, the images to judge them by")
    else:
        data = basics.dataset(source, progress=progress)
    report_skipped(data, progress)
    return data


def _trained_on(
    what: Mapping[str, PathLike | LatentModel], progress: Progress | None
) -> tuple[dict[str, Dataset | None], tuple[str, ...]]:
    """What each run was trained on, None where that has gone, and a note of each of those."""
    trained: dict[str, Dataset | None] = {}
    notes = []
    for name, item in what.items():
        if isinstance(item, LatentModel):
            continue
        try:
            trained[name] = basics.run_dataset(Run.open(Path(item)), progress=progress)
        except InputError as reason:
            trained[name] = None
            notes.append(
                f"What {name} was trained on could not be read, so that it may have seen the real "
                f"images: {reason}"
            )
    return trained, tuple(notes)


def _measured(
    models: Mapping[str, LatentModel], images: Dataset, progress: Progress | None, **options: Any
) -> Comparison:
    """The Comparison that the measuring ends with."""
    for step in _compare(models, images, **options):
        if isinstance(step, Comparison):
            return step
        if progress is not None:
            progress(step)
    raise AssertionError("measuring ends with a Comparison")
