"""`preimage.index`, `open_index` and `search`: images that are like an image, by a model's latents.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from preimage.api.edits import mover_of
from preimage.api.indexes import check_model, described
from preimage.api.inversions import encoded, inverter, latents_and_classes
from preimage.api.observations import Images, PathLike, Tensors, labels_of
from preimage.api.observations import source as observed
from preimage.applications.moves import Value
from preimage.core import InputError, LatentModel
from preimage.data import Dataset
from preimage.inversion import Inverter
from preimage.pictures import pairs, png
from preimage.pictures.thumbnails import opened
from preimage.runs.files import write_out
from preimage.runs.index import Index
from preimage.runs.latents import SavedLatents
from preimage.runs.run import Run

SHAPE = (3, 96, 96)  # of queries' pictures, where there is no model that says


@dataclass(frozen=True)
class Hit:
    """An image that was found."""

    id: int
    name: str  # where it lay when it was indexed
    distance: float
    attributes: Mapping[str, float | str]
    thumbnail: bytes = field(repr=False)  # PNG or JPEG

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "distance": self.distance,
            "attributes": dict(self.attributes),
        }


@dataclass(frozen=True)
class Found:
    """The images that are most like each of B queries, the nearest first."""

    queries: tuple[str, ...]
    images: Tensor  # (B, C, H, W) in [−1, 1]: what was searched for, as the model draws or has it
    hits: tuple[tuple[Hit, ...], ...]
    metric: str
    recall: float | None  # of the ten nearest, the share that is found; None where it is exact
    notes: tuple[str, ...] = ()

    def sheet(self) -> Image.Image:
        """Each query beside what was found, with distances."""
        width = max(1 + len(hits) for hits in self.hits)
        rows, under = {}, [""] * width
        C, H, W = self.images.shape[1:]
        for name, query, hits in zip(self.queries, self.images, self.hits, strict=True):
            shown = [query, *(torch.from_numpy(opened(hit.thumbnail, (C, H, W))) for hit in hits)]
            title, number = Path(name).name or name, 2
            while title in rows:
                title, number = f"{Path(name).name} ({number})", number + 1
            rows[title] = torch.stack(shown)
        if len(self.hits) == 1:
            under = ["asked for", *(f"{hit.distance:.3g}" for hit in self.hits[0])]
        return pairs(rows, under=under if len(self.hits) == 1 else (), padding=4)

    def to_json(self) -> dict[str, Any]:
        asked = zip(self.queries, self.hits, strict=True)
        return {
            "metric": self.metric,
            "recall": self.recall,
            "queries": [
                {"query": name, "found": [hit.to_json() for hit in hits]} for name, hits in asked
            ],
            "notes": list(self.notes),
        }


def open_index(path: PathLike, *, model: LatentModel | PathLike | None = None) -> Index:
    """An index, opened at once: nothing of it is loaded.

    model: a model, or the folder of a run, that must be the index's.

    Raises InputError where there is none, and where another model made it.
    """
    found = Index(Path(path))
    if model is not None:
        check_model(found, model if isinstance(model, LatentModel) else encoded(model))
    return found


def search(
    index: Index | PathLike,
    images: Images | SavedLatents | None = None,
    *,
    z: Tensor | None = None,
    ids: Sequence[int] = (),
    k: int = 12,
    by: Mapping[str, Value] | None = None,
    to: Mapping[str, Value] | None = None,
    keep: Sequence[str] = (),
    move: str = "auto",
    where: str | None = None,
    exact: bool = False,
    model: PathLike | Inverter | None = None,
    label: int | str | None = None,
    method: str = "auto",
    out: PathLike | None = None,
    device: str = "auto",
    **search: Any,
) -> Found:
    """The images of an index that are most like others.

    index: an `Index`, or its folder.
    images: whatever `invert` takes, or latents that were saved; each is a query.
    z: latents (B, *space.shape), instead.
    ids: images of the index, instead; they are not found themselves.
    k: how many of each.
    by, to, keep, move: search for what the image would be with attributes changed, as `edit` takes
        them, by what is saved with the run: by={"smile": 2}.
    where: only images of which this holds: 'smile = yes and age > 0.5 and path ~ holiday'.
    exact: compare with every image, though the index is large.
    model: the run, or an `inverter` of it, that the index was made with; unset, the run it names.
    label: the class of a conditional model's queries; unset, the one found to fit.
    method, search: how latents are found, as `latents` takes them.

    out: a PNG file for a sheet of what was found.

    Raises InputError for queries that cannot be used, a condition that makes no sense, and where
    the model is another than the index was made with.
    """
    found = index if isinstance(index, Index) else Index(Path(index))
    if k < 1:
        raise InputError(f"-k {k} finds nothing; give at least 1")
    if sum([images is not None, z is not None, bool(len(ids))]) != 1:
        raise InputError("give one of: an image, latents, or --id of an image in the index")
    edited = bool(by or to)
    if len(ids) and not edited:
        vectors, asked = found.vectors(ids), _of_ids(found, ids, None)
    else:
        ready = _ready(found, model, device)
        asked = _asked(found, ready, images, z, ids, label, {"method": method, **search})
        run = None if isinstance(model, Inverter) else Path(model or found.about.run or "")
        moved = None
        if edited:
            moves = mover_of(run, (), None, move, by=by, to=to, keep=keep)
            moves.check(ready.model)
            moved = moves.moved(asked.z, moves.strengths(asked.z))
        vectors, asked = _vectors(found, ready.model, asked, moved)
    own = np.asarray(ids) if len(ids) and not edited else np.full(len(vectors), -1)
    distances, numbers = found.search(vectors, k + int(len(ids) > 0), where=where, exact=exact)
    hits = []
    for d, i, one in zip(distances, numbers, own, strict=True):
        there = (i >= 0) & (i != one)
        entries = found.entries(i[there][:k].tolist())
        near = zip(entries, d[there].tolist(), strict=False)
        hits.append(tuple(Hit(e.id, e.name, at, e.attributes, e.thumbnail) for e, at in near))
    kind = found.likeness.kind
    result = Found(asked.names, asked.images, tuple(hits), kind, found.recall, found.notes)
    if out is not None:
        write_out(Path(out), png(result.sheet()))
    return result


@dataclass(frozen=True)
class _Asked:
    """B queries."""

    names: tuple[str, ...]
    images: Tensor  # (B, C, H, W) in [−1, 1]: what is searched for
    z: Tensor  # (B, *space.shape)
    labels: Tensor | None = None


def _ready(found: Index, model: PathLike | Inverter | None, device: str) -> Inverter:
    """The model the index was made with. Raises InputError where it is another."""
    if isinstance(model, Inverter):
        ready = model
    else:
        where = found.about.run if model is None else model
        if where is None:
            raise InputError(f"{found.path} names no run; give --run")
        if model is None and not Path(where).is_dir():
            raise InputError(f"{found.path} was made with {where}, which has gone; give --run")
        ready = inverter(where, device=device)
    check_model(found, ready.model)
    return ready


@torch.no_grad()
def _asked(
    found: Index,
    ready: Inverter,
    images: Images | SavedLatents | None,
    z: Tensor | None,
    ids: Sequence[int],
    label: int | str | None,
    options: Mapping[str, Any],
) -> _Asked:
    model = ready.model
    if isinstance(images, str | Path):
        images = SavedLatents.named(str(images)) or images
    if isinstance(images, SavedLatents):
        z, name = images.read(model), images.path.name
        names = tuple(f"{name}[{i}]" for i in range(len(z)))
        names = (f"{name}[{images.row}]",) if images.row is not None else names
    elif z is not None:
        z = z[None] if z.shape == model.space.shape else z
        if z.shape[1:] != model.space.shape or not z.isfinite().all():
            raise InputError(
                f"latents of shape {tuple(z.shape)}; give finite (B, {_sizes(model.space.shape)})"
            )
        names = tuple(f"latent {i}" for i in range(len(z)))
    elif len(ids):
        asked = _of_ids(found, ids, model)
        return replace(asked, labels=model.labels_for(len(ids), label))
    else:
        assert images is not None
        return _of_images(ready, found, images, label, options)
    y = model.labels_for(len(z), label)
    drawn = model.decode(z.to(model.device), y).float().cpu()
    return _Asked(names, drawn, z.float().cpu(), y)


def _of_images(
    ready: Inverter,
    found: Index,
    images: Images,
    label: int | str | None,
    options: Mapping[str, Any],
) -> _Asked:
    model, where = ready.model, found.about.run
    run = Run.open(Path(where)) if where is not None and Path(where).is_dir() else None
    data = observed(images, model.data, options.get("progress"), run=run)
    x = data.batch(torch.arange(len(data)))
    y = labels_of(model, data, None, label)
    z, y = latents_and_classes(ready, x, y, **options)
    names = tuple(str(name) for name in data.names)
    if isinstance(data, Dataset) and len(data) == 1:
        names = (Path(data.source).name,)
    elif isinstance(images, Sequence) and isinstance(data, Tensors):
        names = tuple(
            str(one) if isinstance(one, str | Path) else str(i) for i, one in enumerate(images)
        )
    return _Asked(names, x, z.float().cpu(), y)


def _of_ids(found: Index, ids: Sequence[int], model: LatentModel | None) -> _Asked:
    """Images of the index, by their thumbnails."""
    entries = found.entries(ids)
    shape = SHAPE if model is None else (model.data.channels, model.data.height, model.data.width)
    x = torch.from_numpy(np.stack([opened(e.thumbnail, shape) for e in entries]))
    z = torch.from_numpy(np.stack([e.latent for e in entries])).reshape(-1, *found.about.latent)
    return _Asked(tuple(f"#{e.id} {Path(e.name).name}" for e in entries), x, z)


@torch.no_grad()
def _vectors(
    found: Index, model: LatentModel, asked: _Asked, moved: Tensor | None
) -> tuple[np.ndarray, _Asked]:
    """What is searched for; latents that moved are drawn, to be seen.

    Features of an edited image are those of the image, and what the edit changed between the
    model's drawings: so what the model cannot draw stays what it was.
    """
    features, y = found.likeness.of_features, asked.labels
    seen = described(model, features, asked.z, asked.images, y)
    if moved is None:
        return found.likeness(seen), asked
    told = None if y is None else y.to(model.device)
    drawn = model.decode(moved.to(model.device), told).float().cpu()
    if not features:
        seen = described(model, False, moved, None, y)
    else:
        before = described(model, True, asked.z, None, y)
        seen = seen + described(model, True, moved, drawn, y) - before
    return found.likeness(seen), replace(asked, images=drawn, z=moved)


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


__all__ = ["Found", "Hit", "Index", "open_index", "search"]
