"""What `preimage` offers to a program: functions that take paths, sources and models.

The command line and the studio call these and nothing below them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from preimage.core import DataSpec, InputError, LatentModel, Step
from preimage.core.config import to_json
from preimage.core.errors import nearest_name
from preimage.data import Dataset, NamedSet
from preimage.data import cache as _cache
from preimage.data import datasets as _datasets
from preimage.data import images as _images
from preimage.data import load as _load_data
from preimage.data.assemble import sides_of
from preimage.data.cache import Entry as CacheEntry
from preimage.data.source import recorded
from preimage.models import build, wrap
from preimage.models.shapes import shapes_only
from preimage.runs.files import check_free, unused_folder
from preimage.runs.images import facts as _facts
from preimage.runs.images import fitted, run_dataset
from preimage.runs.images import known_options as _known_options
from preimage.runs.pictures import save_animation, save_images, save_latents, save_sheet
from preimage.runs.run import Run
from preimage.runs.run import load as _load_run
from preimage.runs.training import Training, new_trainer, summary_writer
from preimage.runs.training import resume as _resume
from preimage.training import private_plan
from preimage.training import recipes as _recipes
from preimage.training.budget import within_minutes
from preimage.training.precision import best_device
from preimage.training.private_plan import check_private, check_range
from preimage.training.recipes import Plan, Recipe

PathLike = str | os.PathLike[str]
LONGEST = 60 * 24 * 366  # minutes of training


def dataset(source: PathLike, **options: Any) -> Dataset:
    """The images of a folder, archive, array file or named set: see `preimage.data.load`."""
    return _load_data(source, **options)


def images(source: PathLike | list[PathLike], spec: DataSpec) -> Tensor:
    """Images fitted to a model: (B, C, H, W) in [−1, 1]. `pi.images("me.jpg", model.data)`."""
    return _images(source, spec)


def recipes() -> dict[str, Recipe]:
    """Every named way to train, with the paper it follows."""
    return dict(_recipes.RECIPES)


def recipe(name: str) -> Recipe:
    """One of them. Raises InputError for a name that is none."""
    return _recipes.named(name)


@dataclass(frozen=True)
class Proposal:
    """What a recipe makes of some images: the model and the stages that would train it."""

    recipe: str
    reason: str  # why this recipe, where it was chosen and not asked for
    plan: Plan
    parameters: int  # of the model

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "reason": self.reason,
            "parameters": self.parameters,
            "plan": to_json(self.plan),
        }


def plan(
    images: Dataset,
    *,
    recipe: str | None = None,
    steps: int | None = None,
    conditional: bool = False,
    private: float | None = None,
    **options: Any,
) -> Proposal:
    """The recipe, fitted to a data set and changed as asked: see `training` for the options.

    Raises InputError for an unknown recipe or option, and for images the recipe's net cannot take.
    """
    facts = _recipes.Facts(images.spec, len(images.train), tuple(images.classes))
    reason = ""
    if recipe is None:
        recipe, reason = (_recipes if private is None else private_plan).chosen(facts)
    planned = _recipes.plan(recipe, facts)
    if conditional:
        options = {"classes": _recipes.labelled(facts), **options}
    if private is not None:
        planned = private_plan.private(planned, facts.n, epsilon=private, recipe=recipe, **options)
    elif options:
        planned = _recipes.customised(planned, **options)
    if steps is not None:
        planned = _recipes.scaled(planned, steps=steps)
    with shapes_only():
        parameters = sum(p.numel() for p in build(planned.model).parameters())
    return Proposal(recipe, reason, planned, parameters)


def training(
    source: PathLike,
    *,
    recipe: str | None = None,
    out: PathLike | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    validations: int = 10,
    best: str | None = None,
    tensorboard: bool = False,
    conditional: bool = False,
    private: float | None = None,
    data: dict[str, Any] | None = None,
    progress: Callable[[Step], None] | None = None,
    **options: Any,
) -> Training:
    """Set a run up; `for step in training:` trains it and writes it to `out`.

    recipe: a name of `recipes()`; unset, one is chosen from the data's size and number.
    steps, minutes: the length of training in all; unset, the recipe's own.
    validations: how often each stage is judged on held-out images, pictured and saved.
    best: what the best weights are chosen by, of `judging.FIGURES`; unset, each stage's own loss.
    conditional: whether the model is told the class of each image.
    private: ε of differential privacy for each training image, with which go the options `delta`
        and `max_grad_norm`; takes the extra `private`. See `training/private.py`.
    data: options of `preimage.data.load`: size, channels, fit, background, range, labels, …
    progress: called with a Step while images are decoded.
    options: any field of the recipe's model or stages: latent, beta, batch_size, learning_rate, …

    Raises InputError for a source without usable images, an unknown recipe or option, an image
    size the recipe's net cannot take, or an `out` that exists; nothing is written then.
    """
    _check_budget(steps, minutes)
    if tensorboard:
        summary_writer()  # or say that it is missing
    check_private(private, best, options)
    data_options = _known_options(data or {})
    if out is not None:
        check_free(Path(out), f"choose another --out, or --resume {out}")
    images = _load_data(source, progress=progress, **data_options)
    if private is not None:
        check_range(images, data_options)
    proposal = plan(
        images, recipe=recipe, steps=steps, conditional=conditional, private=private, **options
    )
    settings = {"seed": seed, "device": device, "precision": precision, "validations": validations}
    settings |= {} if best is None else {"best": best}
    planned = proposal.plan
    if minutes is not None:
        if progress is not None:
            progress(Step(0, 1, stage="time a few steps"))
        planned = within_minutes(planned, build(planned.model), images, minutes, **settings)
    trainer = new_trainer(planned, images, **settings)  # finds what is wrong before any writing
    planned = Plan(planned.model, trainer.stages)
    run = Run.create(
        Path(out) if out is not None else unused_folder(images.name, proposal.recipe),
        plan=planned,
        recipe=proposal.recipe,
        sides=sides_of(images),
        data=_facts(recorded(source), images, **data_options),
        training=settings,
    )
    notes = images.summary().splitlines()
    if proposal.reason:
        notes.append(f"recipe {proposal.recipe}: {proposal.reason}")
    if private is not None and (groups := images.duplicates):
        notes.append(
            f"an image that is there {max(map(len, groups))} times is promised as many times the ε"
        )
    return Training(run, trainer, notes=tuple(notes), tensorboard=tensorboard)


def train(source: PathLike, **options: Any) -> Run:
    """Train to the end and return the run: `training` without the steps."""
    job = training(source, **options)
    for _ in job:
        pass
    return job.run


def resume(run: PathLike, *, progress: Callable[[Step], None] | None = None) -> Training:
    """Go on with a run that was stopped or killed, exactly as if it had not been."""
    opened = Run.open(Path(run))
    opened.check_resumable()
    return _resume(opened, run_dataset(opened, progress=progress))


def load(run: PathLike, *, device: str = "cpu") -> LatentModel:
    """The model of a run, in evaluation mode, with its best weights.

    device: "cpu", "cuda", …, or "auto" for the best there is.

    Raises InputError where the folder is no run, is half-written, is from a newer version, or
    where its weights do not fit its config.
    """
    return _load_run(Path(run)).to(best_device(device))


@dataclass(frozen=True)
class Reconstruction:
    """Images and what a model makes of them; `error` is the mean squared error of each, (B,)."""

    original: Tensor  # (B, C, H, W) in [−1, 1]
    reconstruction: Tensor  # likewise
    latents: Tensor  # (B, *space.shape)
    error: Tensor


@torch.no_grad()
def reconstruct(
    model: LatentModel, images: Tensor, *, labels: Tensor | None = None, batch_size: int = 256
) -> Reconstruction:
    """Encode and decode: images (B, C, H, W) in [−1, 1], their labels if the model is conditional.

    Raises Unsupported where the model has no encoder.
    """
    latents, decoded = [], []
    for first in range(0, len(images), batch_size):
        x = images[first : first + batch_size].to(model.device)
        y = None if labels is None else labels[first : first + batch_size].to(model.device)
        z = model.encode(x, y).mean
        latents.append(z.cpu())
        decoded.append(model.decode(z, y).float().cpu())
    original = images.cpu()
    made = torch.cat(decoded) if decoded else original[:0]
    z = torch.cat(latents) if latents else torch.empty(0, *model.space.shape)
    return Reconstruction(original, made, z, (made - original).square().flatten(1).mean(1))


def class_labels(
    model: LatentModel, images: Dataset, *, label: int | str | None = None
) -> Tensor | None:
    """The labels (N,) a conditional model needs for images; None for one that needs none.

    label: one class for all; unset, the images' own, matched by name.

    Raises InputError where the images have none, or classes the model does not know.
    """
    if not model.conditional or label is not None:
        return model.labels_for(len(images), label)
    own = images.batch_labels(range(len(images)))
    if own is None:
        raise InputError(
            f"this model is told the class of each image, and {images.source} has none; "
            "give --label, or one subfolder for each class"
        )
    for name in images.classes:
        if name not in model.classes:
            raise InputError(
                f"{images.source}: no class '{name}'; {nearest_name(name, model.classes)}"
            )
    return torch.tensor([model.classes.index(name) for name in images.classes])[own]


def datasets() -> list[NamedSet]:
    """The data sets that are known by name."""
    return _datasets()


def cached() -> list[CacheEntry]:
    """The decoded data sets that are kept on disk."""
    return _cache.entries()


def clear_cache(*, downloads: bool = False) -> int:
    """Delete the decoded data sets, and downloads too if asked; the bytes that were freed."""
    return _cache.clear(downloads=downloads)


def _check_budget(steps: int | None, minutes: float | None) -> None:
    if steps is not None and minutes is not None:
        raise InputError("--steps and --minutes are two budgets; give one of them")
    if steps is not None and steps < 1:
        raise InputError(f"--steps {steps} trains nothing; give at least 1")
    if minutes is not None and not 0 < minutes <= LONGEST:
        raise InputError(f"--minutes {minutes:g} is no length; give more than 0, at most {LONGEST}")


__all__ = [
    "CacheEntry",
    "NamedSet",
    "Proposal",
    "Recipe",
    "Reconstruction",
    "Run",
    "Training",
    "cached",
    "class_labels",
    "clear_cache",
    "dataset",
    "datasets",
    "fitted",
    "images",
    "load",
    "plan",
    "recipe",
    "recipes",
    "reconstruct",
    "resume",
    "save_animation",
    "save_images",
    "save_latents",
    "save_sheet",
    "train",
    "training",
    "wrap",
]
