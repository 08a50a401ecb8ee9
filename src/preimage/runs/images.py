"""What a run knows of its images: where they are, how they were read, and which were held out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from preimage.core import InputError, Step
from preimage.core.errors import nearest_name
from preimage.data import Dataset, load
from preimage.data.cache import split_from_json
from preimage.data.options import checked
from preimage.data.source import is_gone
from preimage.runs.files import read_json
from preimage.runs.run import Run

PathLike = str | os.PathLike[str]
Progress = Callable[[Step], None]

OPTIONS = (
    "size",
    "channels",
    "fit",
    "background",
    "range",
    "labels",
    "split",
    "max_pixels",
    "deduplicate",
)
"""What decides which images come of a source; a run remembers it."""
LOADING = ("cache", "workers")
"""How they are decoded; a resumed run may do otherwise."""


def known_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options of `preimage.data.load`, none of them misspelt."""
    known = (*OPTIONS, *LOADING)
    for name in options:
        if name not in known:
            raise InputError(f"no option '{name}' of data; {nearest_name(name, known)}")
    return options


def facts(source: str, images: Dataset, **options: Any) -> dict[str, Any]:
    """What a run's config says of the images it is trained on, read with these options."""
    known = {
        "source": source,
        "options": _plain(options),
        "name": images.name,
        "fingerprint": images.fingerprint,
        "labels": images.labels_hash,
        "train": len(images.train),
        "heldout": len(images.heldout),
        "range": images.value_range,
    }
    return {name: value for name, value in known.items() if name != "labels" or value is not None}


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON can hold them, paths made absolute so that a resume finds them."""
    plain = {name: options[name] for name in OPTIONS if options.get(name) is not None}
    if "labels" in plain:
        plain["labels"] = str(Path(plain["labels"]).expanduser().absolute())
    return plain


def reading(run: Run) -> dict[str, Any]:
    """The options of `preimage.data.load` that a run's images were read with.

    Raises InputError where its config has them wrong.
    """
    run.check_config("data")
    data = run.config["data"]
    options: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in data["options"].items()
    }
    try:
        known_options(options)
        read = {k: v for k, v in options.items() if k not in ("labels", "deduplicate")}
        checked(**read)
        checked(range=data.get("range"))
        if not isinstance(options.get("labels", ""), str):
            raise TypeError(f"labels are {options['labels']!r}")
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise InputError(
            f"{run.path}/config.json has no valid data.options: {error}; "
            "put the file back as it was"
        ) from None
    return options


def _as_its_own(run: Run) -> dict[str, Any]:
    """The size, channels and range that a run's images came to have."""
    run.check_model()
    spec, span = run.plan.model.data, run.config["data"].get("range")
    size = {"size": (spec.height, spec.width), "channels": spec.channels}
    return size | ({"range": tuple(span)} if span else {})


def run_dataset(run: Run, *, progress: Progress | None = None) -> Dataset:
    """The images a run was trained on: those added since are read as the others were, and none
    that was held out is no more.

    Raises InputError where they are gone.
    """
    options = reading(run) | {"sides": sides(run), "progress": progress}
    source, own = run.config["data"]["source"], _as_its_own(run)
    if is_gone(source):
        mend = "put it back, or give other images"
        raise InputError(f"{run.path} was trained on {source}, which is gone; {mend}")
    images = load(source, **options)
    alike = images.spec.shape == run.plan.model.data.shape
    if alike and images.value_range == own.get("range", images.value_range):
        return images
    return load(source, **options | own)


def fitted(
    source: PathLike,
    run: Run,
    *,
    sides: Mapping[int, bool] | None = None,  # as those of `data.load`
    progress: Progress | None = None,
) -> Dataset:
    """Other images, brought to a run's size, channels and range as its own were."""
    options = reading(run) | _as_its_own(run)
    for own in ("labels", "split", "deduplicate"):  # they are about the run's own images
        options.pop(own, None)
    return load(source, sides=sides, progress=progress, **options)


def sides(run: Run) -> dict[int, bool] | None:
    """Hash of an image → whether the run held it out; None of a run that does not say."""
    if not run.split_path.is_file():
        return None
    try:
        return split_from_json(read_json(run.split_path))
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{run.split_path} is broken; put it back as it was, or delete it to have the "
            "images split anew"
        ) from None


def check_unchanged(run: Run, data: Dataset) -> None:
    """Raises InputError where the data are not those the run began with: the order of images, and
    so every step, would differ.
    """
    began = run.config["data"]
    mend = "put them back, or start a new run"
    if data.fingerprint != began["fingerprint"]:
        raise InputError(f"the images of {data.source} have changed since {run.path} began; {mend}")
    told = getattr(run.plan.model, "classes", ())
    if told and data.labels_hash != began.get("labels", data.labels_hash):
        raise InputError(f"the labels of {data.source} have changed since {run.path} began; {mend}")
