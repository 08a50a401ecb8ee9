"""Directions that are saved with a run, and steps along them as sheets and moving pictures.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.inversions import inverter, latents
from preimage.api.observations import PathLike, Progress, random_seed, report_skipped
from preimage.core import InputError, LatentModel, Unsupported
from preimage.exploration.decoding import check_room
from preimage.exploration.direction import Direction, summary
from preimage.exploration.traversal import STRENGTHS, Effects, Traversal, effects, traverse
from preimage.pictures import check_format, pairs, png
from preimage.runs import directions as files
from preimage.runs.files import check_free, write_out
from preimage.runs.pictures import save_animation
from preimage.runs.run import Run

EFFECTS_AT = 16  # latents over which what directions change is averaged
WIDTH = 1000  # pixels that small images are enlarged towards
FRAMES = 33  # of a moving picture, from one end to the other
FPS = 16


@dataclass(frozen=True)
class Start:
    """Latents to set out from."""

    z: Tensor  # (B, *space.shape)
    labels: Tensor | None  # (B,), of a conditional model
    names: tuple[str, ...]


def save_direction(run: PathLike, direction: Direction) -> Path:
    """Write a direction to RUN/directions. Raises InputError where it belongs to another model."""
    return save_directions(run, [direction])[0]


def load_direction(run: PathLike, name: str, *, model: LatentModel | None = None) -> Direction:
    """A direction of a run by its name.

    model: the run's, where it is at hand; it is loaded otherwise.

    Raises InputError where there is none of that name, and where it was fitted on other weights.
    """
    found = files.load_direction(Run.open(Path(run)).path, name)
    found.check(basics.load(run) if model is None else model)
    return found


def saved_directions(run: PathLike) -> dict[str, Direction]:
    """All directions of a run, by name, whatever weights they were fitted on."""
    return files.all_directions(Run.open(Path(run)).path)


def remove_direction(run: PathLike, name: str) -> Path:
    """Delete one. Raises InputError where there is none of that name."""
    return files.remove_direction(Run.open(Path(run)).path, name)


def export_direction(direction: Direction, path: PathLike) -> Path:
    """Write a direction to a file of its own, to be given to others who have the model."""
    return files.export_direction(direction, Path(path))


def import_direction(path: PathLike, model: LatentModel | PathLike) -> Direction:
    """Read such a file. Raises InputError where it belongs to another model."""
    found = files.import_direction(Path(path))
    found.check(model if isinstance(model, LatentModel) else basics.load(model))
    return found


def save_directions(run: PathLike, directions: Sequence[Direction]) -> list[Path]:
    """Write directions to RUN/directions, all of them or, where one cannot be, none.

    Raises InputError for one that belongs to another model.
    """
    model = basics.load(run)
    for one in directions:
        one.check(model)
        files.check_name(one.name)
    return [files.save_direction(Path(run), one) for one in directions]


def save_directions_sheet(
    run: PathLike,
    directions: Sequence[Direction],
    path: PathLike,
    *,
    starts: int = 1,
    label: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """A sheet of steps along directions from samples, and what a unit of each changes, as JSON."""
    ready = inverter(run, device=device)
    start = starting(run, ready, "random", n=starts, label=label, seed=seed)
    walked = traverse(ready.model, directions, start.z, labels=start.labels)
    save_traversal(walked, path, start=0 if len(directions) > 1 else None)
    found = effects_of(ready.model, directions, seed=seed, label=label)
    return {"directions": described(directions, found), "alike": found.alike()}


def traverse_files(
    run: PathLike,
    by: Sequence[str],
    *,
    out: PathLike,
    images: PathLike = "random",
    n: int = 1,
    strengths: Sequence[float] = STRENGTHS,
    animation: str | None = None,
    label: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    **search: Any,
) -> dict[str, Any]:
    """Sheets of steps along saved directions, a row for each; what was written, and what changes.

    by: names of directions saved with the run; none of them given, all.
    images: where to set out: a file, a folder, …, or "random" or "random:SEED" for samples.
    n: from so many of them, a sheet each.
    animation: also a moving picture of each: "gif", "webp" or "mp4".

    Raises InputError for directions that are not there or belong to another model, for an unknown
    animation, and for an `out` that holds something else.
    """
    folder = Path(out)
    if not any(folder.glob("sheet*.png")):  # of an earlier traversal, which this one replaces
        check_free(folder)
    if animation is not None:
        check_format(animation, FPS)
    ready = inverter(run, device=device)
    if by:
        chosen = [load_direction(run, name, model=ready.model) for name in by]
    elif not (chosen := list(saved_directions(run).values())):
        raise InputError(f"{run} has no directions yet; fit some with: preimage direction {run}")
    start = starting(run, ready, images, n=n, label=label, seed=seed, progress=progress, **search)
    walked = traverse(ready.model, chosen, start.z, labels=start.labels, strengths=strengths)
    found = effects_of(ready.model, chosen, seed=seed, label=label, near=start)
    written: dict[str, Any] = {
        "run": str(run),
        "strengths": list(walked.strengths),
        "starts": list(start.names),
        "directions": described(chosen, found),
        "alike": found.alike(),
        "sheets": [],
        "animations": [],
    }
    moving = None
    if animation is not None:
        low, high = min(strengths), max(strengths)
        fine = torch.linspace(low, high, FRAMES).tolist()
        moving = traverse(ready.model, chosen, start.z, labels=start.labels, strengths=fine)
    for i in range(len(start.z)):
        stem = "sheet" if len(start.z) == 1 else f"sheet-{i + 1}"
        written["sheets"].append(str(save_traversal(walked, folder / f"{stem}.png", start=i)))
        if moving is not None:
            path = folder / f"{stem.replace('sheet', 'moving')}.{animation}"
            written["animations"].append(str(_save_moving(moving, path, i)))
    return written


def starting(
    run: PathLike,
    ready: Any,
    images: PathLike,
    *,
    n: int,
    label: int | str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **search: Any,
) -> Start:
    """Latents of images, or of samples where they are called "random" or "random:SEED"."""
    asked = seed if str(images) == "random" else random_seed(images)
    if asked is not None:
        check_room(ready.model, n)
        z = ready.model.space.sample(n, seed=asked)
        return Start(z, ready.model.labels_for(n, label), tuple(f"sample {i}" for i in range(n)))
    if ready.model.conditional and label is None:
        raise Unsupported("this model is told the class of each image; give --label")
    data = basics.fitted(images, Run.open(Path(run)), progress=progress)
    report_skipped(data, progress)
    z = latents(ready, data, n=n, label=label, progress=progress, **search)
    return Start(z, ready.model.labels_for(len(z), label), tuple(map(str, data.names[: len(z)])))


def effects_of(
    model: LatentModel,
    directions: Sequence[Direction],
    *,
    seed: int = 0,
    label: int | str | None = None,
    near: Start | None = None,
) -> Effects:
    """What a unit of each direction does to images, at samples, or at a start where none are."""
    if not model.space.priors and near is not None:
        return effects(model, directions, near.z, labels=near.labels)
    z = model.space.sample(EFFECTS_AT, seed=seed)
    return effects(model, directions, z, labels=model.labels_for(EFFECTS_AT, label))


def described(directions: Sequence[Direction], found: Effects) -> list[dict[str, Any]]:
    """Each direction in JSON: what is known of it, and what it does to images."""
    return [
        {**summary(one), "change": found.change[i].item(), "share": found.share[i].item()}
        for i, one in enumerate(directions)
    ]


def save_traversal(walked: Traversal, path: PathLike, *, start: int | None = 0) -> Path:
    """One PNG: a row for each direction from one start, or of one direction for every start."""
    if start is not None:
        rows = dict(walked.rows(start))
    else:
        rows = {
            f"{name} {i + 1}" if len(walked.images) > 1 else name: walked.images[i, r]
            for r, name in enumerate(walked.names)
            for i in range(len(walked.images))
        }
    across = walked.images.shape[2] * walked.images.shape[-1]
    drawn = pairs(rows, under=[_signed(s) for s in walked.strengths], scale=_scale(across))
    return write_out(Path(path), png(drawn))


def _save_moving(walked: Traversal, path: Path, start: int) -> Path:
    """All directions at once, each in its row, there and back."""
    frames, scale = [], _scale(4 * walked.images.shape[-1])
    for s, strength in enumerate(walked.strengths):
        rows = {name: images[s : s + 1] for name, images in walked.rows(start).items()}
        frames.append(pairs(rows, under=[_signed(round(strength, 1))], scale=scale))
    return save_animation(frames, path, fps=FPS, ping_pong=True, scale=1)


def _scale(across: int) -> int:
    """Pixels on the sheet for each of an image, of so many side by side."""
    return max(1, WIDTH // across)


def _signed(strength: float) -> str:
    return f"{strength:+g}" if strength else "0"
