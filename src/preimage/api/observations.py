"""Anything that a person calls images, as what a model takes: pictures and classes in rows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from preimage.api import basics
from preimage.core import DataSpec, InputError, LatentModel, Step
from preimage.core.words import counted
from preimage.data import Dataset, load_as
from preimage.runs.run import Run

PathLike = str | os.PathLike[str]
Images = PathLike | Tensor | np.ndarray | Image.Image | Dataset | Sequence[PathLike | Image.Image]
Progress = Callable[[Step], None]

SAID = 10  # files named that cannot be used
FAR = 4  # from the middle of images in [−1, 1], where no image is, though it be a noisy one

RANDOM = "random:"  # and a seed: a sample of the prior, in the place of an image


def random_seed(name: object) -> int | None:
    """The seed of a name such as "random:7"; None where it is no such name.

    Raises InputError where what follows the colon is no seed.
    """
    if not (isinstance(name, str | os.PathLike) and os.fspath(name).startswith(RANDOM)):
        return None
    seed = os.fspath(name).removeprefix(RANDOM)
    if not seed.isdecimal():
        raise InputError(f"'{os.fspath(name)}': the seed is a whole number, as in random:7")
    return int(seed)


class Tensors:
    """Images in memory, seen as a data set is."""

    def __init__(self, images: Tensor, notes: tuple[str, ...] = ()):
        self.images, self.notes = images, notes
        self.names = [str(i) for i in range(len(images))]
        self.labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Tensor) -> Tensor:
        return self.images[indices]


def source(
    images: Images,
    spec: DataSpec,
    progress: Progress | None,
    *,
    run: Run | None = None,
    through: object = None,
) -> Dataset | Tensors:
    """Anything a person calls images, as observations of this spec.

    run: whose model takes them; files are cropped or padded, and their values read, as its own
        images were.
    through: what was done to the images, whose values are then its own; None where nothing was.

    Files that cannot be used are left out, and that is said.
    """
    if spec.kind != "image" and not isinstance(images, Tensor):
        raise InputError(
            f"this operator's observations are {spec}, which no file holds; give them as a tensor"
        )
    if isinstance(images, str | os.PathLike):
        if run is not None and run.plan.model.data.shape == spec.shape:
            data = basics.fitted(images, run, progress=progress)
        else:
            data = load_as(images, spec, progress=progress)
        report_skipped(data, progress)
        return data
    if isinstance(images, Dataset):
        if images.spec.shape != spec.shape:
            raise InputError(
                f"{images.source} holds {images.spec}, and the model takes {spec}; "
                "give its path, and it is fitted"
            )
        return images
    if isinstance(images, Tensor):
        if through is None:
            _check_values(images)
        return Tensors(*fitted(images, spec))
    return Tensors(basics.images(images, spec))  # type: ignore[arg-type]


def _check_values(images: Tensor) -> None:
    """Raises InputError for values that no image has, such as those from 0 to 255."""
    low, high = (float(value) for value in images.aminmax()) if images.numel() else (0.0, 0.0)
    if max(-low, high) > FAR:
        raise InputError(
            f"the images' values run from {low:.3g} to {high:.3g}, and the model's lie between −1 "
            "and 1; of 0 to 255 give x / 127.5 - 1"
        )


def report_skipped(data: Dataset, progress: Progress | None) -> None:
    """Say which files cannot be used: to whoever follows the progress, or else as a warning."""
    if not data.skipped:
        return
    notes = [f"skipped {name}: {reason}" for name, reason in data.skipped[:SAID]]
    if (more := len(data.skipped) - SAID) > 0:
        where = f" (all of them: {data.report})" if data.report else ""
        notes.append(f"… and {counted(more, 'file')} more{where}")
    if progress is None:
        warnings.warn("; ".join(notes), stacklevel=3)
    else:
        progress(Step(0, 1, stage="open images", notes=tuple(notes)))


def fitted(images: Tensor, spec: DataSpec) -> tuple[Tensor, tuple[str, ...]]:
    """Images (B, C, H, W) or (C, H, W) brought to a spec, and what was done to them."""
    x = images.detach().float()
    if not x.isfinite().all():
        raise InputError("the images hold values that are not finite (NaN or ∞); mend them first")
    if spec.kind != "image":  # what an operator of one's own gives: there is no fitting it
        if x.ndim != 1 + len(spec.shape) or tuple(x.shape[1:]) != spec.shape or not len(x):
            raise InputError(
                f"observations of shape {tuple(x.shape)}; "
                f"give (B, {', '.join(map(str, spec.shape))}), as `through` does"
            )
        return x, ()
    x = x[None] if x.ndim == 3 else x
    if x.ndim != 4 or not len(x) or x.shape[1] not in {1, 3, spec.channels}:
        raise InputError(
            f"images of shape {tuple(images.shape)}; give (B, {', '.join(map(str, spec.shape))})"
        )
    notes = []
    if x.shape[1] != spec.channels:
        notes.append(f"images with {x.shape[1]} channels were brought to {spec.channels}")
        luma = x.new_tensor([0.299, 0.587, 0.114])[:, None, None]
        x = x.expand(-1, 3, -1, -1) if spec.channels == 3 else (x * luma).sum(1, keepdim=True)
    if x.shape[2:] != spec.shape[1:]:
        notes.append(f"images of {x.shape[2]}×{x.shape[3]} were resized to {spec}")
        x = F.interpolate(
            x, spec.shape[1:], mode="bilinear", antialias=True, align_corners=False
        ).clamp(-1, 1)
    if x.amin() < -1.001 or x.amax() > 1.001:
        notes.append(
            f"values run from {x.amin():.3g} to {x.amax():.3g}; "
            "the model's images lie between −1 and 1"
        )
    return x, tuple(notes)


def labels_of(
    model: LatentModel,
    images: Dataset | Tensors,
    labels: Tensor | Sequence[int] | None,
    label: int | str | None,
) -> Tensor | None:
    """The classes (N,) that are known; None where the model needs none, or they must be found."""
    if labels is not None:
        model.labels_for(1, 0)  # or say that it has no classes
        labels, K = torch.as_tensor(labels), len(model.classes)
        known = labels.shape == (len(images),) and not labels.is_floating_point()
        if not known or not ((labels >= 0) & (labels < K)).all():
            raise InputError(f"labels= must be {len(images)} whole numbers from 0 to {K - 1}")
        return labels.long()
    if label is not None or not model.conditional:
        return model.labels_for(len(images), label)
    if isinstance(images, Dataset) and set(images.classes) <= set(model.classes) and images.classes:
        return basics.class_labels(model, images)
    return None
