"""`preimage.latent_map`, `manifold` and `explain`: pictures of a latent space, and its figures.

Functions of the public interface like those in `api`, upon which they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.api import basics
from preimage.api.inversions import ENCODED, inverter, latents
from preimage.api.observations import Images, PathLike, Progress, Tensors, labels_of
from preimage.api.observations import source as observed
from preimage.core import Gaussian, InputError, LatentModel, Step, seeds
from preimage.core.errors import nearest_name
from preimage.core.words import words
from preimage.data import Dataset
from preimage.exploration.direction import Direction
from preimage.exploration.explanation import Explanation, explanation_page
from preimage.exploration.manifold import EDGES, SIZE, Manifold, liveliest
from preimage.exploration.manifold import manifold as _manifold
from preimage.exploration.maps import NEIGHBOURS, LatentMap
from preimage.exploration.maps import latent_map as _latent_map
from preimage.exploration.understanding import Understanding, understanding
from preimage.inversion import Inverter
from preimage.pictures import Plot, png
from preimage.pictures import manifold as drawn_manifold
from preimage.pictures.map import SIDE, drawn_map, thumbnail_places, thumbnail_side
from preimage.runs.directions import direction_names, load_direction
from preimage.runs.files import check_free, write_out
from preimage.runs.maps import is_map, save_map
from preimage.runs.run import Run

EXPLAINED = 2000  # images that an explanation rests on
SAMPLED = 2000  # samples, of a model without an encoder
CLASS = "class"  # what labels are called among attributes


@dataclass(frozen=True)
class Points:
    """Latents of images or samples, and what is known of each."""

    ready: Inverter
    posterior: Gaussian  # of N latents (N, *space.shape), on the CPU
    data: Dataset | Tensors | None  # None of samples
    rows: Tensor  # (N,) indices into the data
    told: Tensor | None = None  # (N,), the classes that a conditional model is told
    labels: Tensor | None = None  # (N,) into `classes`
    classes: tuple[str, ...] = ()
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        return (
            () if self.data is None else tuple(str(self.data.names[i]) for i in self.rows.tolist())
        )

    @torch.no_grad()
    def images(self, of: Tensor) -> Tensor:
        """Images (B, C, H, W) of points (B,), on the CPU."""
        if self.data is not None:
            return self.data.batch(self.rows[of])
        device = self.ready.model.device
        y = None if self.told is None else self.told[of].to(device)
        return self.ready.model.decode(self.posterior.mean[of].to(device), y).float().cpu()

    def batches(self, progress: Progress | None = None) -> Iterator[Tensor]:
        for part in torch.arange(len(self)).split(ENCODED):
            if progress is not None:
                progress(Step(int(part[0]), len(self), stage="thumbnails"))
            yield self.images(part)


def latent_map(
    model: LatentModel | PathLike,
    images: Images | None = None,
    *,
    method: str = "pca",
    by: str | None = None,
    neighbours: int = NEIGHBOURS,
    n: int | None = None,
    label: int | str | None = None,
    out: PathLike | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> LatentMap:
    """A map of images by where a model has them in its latent space.

    model: a model, or the folder of a run.
    images: whatever `invert` takes; unset, those the run was trained on, or samples of a model
        that cannot encode.
    method: "pca", "t-sne", or "umap" (an extra: preimage[maps]).
    by: what `map.png` is coloured by: "class", or an attribute of the images; unset, the class.
    n: at most so many images, drawn at random by the seed.
    out: a folder for `map.png` and the data of a studio: `map.json`, positions, thumbnails.

    Raises InputError for an unknown method or attribute, UMAP without its extra, fewer images than
    a map is made of, and an `out` that holds anything but a map.
    """
    folder = None if out is None else Path(out)
    if folder is not None and not is_map(folder):  # an older map is replaced
        check_free(folder)
    points = _points(model, images, n, label=label, seed=seed, device=device, progress=progress)
    _check_attribute(points, by)
    if progress is not None:
        progress(Step(0, 1, stage="map"))
    found = _mapped(points, method=method, neighbours=neighbours, seed=seed)
    if folder is not None:
        save_map(
            found,
            folder,
            drawn=_drawn(points, found, by),
            images=points.batches(progress),
            shape=points.ready.model.data.shape,
        )
    return found


def manifold(
    model: LatentModel | PathLike,
    axes: Sequence[int | str | Direction | None] = (None, None),
    *,
    centre: Images | Tensor | None = None,
    size: int = SIZE,
    edges: tuple[float, float] = EDGES,
    label: int | str | None = None,
    out: PathLike | None = None,
    device: str = "auto",
) -> Manifold:
    """A grid of images over two numbers of the latent, or two directions.

    axes: numbers of the latent, from 0; Directions; or names of those saved with the run. What is
        None is the number that moves the image most, of those left.
    centre: a latent (*space.shape), or an image, through which the plane goes; unset, the mean.
    edges: quantiles of the normal distribution from edge to edge.
    out: a PNG file.

    Raises InputError for a dimension or direction that there is none of, and the same one twice.
    """
    ready = inverter(model, device=device)
    known = _axes(model, ready.model, axes, label)
    z = None
    if isinstance(centre, Tensor) and centre.shape == ready.model.space.shape:
        z = centre
    elif centre is not None:
        found = latents(ready, centre, n=2, label=label)
        if len(found) > 1:
            raise InputError("--centre is several images; give one of them")
        z = found[0]
    found = _manifold(ready.model, known, centre=z, size=size, edges=edges, label=label)
    if out is not None:
        write_out(Path(out), png(drawn_manifold(found.images)))
    return found


def explain(
    model: LatentModel | PathLike,
    images: Images | None = None,
    *,
    method: str = "pca",
    n: int | None = None,
    label: int | str | None = None,
    out: PathLike | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Explanation:
    """What a model's latent numbers do, on one page with everything inside.

    images: to learn it from, as `latent_map` takes them; at most n, 2,000 by default.
    method: of the map on the page.
    out: the HTML file to write.

    Raises InputError where there are fewer images than the estimates need, and where `out` is a
    folder.
    """
    if out is not None and Path(out).is_dir():
        raise InputError(f"{out} is a folder; give a file such as {Path(out) / 'model.html'}")
    count = EXPLAINED if n is None else n
    points = _points(model, images, count, label=label, seed=seed, device=device, progress=progress)
    known = _understood(points, seed, progress)
    if progress is not None:
        progress(Step(0, 1, stage="page"))
    found = _mapped(points, method=method, neighbours=NEIGHBOURS, seed=seed)
    run = None if isinstance(model, LatentModel) else Path(model)
    saved = direction_names(run) if run is not None else []
    directions = [load_direction(run, name) for name in saved] if run is not None else []
    centre = _ordinary(points.posterior.mean)
    name = type(model).__name__ if run is None else run.resolve().name
    text = explanation_page(
        points.ready.model,
        name,
        known,
        found,
        _drawn(points, found, _telling(known, points)),
        points.posterior.mean[centre],
        data=points.posterior.mean,
        label=None if points.told is None else points.told[centre, None],
        directions=directions,
        seed=seed,
        command=None if run is None else f"preimage explain {run}",
    )
    facts = {"model": str(model) if run is not None else name, "data": str(points.ready.model.data)}
    explained = Explanation(name, known, found, text, tuple(saved), facts)
    if out is not None:
        write_out(Path(out), text.encode())
    return explained


def _points(
    model: LatentModel | PathLike,
    images: Images | None,
    n: int | None,
    *,
    label: int | str | None,
    seed: int,
    device: str,
    progress: Progress | None,
) -> Points:
    """Latents of at most n images, encoded or searched for; or of samples."""
    ready = inverter(model, device=device)
    run = None if isinstance(model, LatentModel) else Run.open(Path(model))
    if n is not None and n < 1:
        raise InputError(f"n={n} leaves no image; give at least 1")
    if images is None and (run is None or not ready.model.can("encode")):
        return _samples(ready, SAMPLED if n is None else n, label, seed)
    data: Dataset | Tensors
    if images is None and run is not None:
        data = basics.run_dataset(run, progress=progress)
    else:
        assert images is not None
        data = observed(images, ready.model.data, progress, run=run)
    rows = torch.arange(len(data))
    if n is not None and n < len(data):
        order = torch.randperm(len(data), generator=seeds.generator(seed, "points"))
        rows = order[:n].sort().values
    told = labels_of(ready.model, data, None, label)
    told = None if told is None else told[rows].cpu()
    posterior = _posterior(ready, data, rows, told, progress)
    labels, known, categories = None, {}, {}
    if isinstance(data, Dataset):
        known = {name: values[rows.numpy()] for name, values in data.attributes.items()}
        categories = data.categories
    if data.labels is not None:
        labels = torch.from_numpy(np.asarray(data.labels)[rows.numpy()])
    classes = data.classes if isinstance(data, Dataset) else ()
    return Points(ready, posterior, data, rows, told, labels, classes, known, categories)


@torch.no_grad()
def _posterior(
    ready: Inverter,
    data: Dataset | Tensors,
    rows: Tensor,
    told: Tensor | None,
    progress: Progress | None,
) -> Gaussian:
    model = ready.model
    if not model.can("encode"):
        z = latents(ready, data.batch(rows), labels=told, progress=progress)
        return _point(z)
    if model.conditional and told is None:
        raise InputError("the encoder is told the class of each image; give labels or a label")
    means, log_variances = [], []
    for part in torch.arange(len(rows)).split(ENCODED):
        if progress is not None:
            progress(Step(int(part[0]), len(rows), stage="encode"))
        y = None if told is None else told[part].to(model.device)
        found = model.encode(data.batch(rows[part]).to(model.device), y)
        means.append(found.mean.float().cpu())
        log_variances.append(found.log_variance.float().cpu())
    return Gaussian(torch.cat(means), torch.cat(log_variances))


def _samples(ready: Inverter, n: int, label: int | str | None, seed: int) -> Points:
    z = ready.model.space.sample(n, seed=seed).cpu()
    told = ready.model.labels_for(n, label)
    told = None if told is None else told.cpu()
    classes = ready.model.classes
    return Points(ready, _point(z), None, torch.arange(n), told, told, classes)


def _point(z: Tensor) -> Gaussian:
    return Gaussian(z.float(), torch.full_like(z, -20.0, dtype=torch.float32))


def _mapped(points: Points, *, method: str, neighbours: int, seed: int) -> LatentMap:
    found = _latent_map(points.posterior.mean, method=method, neighbours=neighbours, seed=seed)
    return replace(
        found,
        labels=points.labels,
        classes=points.classes,
        attributes=points.attributes,
        categories=points.categories,
        names=points.names,
    )


def _understood(points: Points, seed: int, progress: Progress | None) -> Understanding:
    attributes, categories = dict(points.attributes), dict(points.categories)
    if points.labels is not None and len(points.classes) > 1 and points.data is not None:
        attributes[CLASS], categories[CLASS] = points.labels.numpy(), points.classes
    some = torch.arange(len(points))[:1000]
    for step in understanding(
        points.ready.model,
        points.posterior,
        points.images(some),
        encoded=points.data is not None,
        labels=points.told,
        attributes=attributes,
        categories=categories,
        seed=seed,
    ):
        if isinstance(step, Understanding):
            return step
        if progress is not None:
            progress(step)
    raise AssertionError("understanding ends with what it has found")


def _drawn(points: Points, found: LatentMap, by: str | None) -> Plot:
    """The map as a picture, coloured by an attribute or the classes."""
    side = thumbnail_side(points.ready.model.data.shape)
    chosen = torch.from_numpy(thumbnail_places(found.positions, cell=side / SIDE))
    colouring: dict[str, Any] = {}
    if by in (None, CLASS) and points.labels is not None:
        colouring = {"labels": points.labels, "classes": points.classes}
    elif by is not None and by in points.categories:
        values = np.nan_to_num(points.attributes[by], nan=-1).astype(int)
        colouring = {"labels": values, "classes": points.categories[by], "named": words(by)}
    elif by is not None:
        colouring = {"values": points.attributes[by], "named": words(by)}
    return drawn_map(
        found.positions, chosen=chosen, thumbnails=points.images(chosen), side=side, **colouring
    )


def _telling(known: Understanding, points: Points) -> str | None:
    """The attribute that the strongest numbers follow, where there are no classes to colour by."""
    if points.labels is not None:
        return None
    return next((d.follows.attribute for d in known.ranked if d.follows is not None), None)


def _check_attribute(points: Points, by: str | None) -> None:
    known = [*points.attributes, *([CLASS] if points.labels is not None else [])]
    if by is not None and by not in known:
        mend = nearest_name(by, known) if known else "nothing is known of these images"
        raise InputError(f"no attribute '{by}'; {mend}")


def _axes(
    model: LatentModel | PathLike,
    net: LatentModel,
    axes: Sequence[int | str | Direction | None],
    label: int | str | None,
) -> list[int | Direction]:
    """Numbers and Directions, in the place of names and of what was left open."""
    found = [None if axis is None else _axis(model, axis) for axis in axes]
    left_open = sum(axis is None for axis in found)
    if not left_open:
        return [axis for axis in found if axis is not None]
    taken = [axis for axis in found if isinstance(axis, int)]
    chosen = iter(sorted(liveliest(net, but=taken, label=label)[:left_open]))
    return [next(chosen, 0) if axis is None else axis for axis in found]


def _axis(model: LatentModel | PathLike, axis: int | str | Direction) -> int | Direction:
    """A number, or a direction by itself or by its name."""
    if not isinstance(axis, str):
        return axis
    if axis.removeprefix("z").isdecimal():
        return int(axis.removeprefix("z"))
    if isinstance(model, LatentModel):
        raise InputError(f"a model has no saved direction '{axis}'; give a Direction, or a run")
    return load_direction(Path(model), axis)


def _ordinary(z: Tensor) -> int:
    """The latent nearest to the mean of (N, *shape), in standard deviations."""
    flat = z.flatten(1)
    off = (flat - flat.mean(0)) / flat.std(0).clamp_min(1e-6)
    return int(off.square().sum(1).argmin())
