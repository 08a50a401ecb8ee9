"""`preimage.index`: an index of images by a model's latents, made and brought up to date.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.inversions import inverter, latents_and_classes
from preimage.api.observations import PathLike, Progress, labels_of
from preimage.applications.filters import PATH, Column
from preimage.applications.likeness import (
    CHANGES,
    POINTS,
    Likeness,
    check_kind,
    decoder_gram,
    fit,
    slightly_changed,
)
from preimage.core import InputError, LatentModel, Step, seeds
from preimage.data import Dataset
from preimage.data import labels as label_files
from preimage.inversion import Inverter
from preimage.inversion.fingerprint import fingerprint
from preimage.pictures.thumbnails import thumbnails
from preimage.runs.index import About, Index, Writer, check_new, create, is_index
from preimage.runs.index_store import Rows
from preimage.runs.run import Run

COMMITTED = 4096  # images at a time: what a kill may lose
LEARNED = 2000  # images that a likeness is fitted to
SEARCHED = 200  # the same where each latent must be searched for
COMPARED = 10_000  # names among which the nearest to a mistyped one is looked for
ID = "id:"  # before a number that could be a folder's name
CLASS = "class"  # what labels are called among attributes


@dataclass(frozen=True)
class Indexed:
    """What became of an index."""

    index: Index
    added: int
    known: int  # images that were there already
    updated: int  # of those added: images whose file held another before
    removed: int
    skipped: tuple[tuple[str, str], ...]  # (name, reason) of files that cannot be used

    def to_json(self) -> dict[str, Any]:
        return {
            "index": str(self.index.path),
            "images": len(self.index),
            "metric": self.index.likeness.kind,
            "backend": self.index.backend,
            "recall": self.index.recall,
            "added": self.added,
            "known": self.known,
            "updated": self.updated,
            "removed": self.removed,
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
            "notes": list(self.index.notes),
        }


def index(
    run: PathLike,
    images: PathLike | None = None,
    *,
    out: PathLike,
    labels: PathLike | None = None,
    remove: Sequence[str | int] = (),
    metric: str = "auto",
    backend: str = "files",
    label: int | str | None = None,
    n: int | None = None,
    method: str = "auto",
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    **search: Any,
) -> Indexed:
    """Make an index of images, or bring one up to date.

    Images that are there by content are not added again; where a file holds another image than it
    did, the new one takes the place of the old. What is done is committed a few thousand images at
    a time, and going on is calling it again.

    run: the folder of a run.
    images: a folder, file, archive or name of a data set; unset, the run's own, unless something
        is to be removed only.
    out: the folder of the index.
    labels: a CSV or JSON-lines file of what is known of `images`; with their own attributes and
        classes it is what `search` can ask for.
    remove: ids, or paths as they were added; a folder stands for all below it. "id:3" is the id
        where a folder is called 3.
    metric: "latent", "cosine", "whitened", "decoder", "steady" or "features", as
        `applications/likeness.py` says; "auto" is "steady", or what an index that is there has.
    backend: "files" or "lance" (an extra: preimage[scale]).
    label: the class of all images, of a conditional model; unset, their own.
    n: at most so many images, from the first on.
    method, search: how latents are found, as `latents` takes them.

    Raises InputError for an index that another model made, or of another metric or backend, for
    what is to be removed and is not there, and for images that cannot be used.
    """
    folder, opened = Path(out), Run.open(Path(run))
    ready = inverter(run, device=device)
    options = {"method": method, **search}
    if is_index(folder):
        there = Index(folder)
        check_model(there, ready.model)
        _check_same(there, metric, backend)
    elif remove:
        raise InputError(f"{folder} is no index, so nothing can be removed from it")
    else:
        check_new(folder, backend)  # before anything is learned
    data = None
    if images is not None or not remove:
        data = _data(opened, images, labels, progress)
    if not is_index(folder):
        assert data is not None
        kind = check_kind(metric, ready.model)
        likeness = _fitted(ready, opened, data, kind, label, seed, options, progress)
        image = str(ready.model.data)
        shape, where = ready.model.space.shape, str(opened.path.absolute())
        about = About(fingerprint(ready.model), where, tuple(shape), image)
        create(folder, about, likeness, backend)
    removed, done = 0, (0, 0, 0)
    with Writer(folder) as writer:
        if remove:
            gone = _meant(writer.index, remove)
            writer.remove(gone)
            removed = len(gone)
        if data is not None:
            known = labels_of(ready.model, data, None, label)
            done = _add(writer, ready, data, known, n, options, progress)
        if progress is not None:
            progress(Step(0, 1, stage="settle"))
        writer.settle()
    skipped = () if data is None else tuple(data.skipped)
    return Indexed(Index(folder), *done, removed, skipped)


def check_model(index: Index, model: LatentModel) -> None:
    """Raises InputError where another model made the index."""
    if index.about.model != (own := fingerprint(model)):
        where = "" if index.about.run is None else f", that of {index.about.run}"
        raise InputError(
            f"{index.path} was made with model {index.about.model}{where}, and this is model "
            f"{own}; make another index"
        )


@torch.no_grad()
def described(
    model: LatentModel, of_features: bool, z: Tensor, x: Tensor | None, labels: Tensor | None
) -> np.ndarray:
    """What a likeness compares, (B, D): latents, or features of images, drawn where need be."""
    if not of_features:
        return z.flatten(1).float().cpu().numpy()
    y = None if labels is None else labels.to(model.device)
    seen = model.decode(z.to(model.device), y) if x is None else x.to(model.device)
    return model.features(seen).flatten(1).float().cpu().numpy()


def _check_same(index: Index, metric: str, backend: str) -> None:
    if metric not in ("auto", index.likeness.kind):
        raise InputError(
            f"{index.path} compares by {index.likeness.kind}, not {metric}; make another index"
        )
    if backend not in ("files", index.backend):
        raise InputError(f"{index.path} is kept by {index.backend}, not {backend}")


def _data(run: Run, images: PathLike | None, labels: PathLike | None, progress: Any) -> Dataset:
    """The images as the model takes them, with what is known of them."""
    if images is None:
        data = basics.run_dataset(run, progress=progress)
    else:
        data = basics.fitted(images, run, progress=progress)
    if labels is None:
        return data
    table = label_files.read(Path(labels).expanduser(), [str(name) for name in data.names])
    return replace(
        data,
        labels=data.labels if table.labels is None else table.labels,
        classes=data.classes if table.labels is None else table.classes,
        attributes={**data.attributes, **table.attributes},
        categories={**data.categories, **table.categories},
    )


def _fitted(
    ready: Inverter,
    run: Run,
    data: Dataset,
    kind: str,
    label: int | str | None,
    seed: int,
    options: Mapping[str, Any],
    progress: Progress | None,
) -> Likeness:
    """How images are compared, learned from those the run was trained on, where they are there."""
    model = ready.model
    with suppress(InputError):  # where they have gone, those to be indexed are as good
        data = basics.run_dataset(run, progress=progress)
    g = seeds.generator(seed, "likeness")
    quick = model.can("encode") or kind == "features"
    train = torch.from_numpy(data.train if len(data.train) else np.arange(len(data)))
    rows = train[torch.randperm(len(train), generator=g)[: LEARNED if quick else SEARCHED]]
    known = labels_of(model, data, None, label)
    y = None if known is None else known[rows]
    x = data.batch(rows)

    def seen(images: Tensor) -> Tensor:
        features = kind == "features"
        z = (
            torch.empty(0)
            if features
            else latents_and_classes(ready, images, y, **options)[0].cpu()
        )
        return torch.from_numpy(in_batches(model, features, z, images, y))

    if progress is not None:
        progress(Step(0, 1, stage="likeness"))
    own, changed, gram = seen(x), [], None
    if kind in ("steady", "features"):
        rounds = CHANGES if quick else 1
        changed = [seen(slightly_changed(x, g)) for _ in range(rounds)]
    if kind == "decoder":
        at = own[:POINTS].reshape(-1, *model.space.shape).to(model.device)
        told = None if y is None else y[:POINTS].to(model.device)
        gram = decoder_gram(lambda z: model.decode(z, told), at, g)
    return fit(kind, own, changed, gram)


def in_batches(
    model: LatentModel, features: bool, z: Tensor, x: Tensor | None, y: Tensor | None
) -> np.ndarray:
    n = len(z) if x is None else len(x)
    parts = [
        described(
            model,
            features,
            z[rows] if len(z) else z,
            None if x is None else x[rows],
            None if y is None else y[rows],
        )
        for rows in torch.arange(n).split(256)
    ]
    return np.concatenate(parts)


def _add(
    writer: Writer,
    ready: Inverter,
    data: Dataset,
    known: Tensor | None,
    n: int | None,
    options: Mapping[str, Any],
    progress: Progress | None,
) -> tuple[int, int, int]:
    """Commit images that are not there; how many are added, known, and in an old one's place."""
    if n is not None and n < 1:
        raise InputError(f"n={n} leaves no image; give at least 1")
    names = _paths(data)
    total = len(data) if n is None else min(n, len(data))
    _, first = np.unique(data.hashes[:total], return_index=True)
    new = np.sort(first[~np.isin(data.hashes[first], writer.index.hashes)])
    stale = _stale(writer.index, names[:total], data.hashes[:total])
    columns = _columns(data)
    features = writer.index.likeness.of_features
    for rows in torch.from_numpy(new).split(COMMITTED) if len(new) else ():
        parts = []
        for some in rows.split(256):
            if progress is not None:
                progress(Step(int(np.searchsorted(new, some[0])), len(new), stage="index"))
            x, y = data.batch(some), None if known is None else known[some]
            z = latents_and_classes(ready, x, y, **options)[0].cpu()
            seen = described(ready.model, features, z, x, y)
            parts.append((z.flatten(1).float().numpy(), writer.index.likeness(seen), thumbnails(x)))
        z, vectors, small = zip(*parts, strict=True)
        writer.add(
            Rows(
                [names[i] for i in rows],
                data.hashes[rows.numpy()],
                np.concatenate(z),
                np.concatenate(vectors),
                [one for part in small for one in part],
                {name: replace(c, values=c.values[rows.numpy()]) for name, c in columns.items()},
            )
        )
    if len(stale):
        writer.remove(stale)
    return len(new), total - len(new), len(stale)


def _paths(data: Dataset) -> list[str]:
    """Where each image lies: its file, or its place in the source."""
    source = Path(data.source)
    if source.is_file() and len(data) == 1:
        return [str(source)]
    if source.is_dir():
        return [str(source / name) for name in data.names]
    return [f"{data.source}:{name}" for name in data.names]


def _columns(data: Dataset) -> dict[str, Column]:
    """What is known of the images, by names that can be asked for."""
    found = {}
    if data.labels is not None and data.classes:
        found[CLASS] = Column(data.labels.astype(np.float32), data.classes)
    for name, values in data.attributes.items():
        title = f"{name} (attribute)" if name in (PATH, CLASS) else name
        found[title] = Column(values.astype(np.float32), tuple(data.categories.get(name, ())))
    return found


def _stale(index: Index, names: Sequence[str], hashes: np.ndarray) -> np.ndarray:
    """Ids of images whose place holds another image now."""
    now: dict[str, set[int]] = {}
    for name, content in zip(names, hashes.tolist(), strict=True):
        now.setdefault(name, set()).add(content)
    rows = zip(index.ids.tolist(), index.names, index.hashes.tolist(), strict=True)
    return np.array([i for i, name, h in rows if name in now and h not in now[name]], np.int64)


def _meant(index: Index, remove: Sequence[str | int]) -> np.ndarray:
    """Ids of images by id, path, end of a path, or folder.

    Raises InputError for what is none of these, and for a number that is an id and a folder's name.
    """
    names, ids = index.names, index.ids.tolist()
    gone: set[int] = set()
    for one in remove:
        text = str(one)
        number = text.removeprefix(ID)
        if number.isdecimal():
            if one == number and (folder := _called(number, names)):
                raise InputError(
                    f"'{number}' (--remove) is an id, and {folder} is called so too; give "
                    f"{ID}{number}, or that path"
                )
            found = [int(number)] if int(number) in index.ids else []
        else:
            path = str(Path(text).absolute()) if Path(text).exists() else text.rstrip("/")
            found = [
                i for i, name in zip(ids, names, strict=True)
                if name in (path, text) or name.startswith(f"{path}/") or name.endswith(f"/{text}")
            ]  # fmt: skip
        if not found:
            raise InputError(f"{index.path} has no image '{text}'; {_nearest(text, names)}")
        gone |= set(found)
    return np.array(sorted(gone), np.int64)


def _called(name: str, names: Sequence[str]) -> str | None:
    """The first folder or file of that name; None where there is none."""
    for path in names:
        at = f"{path}/".find(f"/{name}/")
        if at >= 0:
            return f"{path[:at]}/{name}"
    return None


def _nearest(text: str, names: Sequence[str]) -> str:
    """What may have been meant, for an error; of names as much as was typed, from their ends."""
    if text.removeprefix(ID).isdecimal() or not names:
        return f"it holds {len(names):,} images"
    typed = len(PurePath(text).parts)
    ends = ["/".join(PurePath(name).parts[-typed:]) for name in names[:COMPARED]]
    close = get_close_matches(text, ends, n=1)
    return f"did you mean '{close[0]}'?" if close else f"give a path such as {names[0]}"


__all__ = ["Indexed", "index"]
