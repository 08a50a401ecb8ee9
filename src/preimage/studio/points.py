"""The images of a run by their latents: what the map is a map of.

They are encoded once, in the background, and kept in the cache under the weights of the model and
the content of the images; so the second time they are there at once. A run whose images are not to
be had is shown by samples of its model instead.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.inversions import ENCODED
from preimage.api.observations import labels_of
from preimage.core import InputError, LatentModel, Step
from preimage.data import Dataset
from preimage.data import cache as store
from preimage.exploration.unlabelled import image_features
from preimage.inversion.fingerprint import fingerprint
from preimage.runs.files import write_out
from preimage.runs.run import Run

PLACED_BY = "points.npy"  # (N, d): what the map is to keep near each other
FORMAT = 1  # of what is kept; raised when it changes
FOLDER = "studio"  # in the cache
SAMPLED = 1000  # samples, where there are no images
SEED = 0

Progress = Callable[[Step], None]


@dataclass(frozen=True)
class Points:
    """N latents, and what is known of the image behind each."""

    latents: Tensor  # (N, *space.shape), on the CPU
    placed_by: Tensor  # (N, d): what the map keeps near each other; the latents, of images
    folder: Path  # where what is made of them is kept
    data: Dataset | None  # None of samples
    rows: np.ndarray  # (N,) indices into the data
    told: Tensor | None = None  # (N,), the classes that a conditional model is told
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)  # name → (N,) float32
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of coded ones

    def __len__(self) -> int:
        return len(self.latents)


def load_data(
    run: Run, source: str | None, progress: Progress | None
) -> tuple[Dataset | None, str | None]:
    """The images of a run, or others fitted to it; or None, and why there are none."""
    try:
        if source is not None:
            return basics.fitted(source, run, progress=progress), None
        return basics.run_dataset(run, progress=progress), None
    except (InputError, KeyError, TypeError) as error:
        if source is not None:
            raise
        return None, str(error)


def points_of(model: LatentModel, data: Dataset | None, *, progress: Progress | None) -> Points:
    """The latents of images, or of samples, from the cache where they are there."""
    if data is None:
        return _samples(model, progress)
    rows = np.arange(len(data))
    if not model.can("encode"):  # a search takes about a second an image
        return _samples(model, progress)
    told = labels_of(model, data, None, None)
    folder = _folder(model, data.fingerprint)
    z = _kept(folder, len(rows))
    if z is None:
        z = _encoded(model, data, told, progress)
        _keep(folder, z)
    z = z.reshape(len(rows), *model.space.shape)
    known, categories = dict(data.attributes), dict(data.categories)
    if data.labels is not None and len(data.classes) > 1:
        known = {"class": np.asarray(data.labels, np.float32)} | known
        categories["class"] = data.classes
    return Points(z, z.flatten(1), folder, data, rows, told, known, categories)


def _samples(model: LatentModel, progress: Progress | None) -> Points:
    """Draws from the prior lie alike in all directions; so the map goes by how they look."""
    n = SAMPLED if model.space.priors else 0
    z = model.space.sample(n, seed=SEED) if n else torch.empty(0, *model.space.shape)
    told = model.labels_for(n)
    known, categories = {}, {}
    if told is not None:
        told = told.cpu()
        known, categories = {"class": told.numpy().astype(np.float32)}, {"class": model.classes}
    if model.space.size == 2 or not n:
        return Points(z, z.flatten(1), Path(), None, np.arange(n), told, known, categories)
    folder = _folder(model, f"samples-{n}")
    seen = _kept(folder, n)
    if seen is None:
        if progress is not None:
            progress(Step(0, 1, stage="draw samples"))
        seen = image_features(model, z, labels=told)
        _keep(folder, seen)
    return Points(z, seen, folder, None, np.arange(n), told, known, categories)


@torch.no_grad()
def _encoded(
    model: LatentModel, data: Dataset, told: Tensor | None, progress: Progress | None
) -> Tensor:
    if model.conditional and told is None:
        raise InputError("this model is told the class of each image, and its images have none")
    parts = []
    for rows in torch.arange(len(data)).split(ENCODED):
        if progress is not None:
            progress(Step(int(rows[0]), len(data), stage="encode"))
        y = None if told is None else told[rows].to(model.device)
        parts.append(model.encode(data.batch(rows).to(model.device), y).mean.float().cpu())
    return torch.cat(parts)


def positions_path(folder: Path, method: str) -> Path:
    """Where the positions of a map lie that was made of the points kept in a folder."""
    return folder / f"positions-{method}.f32"


def about_path(folder: Path, method: str) -> Path:
    return folder / f"positions-{method}.json"


def _folder(model: LatentModel, content: str) -> Path:
    key = store.digest([FORMAT, fingerprint(model), content])
    return store.root() / FOLDER / key


def _kept(folder: Path, n: int) -> Tensor | None:
    """What was kept of n points, (n, d); None where nothing usable is there."""
    try:
        values = np.load(folder / PLACED_BY, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    right = values.ndim == 2 and len(values) == n and values.dtype == np.float32
    return torch.from_numpy(values) if right else None


def _keep(folder: Path, values: Tensor) -> None:
    """Latents, or what is seen in samples, (N, …)."""
    buffer = io.BytesIO()
    np.save(buffer, values.flatten(1).numpy().astype(np.float32))
    write_out(folder / PLACED_BY, buffer.getvalue())
