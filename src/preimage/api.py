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
from preimage.data import Dataset
from preimage.data import images as _images
from preimage.data import load as _load_data
from preimage.models import build, wrap
from preimage.runs.run import Run, load
from preimage.runs.training import Training
from preimage.runs.training import resume as _resume
from preimage.runs.training import start as _start
from preimage.training import recipes
from preimage.training.budget import within_minutes

PathLike = str | os.PathLike[str]
DATA_OPTIONS = ("size", "channels", "fit", "background", "range", "labels", "max_pixels")


def dataset(source: PathLike, **options: Any) -> Dataset:
    """The images of a folder, archive, array file or named set: see `preimage.data.load`."""
    return _load_data(source, **options)


def images(source: PathLike | list[PathLike], spec: DataSpec) -> Tensor:
    """Images fitted to a model: (B, C, H, W) in [−1, 1]. `pi.images("me.jpg", model.data)`."""
    return _images(source, spec)


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
    tensorboard: bool = False,
    data: dict[str, Any] | None = None,
    progress: Callable[[Step], None] | None = None,
    **options: Any,
) -> Training:
    """Set a run up; `for step in training:` trains it and writes it to `out`.

    recipe: a name of `recipes()`; unset, one is chosen from the data's size and number.
    steps, minutes: the length of training in all; unset, the recipe's own.
    data: options of `preimage.data.load`: size, channels, fit, background, range, labels.
    progress: called with a Step while images are decoded.
    options: any field of the recipe's model or stages: latent, beta, batch_size, learning_rate, …

    Raises InputError for a source without usable images, an unknown recipe or option, an image
    size the recipe's net cannot take, or an `out` that exists.
    """
    _check_budget(steps, minutes)
    data_options = data or {}
    if out is not None:
        _check_free(Path(out))
    images = _load_data(source, progress=progress, **data_options)
    facts = recipes.Facts(images.spec, len(images.train), tuple(images.classes))
    notes = list(images.notes)
    if recipe is None:
        recipe, why = recipes.chosen(facts)
        notes.append(f"recipe {recipe}: {why}")
    plan = recipes.plan(recipe, facts)
    if options:
        plan = recipes.customised(plan, **options)
    if steps is not None:
        plan = recipes.scaled(plan, steps=steps)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(plan.model)  # also finds what the net cannot take before anything is written
    if minutes is not None:
        plan = within_minutes(
            plan, model, images, minutes, seed=seed, device=device, precision=precision
        )
    run = Run.create(
        Path(out) if out is not None else _free_folder(images.name, recipe),
        plan=plan,
        recipe=recipe,
        data={
            "source": str(source),
            "options": _plain(data_options),
            "name": images.name,
            "fingerprint": images.fingerprint,
            "train": len(images.train),
            "heldout": len(images.heldout),
        },
        training={
            "seed": seed,
            "device": device,
            "precision": precision,
            "validations": validations,
        },
    )
    started = _start(run, images, notes=tuple(notes))
    if tensorboard:
        started.tensorboard()
    return started


def train(source: PathLike, **options: Any) -> Run:
    """Train to the end and return the run: `training` without the steps."""
    job = training(source, **options)
    for _ in job:
        pass
    return job.run


def resume(run: PathLike, *, progress: Callable[[Step], None] | None = None) -> Training:
    """Go on with a run that was stopped or killed, exactly as if it had not been."""
    opened = Run.open(Path(run))
    return _resume(opened, run_dataset(opened, progress=progress))


def run_dataset(run: Run, *, progress: Callable[[Step], None] | None = None) -> Dataset:
    """The images a run was trained on."""
    facts = run.config["data"]
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in facts["options"].items()
    }
    return _load_data(facts["source"], progress=progress, **options)


@dataclass(frozen=True)
class Reconstruction:
    """Images and what a model makes of them; `error` is the mean squared error of each, (B,)."""

    original: Tensor  # (B, C, H, W) in [−1, 1]
    reconstruction: Tensor  # likewise
    error: Tensor


@torch.no_grad()
def reconstruct(
    model: LatentModel, images: Tensor, *, labels: Tensor | None = None, batch_size: int = 256
) -> Reconstruction:
    """Encode and decode: images (B, C, H, W) in [−1, 1], their labels if the model is conditional.

    Raises Unsupported where the model has no encoder.
    """
    parts = []
    for first in range(0, len(images), batch_size):
        x = images[first : first + batch_size].to(model.device)
        y = None if labels is None else labels[first : first + batch_size].to(model.device)
        parts.append(model.decode(model.encode(x, y).mean, y).float().cpu())
    decoded = torch.cat(parts) if parts else images[:0]
    error = (decoded - images.cpu()).square().flatten(1).mean(1)
    return Reconstruction(images.cpu(), decoded, error)


def _check_budget(steps: int | None, minutes: float | None) -> None:
    if steps is not None and minutes is not None:
        raise InputError("--steps and --minutes are two budgets; give one of them")
    if steps is not None and steps < 1:
        raise InputError(f"--steps {steps} trains nothing; give at least 1")
    if minutes is not None and minutes <= 0:
        raise InputError(f"--minutes {minutes:g} trains nothing; give more than 0")


def _check_free(path: Path) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists already; choose another --out, or --resume {path}")


def _free_folder(name: str, recipe: str) -> Path:
    """`runs/NAME-RECIPE`, with a number where that is taken."""
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in name).strip("-") or "images"
    base = Path("runs") / f"{stem}-{recipe}"
    path, number = base, 2
    while path.exists():
        path, number = base.with_name(f"{base.name}-{number}"), number + 1
    return path


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options as JSON can hold them, paths made absolute so that a resume finds them."""
    plain = {}
    for name, value in options.items():
        if value is None or name not in DATA_OPTIONS:
            continue
        plain[name] = str(Path(value).absolute()) if name == "labels" else value
    return plain


__all__ = [
    "Reconstruction",
    "Run",
    "Training",
    "dataset",
    "images",
    "load",
    "reconstruct",
    "resume",
    "train",
    "training",
    "wrap",
]
