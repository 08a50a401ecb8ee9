"""`preimage.invert` and what belongs to it: from images in files to latents and verdicts.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.observations import Images, PathLike, Progress, Tensors, fitted, labels_of
from preimage.api.observations import source as observed
from preimage.core import InputError, LatentModel, Step
from preimage.core.errors import nearest_name
from preimage.data import Dataset
from preimage.inversion import Inversion, Inverter, Inverting, Settings, Targets
from preimage.inversion.fingerprint import fingerprint
from preimage.inversion.judging import judged, told_apart
from preimage.inversion.operators import Identity
from preimage.inversion.operators.words import operator
from preimage.inversion.settings import operator_key
from preimage.inversion.stream import Sink
from preimage.runs.encoders import FOLDER, has_encoder, load_encoder
from preimage.runs.files import check_free
from preimage.runs.inversions import RESUME, InversionFolder
from preimage.runs.inverting import FiledInversion
from preimage.runs.preparations import load_preparations, save_preparations
from preimage.runs.run import Run

CALIBRATION = 200  # held-out images whose errors a verdict is held against
ENCODED = 256  # images at a time


def inverter(model: LatentModel | PathLike, *, device: str = "auto") -> Inverter:
    """A generator made ready for inversion, to be used again and again.

    model: a model, or the folder of a run. Of a run, a learned encoder is taken from RUN/encoder,
        and what was prepared before from RUN/inversion. A model has one inverter, as long as its
        weights stay as they are; it is put into evaluation mode, and asks for no gradients of its
        weights any more: `model.train().requires_grad_()` makes it ready for training again.

    Raises InputError where the generator gives no finite image, or one that does not depend on
    the latent.
    """
    if isinstance(model, LatentModel):
        return _of_model(model)
    ready = Inverter(encoded(model, device=device))
    load_preparations(Run.open(Path(model)), ready)
    return ready


def encoded(run: PathLike, *, device: str = "auto") -> LatentModel:
    """The model of a run, with the encoder that was learned for it where there is one."""
    path = Run.open(Path(run)).path
    generator = basics.load(path, device=device)
    return load_encoder(path / FOLDER, generator) if has_encoder(path) else generator


class _Kept:
    """An inverter that a model carries; copies of the model do not."""

    def __init__(self, inverter: Inverter | None = None, weights: str = ""):
        self.inverter, self.weights = inverter, weights

    def __deepcopy__(self, memo: Any) -> _Kept:
        return _Kept()

    def __reduce__(self) -> Any:
        return _Kept, ()


def _of_model(model: LatentModel) -> Inverter:
    weights, kept = fingerprint(model), getattr(model, "_inverter", None)
    if kept is not None and kept.inverter is not None and kept.weights == weights:
        return kept.inverter
    ready = Inverter(model)
    model._inverter = _Kept(ready, weights)  # type: ignore[assignment]
    return ready


def _prepared(
    ready: Inverter,
    settings: Settings,
    calibration: int | Tensor,
    run: Path | None,
    progress: Progress | None,
) -> None:
    """Prepare what searches start from, and verdicts, if they are wanted and can be had."""
    made = len(ready.cascades) + len(ready.thorough)
    try:
        for step in ready.prepare(settings):
            if progress is not None:
                progress(step)
    finally:  # what is made by then is kept whoever stops the rest
        if run is not None and len(ready.cascades) + len(ready.thorough) > made:
            save_preparations(Run.open(run), ready)
    if isinstance(calibration, Tensor):
        heldout, labels = fitted(calibration, ready.model.data)[0], None
        if ready.calibrated_on.get(settings.key) == told_apart(heldout):
            return
    elif run is None or not ready.shares(settings) or isinstance(settings.start, Tensor):
        return  # there are no held-out images, or they have no operators or starts of their own
    elif _calibrated_on(ready, settings) >= calibration:
        return
    else:
        data = basics.run_dataset(Run.open(run), progress=progress)
        held = data.heldout[:calibration]
        if _calibrated_on(ready, settings) >= len(held):
            return
        heldout, labels = data.batch(held), basics.class_labels(ready.model, data)
        labels = None if labels is None else labels[held]
    for step in ready.calibrating(heldout, labels, settings):
        if progress is not None:
            progress(step)
    if run is not None and not isinstance(calibration, Tensor):
        save_preparations(Run.open(run), ready)


def _calibrated_on(ready: Inverter, settings: Settings) -> int:
    """The number of held-out images that verdicts are held against so far."""
    made = ready.calibrations.get(settings.key)
    return 0 if made is None else len(made.heldout)


def _chosen(calibration: int | Tensor, **settings: Any) -> Settings:
    """Settings; without a calibration there is no verdict, though one was made before."""
    chosen = Settings.of(**settings)
    wanted = isinstance(calibration, Tensor) or calibration > 0
    return chosen if wanted else replace(chosen, verdict=False)


def judge(
    ready: Inverter,
    found: Inversion,
    *,
    run: PathLike | None = None,
    calibration: int | Tensor = CALIBRATION,
    progress: Progress | None = None,
    **settings: Any,
) -> Inversion:
    """What an inversion can say besides its latents, said of latents that are there already.

    run: whose held-out images a verdict is held against; `calibration` as `inverting` takes it.
    settings: those that the latents were found with, and restarts= or posterior= besides.
    """
    chosen = _chosen(calibration, **settings)
    _prepared(ready, chosen, calibration, None if run is None else Path(run), progress)
    return judged(ready, found, ready.problem(found.target, found.labels, chosen), chosen)


def inverting(
    model: LatentModel | PathLike | Inverter,
    images: Images,
    *,
    labels: Tensor | Sequence[int] | None = None,
    label: int | str | None = None,
    n: int | None = None,
    calibration: int | Tensor = CALIBRATION,
    device: str = "auto",
    sink: Sink | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Inverting:
    """Set an inversion up; `for step in inverting(…):` does it, image by image.

    model: a model, the folder of a run, or an `inverter`.
    images: observations, as `through` gives them: a file, folder, archive, array file or name of
        a data set; a tensor (B, C, H, W) in [−1, 1]; or pictures. Images of another size or mode
        than the model's are fitted, and a step's notes say so.
    labels: of a conditional model, the classes (B,); or `label`, one class for all. Unset, the
        images' own where they have them, and else the class that fits best is found.
    n: at most so many images, from the first on.
    calibration: how many images that a run held out verdicts are held against, at least, or
        images (N, C, H, W) of yours that the model was not trained on; 0 for no verdicts. A run
        keeps what was made of its own images for the same settings.
    sink: called with the indices and the answers of each batch, which are then not kept.
    settings: the fields of `Settings`: through, loss, method, start, starts, steps, tolerance, …

    Raises InputError for images that cannot be used and for settings that do not exist.
    """
    ready = model if isinstance(model, Inverter) else inverter(model, device=device)
    chosen = _chosen(calibration, **settings)
    run = None if isinstance(model, Inverter | LatentModel) else Path(model)
    spec = ready.observation(chosen.through)
    opened = None if run is None else Run.open(run)
    source = observed(images, spec, progress, run=opened, through=chosen.through)
    _prepared(ready, chosen, calibration, run, progress)
    return _job(ready, source, chosen, n=n, label=label, labels=labels, sink=sink)


def _job(
    ready: Inverter,
    source: Dataset | Tensors,
    settings: Settings,
    *,
    n: int | None = None,
    label: int | str | None = None,
    labels: Tensor | Sequence[int] | None = None,
    done: Tensor | None = None,  # indices that have their answers already
    sink: Sink | None = None,
) -> Inverting:
    if n is not None and n < 1:
        raise InputError(f"n={n} leaves no image; give at least 1")
    known = labels_of(ready.model, source, labels, label)
    wanted = torch.ones(len(source) if n is None else min(n, len(source)), dtype=torch.bool)
    if done is not None:
        wanted[done[done < len(wanted)]] = False
    rows = wanted.nonzero()[:, 0]

    def batches() -> Iterator[Targets]:
        at_once = settings.images_at_once(ready.model.data)
        for index in rows.split(at_once) if len(rows) else ():
            yield Targets(
                index,
                source.batch(index),
                None if known is None else known[index],
                tuple(str(source.names[i]) for i in index.tolist()),
            )

    return Inverting(
        ready, batches(), total=len(rows), settings=settings, sink=sink, notes=source.notes
    )


def invert(
    model: LatentModel | PathLike | Inverter,
    images: Images,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Inversion:
    """The latents behind images: `inverting` to its end. See there for the options."""
    job = inverting(model, images, progress=progress, **options)
    for step in job:
        if progress is not None:
            progress(step)
    return job.result


def latents(
    model: LatentModel | PathLike | Inverter,
    images: Images,
    *,
    method: str = "auto",
    labels: Tensor | Sequence[int] | None = None,
    label: int | str | None = None,
    n: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    **settings: Any,
) -> Tensor:
    """The latents (N, *space.shape) behind images, without the rest that an inversion tells.

    method: "encoder", one pass of the model's encoder, which is quick; "search", an inversion with
        `settings`, which is exact; "auto", the encoder where there is one.
    labels, label, n: as `inverting` takes them.

    Raises InputError for images that cannot be used, Unsupported where an encoder is asked for
    and there is none.
    """
    if method not in ("auto", "encoder", "search"):
        raise InputError(f"no method '{method}'; {nearest_name(method, ('encoder', 'search'))}")
    net = None if method == "search" else _generator(model, device)  # an inverter takes seconds
    if net is None or (method == "auto" and not net.can("encode")):
        options = {"labels": labels, "label": label, "n": n, "calibration": 0} | settings
        return invert(model, images, device=device, progress=progress, **options).z
    run = None if isinstance(model, Inverter | LatentModel) else Run.open(Path(model))
    source = observed(images, net.data, progress, run=run)
    known = labels_of(net, source, labels, label)
    if known is None and net.conditional:
        raise InputError("the encoder is told the class of each image; give labels or a label")
    rows = torch.arange(len(source) if n is None else min(n, len(source)))
    parts = []
    for done, index in enumerate(rows.split(ENCODED)):
        if progress is not None:
            progress(Step(done * ENCODED, len(rows), stage="encode"))
        y = None if known is None else known[index].to(net.device)
        with torch.no_grad():
            parts.append(net.encode(source.batch(index).to(net.device), y).mean)
    return torch.cat(parts).float().cpu()


def latents_and_classes(
    ready: Inverter,
    x: Tensor,  # (B, C, H, W) of the model's size
    labels: Tensor | None,
    *,
    method: str = "auto",
    **search: Any,
) -> tuple[Tensor, Tensor | None]:
    """`latents` (B, *space.shape), and the classes they go with.

    Where a conditional model is told none, a search finds both, whatever the method.
    """
    if ready.model.conditional and labels is None:
        found = invert(ready, x, calibration=0, **search)
        return found.z, found.labels
    return latents(ready, x, method=method, labels=labels, **search), labels


def _generator(model: LatentModel | PathLike | Inverter, device: str) -> LatentModel:
    if isinstance(model, LatentModel):
        return model.eval()
    return model.model if isinstance(model, Inverter) else encoded(model, device=device)


def inverting_files(
    run: PathLike,
    images: PathLike,
    *,
    out: PathLike,
    resume: bool = False,
    through: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
    calibration: int = CALIBRATION,
    device: str = "auto",
    n: int | None = None,
    label: str | None = None,
    **settings: Any,
) -> FiledInversion:
    """The same from files to files: latents, JSON, a sheet and the course of the search in `out`.

    through: what was done to the images, each in words; see `operator`.
    resume: go on with an `out` that was stopped or killed, with the same options.

    Raises InputError for an `out` that holds something, or was begun with other options.
    """
    folder = Path(out)
    asked: dict[str, Any] = {
        "run": str(Path(run).absolute()),
        "source": str(Path(images).absolute()) if Path(images).exists() else str(images),
        "through": list(through),
        "seed": seed,
        "label": label,
        "calibration": calibration,
        **{name: value for name, value in settings.items() if name != "batch_size"},
    }
    if not resume:
        check_free(folder, RESUME)
    ready = inverter(run, device=device)
    a = operator(through, ready.model.data) if through else None
    chosen = _chosen(calibration, through=a, seed=seed, **settings)
    asked["operator"] = operator_key(chosen.through or Identity())  # what the words came to
    spec = ready.observation(chosen.through)
    source = observed(images, spec, progress, run=Run.open(Path(run)))
    assert isinstance(source, Dataset)  # as everything that comes from a path
    asked["images"] = f"{len(source)}, {source.fingerprint}"
    asked["weights"] = fingerprint(ready.model)
    done = InversionFolder.open(folder, asked).done() if resume else None
    job = _job(ready, source, chosen, n=n, label=label, done=done)
    ready.objective(chosen)  # all that can be wrong is found before anything is written
    _prepared(ready, chosen, calibration, Path(run), progress)
    opened = InversionFolder.open if resume else InversionFolder.create
    written = opened(folder, asked)
    return FiledInversion(
        job,
        written,
        observations=source.batch,
        names=lambda i: str(source.names[i]),
        classes=ready.model.classes,
        skipped=source.skipped,
    )


__all__ = [
    "Images",
    "invert",
    "inverter",
    "inverting",
    "inverting_files",
    "judge",
    "latents",
    "operator",
]
