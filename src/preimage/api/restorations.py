"""`preimage.restore` and `preimage.inpaint`: what an image was, of which a part is at hand.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.inversions import invert, inverter
from preimage.api.observations import Images, PathLike, Progress, Tensors, fitted, labels_of
from preimage.api.observations import source as observed
from preimage.api.photographs import MaskLike, holes_of, missing_in, photographs
from preimage.applications import doubts
from preimage.applications.discrepancy import Discrepancy
from preimage.applications.inpainting import METHODS, Inpainter, classically
from preimage.applications.restoration import Restored, Restorer
from preimage.core import GaussianMixture, InputError, LatentModel, seeds
from preimage.core.errors import nearest_name
from preimage.data import Dataset
from preimage.inversion import Inverter
from preimage.inversion.operators import as_operator
from preimage.runs.files import check_free, check_makeable
from preimage.runs.restoring import FiledInpainting, FiledRestoration, check_any
from preimage.runs.run import Run

EXAMPLES = 2000  # training images from which it is learned what the model leaves
VALUES = 1 << 23  # that they may have in all: 32 MiB
COMPONENTS, SPREAD = 32, 4  # of the prior at most; latents for each of their d axes
SEARCHED = 128  # examples where there is no encoder, and each latent must be searched for
CALIBRATION = 32  # held-out images by which the bands are calibrated
TUNING = 100  # steps of pivotal tuning

Model = LatentModel | PathLike | Inverter | Restorer


def restorer(
    model: Model,
    *,
    examples: Tensor | None = None,
    heldout: Tensor | None = None,
    starts: int = 8,
    samples: int = 64,
    adversarial: float = 0.0,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> Restorer:
    """A generator made ready to restore, to be used again and again.

    model: a model, the folder of a run, or an `inverter`.
    examples: images (N, C, H, W) like those to come, of which it is learned what the model leaves
        of an image; unset, training images of a run. A bare model is taken to leave white noise.
    heldout: more of them, which the model was not trained on: by these the bands are calibrated,
        else by images that the model draws; unset, those that a run held out.
    starts: searches of each image; samples: of each posterior.
    adversarial: weight, in nats, of softplus(−D(G(z))), D the model's critic (Yeh et al. 2017).

    Raises InputError for fewer than 16 examples, and Unsupported where `adversarial` is given of a
    model without a critic.
    """
    if isinstance(model, Restorer):
        return model
    ready = model if isinstance(model, Inverter) else inverter(model, device=device)
    bare = Restorer(ready, starts=starts, samples=samples, adversarial=adversarial, seed=seed)
    labels = None
    if not isinstance(model, Inverter | LatentModel) and examples is None:
        run = Run.open(Path(model))
        data = basics.run_dataset(run, progress=progress)
        count = min(EXAMPLES, VALUES // ready.model.data.size, len(data.train))
        if not ready.model.can("encode"):
            count = min(count, SEARCHED)
        examples, labels = _some(ready.model, data, data.train[:count])
        if heldout is None:
            heldout = data.batch(data.heldout[:CALIBRATION])
    elif examples is not None:
        examples = fitted(examples, ready.model.data)[0]
    if heldout is not None and len(heldout):
        heldout = fitted(heldout, ready.model.data)[0]
    left = prior = None
    if examples is not None:
        z, left_over = explained(ready, examples, labels)
        left, prior = Discrepancy.of(left_over), learned_prior(z, seed)
        if heldout is not None and len(heldout):
            left = left.scaled_to(explained(ready, heldout, None)[1])
    return replace(bare, left=left, prior=prior, heldout=heldout)


def restore(
    model: Model,
    images: Images,
    *,
    through: Any,
    n: int = 1,
    calibration: bool = True,
    labels: Tensor | Sequence[int] | None = None,
    label: int | str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Restored:
    """Images as they may have been before something was done to them.

    model: a model, the folder of a run, an `inverter`, or a `restorer`, which alone is quick when
        it is used again.
    images: y, as `through` gives them; whatever `invert` takes.
    through: what was done: Mask, Downsample, Blur, Noise, Grey, several in a list, or any
        differentiable function of yours.
    n: different images that would do, the likeliest first, in `fillings`.
    calibration: widen or narrow the bands until they hold 90 % of pixels, on images that are known.
    labels, label: the classes of a conditional model; unset, they are found.
    options: of `restorer`.

    Raises InputError for images that `through` does not give.
    """
    ready = restorer(model, device=device, seed=seed, progress=progress, **options)
    generator = ready.ready.model
    if through is None:
        raise InputError("through= says what was done to the images; give one like pi.Blur(2)")
    A = as_operator(through)
    spec = ready.ready.observation(A)
    run = None if not isinstance(model, str | os.PathLike) else Run.open(Path(model))
    source = observed(images, spec, progress, run=run, through=A)
    y = source.batch(torch.arange(len(source)))
    known = labels_of(generator, source, labels, label)
    scale = ready.scale(A, progress=progress) if calibration else 1.0
    found = ready.restore(y, A, known, n=_count(n), scale=scale, progress=progress)
    return _noted(found, source)


def inpaint(
    model: Model,
    images: Images,
    *,
    mask: MaskLike,
    n: int = 1,
    method: str = "model",
    blend: str = "poisson",
    context: int = 0,
    tune: bool | int = False,
    calibration: bool = True,
    labels: Tensor | Sequence[int] | None = None,
    label: int | str | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Restored:
    """Images of the model's size with what is missing filled; known pixels stay as they are.

    images: whatever `invert` takes. `inpaint_files` fills photographs at their own size.
    mask: where they are to be filled: (H, W), (B, H, W) or (B, 1, H, W) of the model's size, true
        or above a half; a picture, white there; its file; or "box:left,top,right,bottom" in pixels.
    n: different fillings, the likeliest first, in `fillings`; `images` holds the mean of all that
        would do, which is nearest in squared error and less sharp.
    method: "model"; or without one "biharmonic", "harmonic" or "mean", which have no fillings.
    blend: "poisson", so that no seam is seen, or "none".
    context: the neighbourhood, in pixels, by whose missing share known pixels are weighted (Yeh et
        al. 2017); 0 weighs all alike.
    tune: teach a copy of the generator the known pixels first (pivotal tuning).
    calibration, labels, label, options: as of `restore`.

    Raises InputError where a mask is of another size, empty, or covers everything, and for options
    that a method without a model does not go by.
    """
    _check_method(method, n, blend=blend, context=context, tune=tune, label=label)
    ready = restorer(model, device=device, seed=seed, progress=progress, **options)
    spec = ready.ready.model.data
    run = None if not isinstance(model, str | os.PathLike) else Run.open(Path(model))
    source = observed(images, spec, progress, run=run)
    x = source.batch(torch.arange(len(source)))
    hole = missing_in(mask, x)
    if method != "model":
        return _classical(method, x, hole, tuple(map(str, source.names)))
    known = labels_of(ready.ready.model, source, labels, label)
    inpainter = Inpainter(ready, blend, context, TUNING if tune is True else int(tune))
    scale = inpainter.scale(hole, progress=progress) if calibration else 1.0
    found = inpainter.inpaint(x, hole, known, n=_count(n), scale=scale, progress=progress)
    return _noted(found, source)


def restore_files(
    run: PathLike,
    images: PathLike,
    *,
    out: PathLike,
    through: Any,
    n: int = 1,
    calibration: bool = True,
    label: int | str | None = None,
    number: int | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> FiledRestoration:
    """The same from files to files: `for step in job:` restores and writes each, at the model's
    size, with a map of how sure it is.

    number: at most so many images.
    """
    folder = Path(out)
    check_free(folder)
    check_makeable(folder)
    opened_run = Run.open(Path(run))
    generator = inverter(run, device=device)  # what it refuses is refused before anything long
    A = as_operator(through)
    source = observed(images, generator.observation(A), progress, run=opened_run)
    generator.model.labels_for(1, label)
    ready = restorer(run, device=device, seed=seed, progress=progress, **options)
    scale = ready.scale(A, progress=progress) if calibration else 1.0
    settings = {
        "run": str(run), "source": str(images), "through": str(A), "label": label, "seed": seed,
        "fillings": n, "band_scale": scale,
    }  # fmt: skip
    return FiledRestoration(
        source, ready, A, folder, settings=settings, n=_count(n), scale=scale, number=number,
        labels=lambda count: _labels(ready, count, label),
        skipped=list(source.skipped) if isinstance(source, Dataset) else [],
    )  # fmt: skip


def inpaint_files(
    run: PathLike,
    images: PathLike,
    *,
    mask: PathLike,
    out: PathLike,
    n: int = 1,
    method: str = "model",
    blend: str = "poisson",
    feather: float = 0.0,
    context: int = 0,
    tune: bool | int = False,
    calibration: bool = True,
    label: int | str | None = None,
    number: int | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> FiledInpainting:
    """Photographs filled at their own size: `for step in job:` fills and writes each.

    mask: a picture's file, white where to fill, of the photographs' size or the model's; a folder
        of such, each named like its photograph; "box:left,top,right,bottom", in pixels of the
        photograph from its left and top, the last two beyond the box; or "colour:#ff00ff", the
        colour that marks what is to be filled.
    feather: pixels of the photograph over which a filling sets in, inside the mask.

    Raises InputError for a mask that is none, where `out` holds something, and for options that a
    method without a model does not go by.
    """
    adversarial = options.get("adversarial", 0.0)
    _check_method(
        method, n, blend=blend, feather=feather, context=context, tune=tune, label=label,
        adversarial=adversarial,
    )  # fmt: skip
    if not (feather >= 0 and math.isfinite(feather)):
        raise InputError(f"--feather {feather:g} is no width; give 0 or more pixels")
    folder = Path(out)
    check_free(folder)
    check_makeable(folder)
    opened_run = Run.open(Path(run))
    holes = holes_of(mask)
    photos, skipped = photographs(images, opened_run, progress)
    check_any(photos, holes, number)  # before anything long
    worker: Inpainter | str = method
    ready = None
    if method == "model":
        ready = restorer(run, device=device, seed=seed, progress=progress, **options)
        worker = Inpainter(ready, blend, context, TUNING if tune is True else int(tune))
    settings = {
        "run": str(run), "source": str(images), "mask": str(mask), "method": method, "blend": blend,
        "feather": feather, "context": context, "tune": int(tune), "label": label, "seed": seed,
        "adversarial": 0.0 if ready is None else ready.adversarial, "fillings": n,
    }  # fmt: skip
    return FiledInpainting(
        photos, worker, holes, folder, settings=settings, n=_count(n), number=number,
        calibration=calibration,
        labels=lambda count: _labels(ready, count, label), feather=feather, skipped=skipped,
        progress=progress,
    )  # fmt: skip


@torch.no_grad()
def explained(ready: Inverter, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Latents (N, d) of images (N, C, H, W), and what they leave of these, x − G(z).

    The latents are the encoder's, or else those that a search finds.
    """
    model = ready.model
    if (labels is None and model.conditional) or not model.can("encode"):
        found = invert(ready, x, labels=labels, calibration=0)
        return found.z.flatten(1), x - found.images
    latents, parts = [], []
    for rows in torch.arange(len(x)).split(256):
        y = None if labels is None else labels[rows].to(model.device)
        z = model.encode(x[rows].to(model.device), y).mean
        latents.append(z.flatten(1).cpu())
        parts.append(x[rows] - model.decode(z, y).float().cpu())
    return torch.cat(latents), torch.cat(parts)


def learned_prior(z: Tensor, seed: int) -> GaussianMixture | None:
    """Where latents (N, d) of images lie, as a mixture of Gaussians; None of too few."""
    components = min(COMPONENTS, len(z) // (SPREAD * z.shape[1]))
    if not components:
        return None
    found = GaussianMixture(components, z.shape[1])
    found.fit(z, generator=seeds.generator(seed, "restoration"))
    return found


def _classical(method: str, x: Tensor, hole: Tensor, names: tuple[str, ...]) -> Restored:
    filled = classically(method, x, hole)
    nothing = torch.zeros_like(x)
    return Restored(
        given=x, images=filled, uncertainty=nothing, low=filled, high=filled,
        fillings=filled[:, None], scores=torch.zeros(len(x), 1), z=torch.zeros(len(x), 1, 0),
        drawn=filled, names=names,
    )  # fmt: skip


def _noted(found: Restored, source: Dataset | Tensors) -> Restored:
    """With the images' names, and what a person should know of them."""
    found = replace(found, names=tuple(map(str, source.names)))
    return replace(found, notes=(*source.notes, *doubts.named(found)))


def _check_method(method: str, n: int, **given: object) -> None:
    """Raises InputError where there is no such method, or it does not go by what is given."""
    if method not in METHODS:
        raise InputError(f"no method '{method}'; {nearest_name(method, METHODS)}")
    if method == "model":
        return
    if n > 1:
        raise InputError(f"--method {method} has one filling; leave out --fillings {n}")
    for name, value in given.items():
        if value and value != "poisson":
            raise InputError(f"--{name} says nothing with --method {method}; leave it out")


def _count(n: int) -> int:
    if n < 1:
        raise InputError(f"n={n} fillings are none; give at least 1")
    return n


def _labels(ready: Restorer | None, count: int, label: int | str | None) -> Tensor | None:
    if ready is None or (label is None and ready.ready.model.conditional):
        return None
    return ready.ready.model.labels_for(count, label)


def _some(model: LatentModel, data: Dataset, rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
    """Images of a data set, and their classes where the model has some."""
    labels = basics.class_labels(model, data) if model.conditional else None
    return data.batch(rows), None if labels is None else labels[torch.as_tensor(rows)]


__all__ = [
    "Restored",
    "inpaint",
    "inpaint_files",
    "restore",
    "restore_files",
    "restorer",
]
