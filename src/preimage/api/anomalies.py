"""`preimage.fit_detector` and its like: what is wrong with a photograph, having seen good ones.

inspector = pi.load_detector("runs/tiles")
found = inspector.inspect(x)  # (C, H, W) in [−1, 1]: found.anomalous, .p_value, .map, .regions
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.inversions import encoded
from preimage.api.layouts import Masks, items_of, kind, layout_of, learned_already
from preimage.api.observations import PathLike, Progress
from preimage.applications.anomaly import Detector, Explanation, inspection, suite
from preimage.applications.anomaly.framing import as_they_are, for_model
from preimage.applications.anomaly.inspection import Finding, Inspector
from preimage.applications.anomaly.judging import Judgement, judged
from preimage.applications.anomaly.photos import InMemory, Pictures
from preimage.applications.anomaly.regions import Region
from preimage.core import DataSpec, InputError, LatentModel, Step
from preimage.core.errors import nearest_name
from preimage.data import cache as store
from preimage.data import load_as
from preimage.data.archives import Item
from preimage.data.options import checked
from preimage.data.source import FileSource, FolderSource, find, recorded
from preimage.inversion.fingerprint import fingerprint
from preimage.runs import detectors
from preimage.runs.detecting import FiledDetection
from preimage.runs.detectors import DEFAULT, LARGEST
from preimage.runs.files import check_free
from preimage.runs.images import reading
from preimage.runs.judging import save_judgement
from preimage.runs.run import Run

VIEWS = ("model", "photo")


def fit_detector(
    model: LatentModel | PathLike,
    images: PathLike | Tensor | Sequence[Tensor],
    *,
    scores: str | Sequence[str] = "auto",
    false_alarms: float = 0.01,
    view: str = "model",
    tile: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Inspector:
    """Learn from good images what is normal; `save_detector` keeps it with a run.

    model: a model, or the folder of a run.
    images: good ones: a folder or a file of any kind, or tensors (C, H, W) in [−1, 1].
    scores: "auto", which weighs most there are by planted defects, or names of some: patches,
        hog-neighbours, hog-distance, hog-residual, planted-defects; of the model reconstruction,
        feature-residual, density, projection.
    false_alarms: the share of good images that may be called anomalous.
    view: "model" brings photographs to the model's size; "photo" looks at them as they are, with
        scores that need no model.
    tile: pixels of a photograph's part that is looked at in one; unset, of the whole photograph, or
        where that is more than four times the model's size, four times the model's size.

    Raises InputError for fewer good images than the rate needs, and says how many it takes.
    """
    if view not in VIEWS:
        raise InputError(f"no view '{view}'; {nearest_name(view, VIEWS)}")
    run = None if isinstance(model, LatentModel) else Run.open(Path(model))
    known = model if isinstance(model, LatentModel) else encoded(model, device=device)
    source, reading = _good(images, known, run, progress)
    if not len(source):
        raise InputError(f"{images} holds no image that can be used; give good ones")
    inspection.enough(len(source), false_alarms)
    used = known if view == "model" else None
    suite.named(scores, torch.zeros(1, *known.data.shape), used)  # or say that there is no such one
    if tile is not None and not 4 <= tile <= LARGEST:
        raise InputError(f"tiles of {tile} pixels (--tile): give a number from 4 to {LARGEST}")
    if view == "model":
        framing, note = for_model(known.data, source.sizes, tile, **reading)
    else:
        framing, note = as_they_are(known.data.channels, source.sizes, tile, **reading)
    if used is not None and not used.can("encode") and scores == "auto":
        searched = "Without an encoder each image is searched for, which is slow"
        note = f"{searched}; learn one with: preimage encoder RUN. {note}".strip()
    if note and progress is not None:
        progress(Step(0, 1, stage="open good photographs", notes=(note,)))
    return inspection.fitted(
        source,
        framing,
        model=used,
        scores=scores,
        false_alarms=false_alarms,
        seed=seed,
        progress=progress,
    )


def save_detector(
    run: PathLike,
    inspector: Inspector,
    *,
    name: str = DEFAULT,
    source: str = "",
    replace: bool = False,
) -> Path:
    """Keep a detector with its run. Raises InputError where there is one of that name."""
    folder = Run.open(Path(run)).path
    source = recorded(source) if source else ""
    return detectors.save_detector(folder, inspector, name=name, source=source, replace=replace)


def load_detector(run: PathLike, *, name: str = DEFAULT, device: str = "cpu") -> Inspector:
    """A run's detector: `inspect(x)` says of one image whether, how surely and where.

    Raises InputError where there is none of that name, where it is broken, and where it belongs to
    other weights of the model.
    """
    folder = Run.open(Path(run)).path
    return detectors.load_detector(folder, encoded(run, device=device), name=name)


def saved_detectors(run: PathLike) -> list[str]:
    """The names of a run's detectors."""
    return detectors.detector_names(Run.open(Path(run)).path)


def detect_files(
    run: PathLike,
    images: PathLike,
    *,
    out: PathLike,
    name: str = DEFAULT,
    resume: bool = False,
    n: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> FiledDetection:
    """From files to files: `for step in job:` looks at each photograph at its full size.

    Every page of a multipage TIFF is a photograph; 16-bit grey keeps its depth. `finish()` writes
    the table, the page and the JSON once all are done.

    resume: go on with an `out` that was stopped or killed, with the same options.

    Raises InputError for an `out` that holds something, or was begun with other options.
    """
    inspector = load_detector(run, name=name, device=device)
    pictures = _pictures(images, Run.open(Path(run)), inspector.framing.range, progress)
    if not len(pictures) and not pictures.skipped:
        raise InputError(f"{images} holds no files")
    model = inspector.detector.model
    settings = {
        "run": str(Path(run).absolute()),
        "source": str(Path(images).absolute()) if Path(images).exists() else str(images),
        "detector": name,
        "weights": None if model is None else fingerprint(model),
        "threshold": inspector.threshold,
        "pages": len(pictures),
    }
    return FiledDetection(inspector, pictures, Path(out), settings=settings, resume=resume, n=n)


def evaluate_detector(
    run: PathLike,
    good: PathLike,
    bad: PathLike | None = None,
    *,
    masks: PathLike | None = None,
    name: str = DEFAULT,
    out: PathLike | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> Judgement:
    """How well a run's detector tells good photographs from others, and where, if masks are known.

    good, bad: folders; or `good` alone, a folder laid out as MVTec AD's (test/good, test/…,
        ground_truth/…) or as anomalib's (good, others, masks).
    masks: images of the same names as the bad ones, or with _mask after it; white is what is wrong.
    out: folder for report.html and evaluation.json.

    Raises InputError where a mask is missing or not of its photograph's size, and where `out`
    holds something.
    """
    if out is not None:
        check_free(Path(out))
    inspector = load_detector(run, name=name, device=device)
    opened = Run.open(Path(run))
    layout = layout_of(good, bad, masks)
    span = inspector.framing.range
    sides = [_of_items(items, opened, span) for items in (layout.good, layout.bad)]
    for side, what, folder in zip(sides, ("good", "bad"), (good, bad or good), strict=True):
        if not len(side):
            why = f": {side.skipped[0][1]}" if side.skipped else "; add some"
            raise InputError(f"{folder} holds no {what} images to judge by{why}")
    notes = learned_already(layout.good, detectors.learned_from(opened.path, name))
    notes += [f"left out: {why}" for side in sides for _, why in side.skipped]
    wrong = sides[1]
    of_masks = None if layout.masks is None else Masks(layout.masks, wrong)
    found = judged(
        inspector,
        sides[0],
        wrong,
        kinds=[kind(wrong.names[i]) for i, _, _ in wrong.pages],
        mask_of=of_masks,
        seed=seed,
        progress=progress,
    )
    found = replace(found, notes=(*notes, *found.notes))
    if out is not None:
        save_judgement(Path(out), found, inspector, sides[0], wrong, of_masks)
    return found


class _Tensors:
    """Good images in memory."""

    def __init__(self, images: Tensor | Sequence[Tensor]):
        self.images = images
        self.sizes = [(int(x.shape[1]), int(x.shape[2])) for x in images]

    def __len__(self) -> int:
        return len(self.images)

    def label(self, k: int) -> str:
        return f"image {k}"

    def open(self, k: int) -> InMemory:
        return InMemory(self.label(k), self.images[k])


def _good(
    images: PathLike | Tensor | Sequence[Tensor],
    model: LatentModel,
    run: Run | None,
    progress: Progress | None,
) -> tuple[Pictures | _Tensors, dict[str, Any]]:
    """Good images, and how files of them are to be read."""
    if not isinstance(images, str | os.PathLike):
        for x in images:
            inspection.in_memory(x)  # or say what is wrong with it
        return _Tensors(images), {}
    reading = _reading(run)
    whose = model.data if run is None else run
    pictures = _pictures(images, whose, reading.get("range"), progress)
    if progress is not None:
        notes = tuple(f"left out: {why}" for _, why in pictures.skipped)
        progress(Step(0, 1, stage="open good photographs", notes=notes))
    if "range" not in reading and (span := _extremes(pictures)):
        reading["range"] = span
    return pictures, reading


def _reading(run: Run | None) -> dict[str, Any]:
    """How a run's own images were read."""
    if run is None:
        return {}
    known = {k: v for k, v in reading(run).items() if k in ("fit", "background")}
    options, span = checked(**known), run.config["data"].get("range")
    found: dict[str, Any] = {"fit": options.fit, "background": options.background}
    return found | ({"range": tuple(span)} if span else {})


def _pictures(
    images: PathLike,
    whose: Run | DataSpec,  # images they are to be like
    span: tuple[float, float] | None,
    progress: Progress | None,
) -> Pictures:
    """What a person named, as photographs where they are files."""
    run = whose if isinstance(whose, Run) else None
    if isinstance(find(images, store.root(None)), FolderSource | FileSource):
        return _of_items(items_of(images), run, span)
    if isinstance(whose, DataSpec):
        return Pictures(load_as(images, whose, progress=progress))
    return Pictures(basics.fitted(images, whose, progress=progress))


def _of_items(items: list[Item], run: Run | None, span: tuple[float, float] | None) -> Pictures:
    background = _reading(run).get("background", (255, 255, 255))
    return Pictures(items, background=background, span=span)


def _extremes(pictures: Pictures) -> tuple[float, float] | None:
    """The smallest and largest value of all good 16-bit or float photographs, if they are such."""
    low, high = math.inf, -math.inf
    for k in range(len(pictures)):
        with contextlib.suppress(InputError):  # left out, with a note, when it is learned from
            extremes = pictures.open(k).extremes
            if extremes is None:
                return None
            low, high = min(low, extremes[0]), max(high, extremes[1])
    return (low, max(high, low + 1e-6)) if low <= high else None


__all__ = [
    "Detector",
    "Explanation",
    "Finding",
    "Inspector",
    "Judgement",
    "Region",
    "detect_files",
    "evaluate_detector",
    "fit_detector",
    "load_detector",
    "save_detector",
    "saved_detectors",
]
