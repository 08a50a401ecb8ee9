"""`preimage.edit`: one thing in an image changed, and nothing else.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.api.inversions import inverter, latents_and_classes
from preimage.api.observations import Images, PathLike, Progress, Tensors, labels_of
from preimage.api.observations import source as observed
from preimage.api.photographs import photographs, read_mask
from preimage.applications.counterfactuals import MOVES, mover
from preimage.applications.editing import Edit, Editor
from preimage.applications.moves import Mover, Value, strength
from preimage.core import InputError, LatentModel
from preimage.core.errors import nearest_name
from preimage.exploration.counterfactual import Counterfactual
from preimage.exploration.direction import Direction
from preimage.inversion import Inverter
from preimage.inversion.encoder import EncodedModel
from preimage.runs.counterfactuals import has_counterfactual, load_counterfactual
from preimage.runs.directions import all_directions
from preimage.runs.editing import FiledEdit, Photographs, Rows, fitting
from preimage.runs.files import check_free
from preimage.runs.run import Run

TUNING = 100  # steps of pivotal tuning
AT_ONCE = 64  # images

Directions = Iterable[Direction]


def edit(
    model: LatentModel | PathLike | Inverter,
    images: Images,
    *,
    by: Mapping[str, Value] | None = None,
    to: Mapping[str, Value] | None = None,
    keep: Sequence[str] = (),
    directions: Directions = (),
    counterfactual: Counterfactual | None = None,
    move: str = "auto",
    mask: Tensor | PathLike | None = None,
    residual: str = "unchanged",
    tune: bool | int = False,
    strip: Sequence[float] = (),
    method: str = "auto",
    labels: Tensor | Sequence[int] | None = None,
    label: int | str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    **search: Any,
) -> Edit:
    """Images with named attributes changed, the rest of them left alone.

    model: a model, the folder of a run, or an `inverter`.
    images: anything `invert` takes; they are edited at the model's size. `edit_files` edits
        photographs at theirs.
    by: how far along each direction, in standard deviations of the attribute: {"smile": 2}.
    to: where each attribute is to be, in its own units, "yes" or "no": {"age": 0.8}. Each image is
        moved as far as it takes. Counterfactuals take one of several values too: {"hair": "grey"}.
    keep: attributes whose readings must stay as they are; of counterfactuals all that they know do.
    directions: besides those that are saved with the run.
    counterfactual: instead of the one that is saved with the run.
    move: "linear" along directions, by "counterfactual", or "auto": what counterfactuals know by
        them, and the rest along directions after it.
    mask: (H, W) of the model's size, 1 where the images may change, 0 where not; or its file.
    residual: what becomes of what the model cannot draw of an image: "unchanged" keeps it where the
        edit changed nothing, "whole" keeps all of it, "none" drops it.
    tune: teach a copy of the generator each image first (pivotal tuning), so that the edit starts
        from the image itself; a number gives the steps.
    strip: strengths at which to show each direction besides.
    method: how latents are found, as `latents` takes it: "auto", "encoder" or "search", with the
        settings of `invert` in `search`.
    labels, label: the classes of a conditional model; unset, they are found.

    Raises InputError for directions that are not known or belong to another model, for strengths
    that are no numbers, and where what is to stay leaves nothing to move.
    """
    ready = model if isinstance(model, Inverter) else inverter(model, device=device)
    run = None if isinstance(model, Inverter | LatentModel) else Path(model)
    moves = mover_of(run, directions, counterfactual, move, by=by, to=to, keep=keep)
    editor, strip = _editor(ready, moves, residual, tune, seed), _strip(strip)
    opened = None if run is None else Run.open(run)
    source = observed(images, ready.model.data, progress, run=opened)
    given = labels_of(ready.model, source, labels, label)
    limited = None if mask is None else _model_mask(mask, ready.model)
    parts = []
    for rows in torch.arange(len(source)).split(AT_ONCE):
        x = source.batch(rows)
        z, y = latents_and_classes(
            ready, x, None if given is None else given[rows], method=method, **search
        )
        names = tuple(str(source.names[i]) for i in rows.tolist())
        parts.append(
            editor.edit(x, z, y, mask=limited, strip=strip, names=names, progress=progress)
        )
    return Edit.concatenated(parts)


def edit_files(
    run: PathLike,
    images: PathLike,
    *,
    out: PathLike,
    by: Mapping[str, Value] | None = None,
    to: Mapping[str, Value] | None = None,
    keep: Sequence[str] = (),
    directions: Directions = (),
    counterfactual: Counterfactual | None = None,
    move: str = "auto",
    mask: PathLike | None = None,
    residual: str = "unchanged",
    tune: bool | int = False,
    strip: Sequence[float] = (),
    method: str = "auto",
    label: int | str | None = None,
    n: int | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    **search: Any,
) -> FiledEdit:
    """The same from files to files: `for step in job:` edits each photograph at its full size.

    What the model changed in the part it sees is added to the photograph; EXIF, colour profile,
    transparency, orientation and format stay. Images that are no files of their own, in an archive
    or an array, are edited at the model's size.

    mask: an image, white where the photographs may change, of their size or of the model's.
    n: at most so many, from the first on.

    Raises InputError as `edit` does, and for an `out` that holds something.
    """
    folder = Path(out)
    check_free(folder)
    opened = Run.open(Path(run))
    ready = inverter(run, device=device)
    moves = mover_of(opened.path, directions, counterfactual, move, by=by, to=to, keep=keep)
    editor, strip = _editor(ready, moves, residual, tune, seed), _strip(strip)
    ready.model.labels_for(1, label)  # or say that there is no such class
    pictures, skipped = _pictures(images, opened, progress)

    def found(x: Tensor) -> tuple[Tensor, Tensor | None]:
        y = labels_of(ready.model, Tensors(x), None, label)
        return latents_and_classes(ready, x, y, method=method, **search)

    settings = {
        "run": str(run), "source": str(images), "move": move,
        "by": {name: float(s) for name, s in (by or {}).items()}, "to": dict(to or {}),
        "keep": list(keep), "mask": None if mask is None else str(mask), "residual": residual,
        "tune": editor.tune, "strip": strip, "method": method, "label": label, "seed": seed,
    }  # fmt: skip
    return FiledEdit(
        pictures, editor, found, folder, settings=settings, n=n, strip=strip, skipped=skipped,
        mask=None if mask is None else _mask(mask), progress=progress,
    )  # fmt: skip


def known(
    run: Path | None, directions: Directions, needed: Collection[str] = ()
) -> dict[str, Direction]:
    """The directions there are, by name: those saved with a run, and those given."""
    saved = {} if run is None else all_directions(run, needed=needed)
    return saved | {direction.name: direction for direction in directions}


def mover_of(
    run: Path | None,
    directions: Directions,
    counterfactual: Counterfactual | None,
    move: str,
    **asked: Any,
) -> Mover:
    """The way to move, of those that are saved with a run and those given."""
    if move not in MOVES:
        raise InputError(f"no way to move '{move}'; {nearest_name(move, MOVES)}")
    needed = {*(asked.get("by") or ()), *(asked.get("to") or ()), *(asked.get("keep") or ())}
    if move == "linear":
        return mover(known(run, directions, needed), None, **asked)
    there = run is not None and has_counterfactual(run)
    if counterfactual is None and run is not None and (there or move == "counterfactual"):
        counterfactual = load_counterfactual(run)
    if counterfactual is None and move == "counterfactual":
        raise InputError("a model has no counterfactuals of its own: give counterfactual=")
    return mover(
        {} if move == "counterfactual" else known(run, directions, needed), counterfactual, **asked
    )


def _strip(strengths: Sequence[float]) -> list[float]:
    return [strength(s, f"--strip {s}", "-3..3") for s in strengths]


def _mask(path: PathLike) -> np.ndarray:
    """A mask from an image file: (H, W) uint8, white where something may change.

    Raises InputError where it cannot be read, or lets nothing through.
    """
    mask = read_mask(path)
    if not mask.any():
        raise InputError(f"--mask {path} is black, so nothing may change; white is what may")
    return mask


def _model_mask(mask: Tensor | PathLike, model: LatentModel) -> Tensor:
    if not isinstance(mask, Tensor):
        return fitting(_mask(mask), model.data.shape[1:])
    if mask.shape[-2:] != model.data.shape[1:]:
        raise InputError(
            f"the mask is of shape {tuple(mask.shape)}; give ({model.data.height}, "
            f"{model.data.width}), as the model's images are"
        )
    return mask


def _editor(ready: Inverter, moves: Mover, residual: str, tune: bool | int, seed: int) -> Editor:
    model = ready.model
    generator = model.generator if isinstance(model, EncodedModel) else model
    return Editor(generator, moves, residual, TUNING if tune is True else int(tune), seed)


def _pictures(
    images: PathLike, run: Run, progress: Progress | None
) -> tuple[Photographs | Rows, list[tuple[str, str]]]:
    """What a person named, as photographs where they are files; and what cannot be used."""
    found, skipped = photographs(images, run, progress)
    if found.data is not None:
        return Rows(found.data), skipped
    return Photographs(found.items, found.target, found.max_pixels), skipped


__all__ = ["Edit", "edit", "edit_files"]
