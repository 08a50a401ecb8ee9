"""What directions are learned from: latents, and what is known of the images behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.inversions import inverter, latents
from preimage.api.observations import Images, PathLike, Progress, Tensors, labels_of
from preimage.api.observations import source as observed
from preimage.core import InputError, LatentModel, Step, seeds
from preimage.core.errors import nearest_name
from preimage.data import Dataset
from preimage.data import labels as label_files
from preimage.exploration.attributes import Attribute, attribute, columns
from preimage.exploration.joint import twins
from preimage.inversion import Inverter
from preimage.runs.run import Run

EXAMPLES = 10_000  # images to learn from, at most
SEARCHED = 500  # the same where each latent must be searched for
KNOWN = 0.5  # of the images: what is known of fewer must be asked for by name
CLASS = "class"  # the attribute that stands for the classes of a data set

Model = LatentModel | PathLike | Inverter
Values = np.ndarray | Tensor | Sequence[float]
Classifier = Callable[[Tensor], Tensor]  # images (B, C, H, W) in [−1, 1] → values (B,)


@dataclass(frozen=True)
class Examples:
    """Latents, and what is known of the images behind them."""

    latents: Tensor  # (N, *space.shape), on the CPU
    columns: dict[str, Attribute]  # by name, of N values each
    labels: Tensor | None = None  # (N,), the classes that a conditional model is told


def opened(model: Model, device: str) -> tuple[Inverter, Run | None]:
    """The model of examples, and its run where it is one's."""
    run = None if isinstance(model, Inverter | LatentModel) else Run.open(Path(model))
    return (model if isinstance(model, Inverter) else inverter(model, device=device)), run


def of_images(
    ready: Inverter,
    run: Run | None,
    images: Images | None,
    labels: PathLike | Mapping[str, Values] | None,
    options: dict[str, Any],
) -> Examples:
    """Latents of images, at most n of them, drawn by the seed, and their attributes."""
    data = _seen(ready, run, images, options)
    known = _attributes(data, labels, ready.model)
    rows = _drawn(ready, len(data), options)
    some = _some(data, rows)
    classes = labels_of(ready.model, some, None, options["label"])
    taken = {k: replace(column, values=column.values[rows]) for k, column in known.items()}
    return Examples(_latents(ready, some, classes, options), taken, classes)


def of_sides(
    ready: Inverter,
    run: Run | None,
    positive: Images,
    negative: Images,
    name: str,
    options: dict[str, Any],
) -> Examples:
    """The same of images without an attribute and with it, at most n of each."""
    parts, classes = [], []
    for images in (negative, positive):
        data = _seen(ready, run, images, options)
        data = _some(data, _drawn(ready, len(data), options))
        y = labels_of(ready.model, data, None, options["label"])
        classes.append(y)
        parts.append(_latents(ready, data, y, options))
    values = torch.cat([torch.full((len(z),), float(i)) for i, z in enumerate(parts)])
    column = attribute(name, values, meaning=("negative", "positive"))
    together = None if None in classes else torch.cat(classes)
    return Examples(torch.cat(parts), {name: column}, together)


def _seen(
    ready: Inverter, run: Run | None, images: Images | None, options: dict[str, Any]
) -> Dataset | Tensors:
    """Images as the model takes them; those of a run where none are given."""
    progress = options["progress"]
    if run is not None and images is None:
        return basics.run_dataset(run, progress=progress)
    if images is None:
        raise InputError("a model has no images of its own: give images=, or a run's folder")
    return observed(images, ready.model.data, progress, run=run)


def _drawn(ready: Inverter, there: int, options: dict[str, Any]) -> Tensor:
    """Which of the images are taken: indices, in order, by the seed."""
    quick = ready.model.can("encode") and options.get("inversion") != "search"
    n = options["n"] or (EXAMPLES if quick else SEARCHED)
    generator = seeds.generator(options["seed"], "examples")
    return torch.randperm(there, generator=generator)[:n].sort().values


@torch.no_grad()
def of_samples(
    model: LatentModel,
    classifier: Classifier,
    name: str,
    n: int,
    label: int | str | None,
    seed: int,
    batch_size: int = 256,
) -> Examples:
    z, y = model.space.sample(n, seed=seed), model.labels_for(n, label)
    values = []
    for i in range(0, n, batch_size):
        of_part = None if y is None else y[i : i + batch_size]
        x = model.decode(z[i : i + batch_size].to(model.device), of_part).float()
        said = torch.as_tensor(classifier(x)).detach().cpu().double()
        if said.numel() != len(x):
            raise InputError(
                f"the classifier gives {tuple(said.shape)} for {len(x)} images; one value of each "
                "is needed"
            )
        values.append(said.flatten())
    return Examples(z, {name: attribute(name, torch.cat(values))}, y)


def _latents(
    ready: Inverter, data: Dataset | Tensors, classes: Tensor | None, options: dict[str, Any]
) -> Tensor:
    search = {k: v for k, v in options.items() if k not in ("n", "label", "seed", "inversion")}
    how = options.get("inversion", "auto")
    images: Images = data if isinstance(data, Dataset) else data.images
    return latents(ready, images, method=how, labels=classes, **search)


def _some(data: Dataset | Tensors, rows: Tensor) -> Dataset | Tensors:
    if len(rows) == len(data):
        return data
    if isinstance(data, Tensors):
        return Tensors(data.images[rows], data.notes)
    index, none = rows.numpy(), np.empty(0, np.int64)
    return replace(
        data,
        images=data.images[index],
        names=[data.names[i] for i in index],
        hashes=data.hashes[index],
        labels=None if data.labels is None else data.labels[index],
        attributes={},
        train=np.arange(len(index)),
        heldout=none,
    )


def _attributes(
    data: Dataset | Tensors, labels: PathLike | Mapping[str, Values] | None, model: LatentModel
) -> dict[str, Attribute]:
    """What is known of images: of a file or mapping where one is given, and else their own."""
    if isinstance(labels, Mapping):
        return {name: attribute(name, values) for name, values in labels.items()}  # type: ignore[arg-type]
    known: Any = data if isinstance(data, Dataset) else label_files.Table()
    if labels is not None:
        known = label_files.read(Path(labels), [str(name) for name in data.names])
    found = columns(known.attributes, known.categories)
    if known.labels is not None and not model.conditional and CLASS not in found:
        found |= columns({CLASS: known.labels}, {CLASS: known.classes})
    return found


def named(found: Mapping[str, Attribute], name: str, *, whole: bool = False) -> Attribute:
    """The column of that name; `whole` takes the name of an attribute of several values too."""
    if name in found:
        return found[name]
    values = [column for column in found.values() if column.group == name]
    if values and whole:
        return values[0]
    if values:
        names = ", ".join(column.name for column in values)
        raise InputError(f"'{name}' has several values; choose one of: {names}")
    if not found:
        raise InputError(
            f"nothing is known of the images, so not '{name}' either; give labels= (a CSV file), "
            "or positive and negative images"
        )
    raise InputError(f"no attribute '{name}' of the images; {nearest_name(name, found)}")


def asked(found: Mapping[str, Attribute], names: Sequence[str]) -> list[Attribute]:
    """The columns of those names, and all of an attribute of several values by its own."""
    for name in names:
        named(found, name, whole=True)
    return [column for column in found.values() if column.name in names or column.group in names]


def usable(
    wanted: Sequence[Attribute], needed: Sequence[str], progress: Progress | None
) -> list[Attribute]:
    """Those with enough examples, and of two that always go together the first."""
    good, notes = [], []
    for column in wanted:
        if column.name in needed:
            column.check()
        share = column.known.double().mean().item()
        if column.name not in needed and share < KNOWN:
            notes.append(f"left out: '{column.name}', known of {100 * share:.0f} % of the images")
        elif lack := column.lack():
            notes.append(f"left out: {lack}")
        else:
            good.append(column)
    if not good:
        raise InputError(notes[0] if notes else "nothing is known of the images; give labels")
    while (pair := twins(good)) and pair[1] not in needed:
        good = [column for column in good if column.name != pair[1]]
        notes.append(f"left out: '{pair[1]}', which goes together with '{pair[0]}' in every image")
    if notes and progress is not None:
        progress(Step(0, 1, stage="fit", notes=tuple(notes)))
    return good
