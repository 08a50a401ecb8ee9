"""`preimage.interpolate` and `preimage.arithmetic`: from images or latents to walks and sums.

Functions of the public interface like those in `api`, upon which they stand. A place in the latent
space is named by an image, a folder or data set of them, saved latents (`found.npz[3]`), or
`random:SEED`, a sample of the prior.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from preimage.api.inversions import encoded, latents
from preimage.api.observations import RANDOM, Images, PathLike, Progress, random_seed
from preimage.api.observations import source as observed
from preimage.core import InputError, LatentModel
from preimage.core.errors import nearest_name
from preimage.core.words import counted
from preimage.data import Dataset
from preimage.exploration.arithmetic import Term, combined, parse
from preimage.exploration.decoding import decoded
from preimage.exploration.paths import METHODS, Walk, check_method, walk
from preimage.inversion import Inverter
from preimage.pictures import check_format, contact_sheet, pairs, png
from preimage.runs.files import write_json, write_out
from preimage.runs.latents import SavedLatents
from preimage.runs.pictures import numbered, save_animation, save_images, save_latents
from preimage.runs.run import Run

Model = LatentModel | PathLike | Inverter
Place = Images  # or latents, as tensors (*space.shape) or (N, *space.shape)
STILLS = "png"  # the format of frames as images, one file each
INVERTS = ("auto", "encoder", "search")
OWN = ("label", "invert", "device", "progress")  # options of a `_Finder`
FEW = 256  # images of one place that are held in memory


def interpolate(
    model: Model,
    *places: Place,
    frames: int = 60,
    method: str = "slerp",
    even: bool = False,
    loop: bool = False,
    label: int | str | None = None,
    invert: str = "auto",
    device: str = "auto",
    progress: Progress | None = None,
) -> Walk:
    """A walk from the first place through the others.

    places: images (a file, folder, picture, tensor in the model's shape, …), which are inverted;
        latents, as tensors or `FILE.npz[ROW]`; or `random:SEED`. One that holds several (a folder,
        latents without a row) is walked through from the first to the last.
    method: "slerp" along the sphere, "lerp" along the line, "geodesic" the shortest in images.
    even: equal steps of the image, not of the latent.
    loop: back to the first place.
    label: the class, of a conditional model.
    invert: "encoder", "search", or "auto", the encoder where there is one: see `latents`.

    Raises InputError for places that cannot be used, fewer than two of them, an unknown method,
    or fewer frames than places.
    """
    check_method(method)
    finder = _Finder(model, label=label, invert=invert, device=device, progress=progress)
    return _walked(finder, places, frames=frames, method=method, even=even, loop=loop)


def _walked(finder: _Finder, places: Sequence[Place], **options: Any) -> Walk:
    points = torch.cat([torch.empty(0, *finder.net.space.shape), *finder.latents(places)])
    label, progress = finder.label, finder.progress
    return walk(finder.net, points, label=label, progress=progress, **options)


@dataclass(frozen=True)
class Sum:
    """What an expression comes to, and the terms it was made of."""

    latent: Tensor  # (*space.shape)
    image: Tensor  # (C, H, W) in [−1, 1]
    terms: tuple[Term, ...]
    latents: Tensor  # (T, *space.shape), of the terms: means where they name several images
    images: Tensor  # (T, C, H, W): what the model draws of them
    counts: tuple[int, ...]  # images or latents in each term
    label: int | None = None  # the class, of a conditional model


def arithmetic(
    model: Model,
    expression: str,
    *,
    places: Mapping[str, Place] | None = None,
    label: int | str | None = None,
    invert: str = "auto",
    device: str = "auto",
    progress: Progress | None = None,
) -> Sum:
    """`"a.png - b.png + 0.5 * c/"`: latents summed as the expression says, and decoded.

    expression: names of places as `interpolate` takes them, with `+ - * /`, numbers and brackets;
        names with spaces stand in quotes. One that holds several images stands for their mean.
    places: names of your own: `arithmetic(model, "a - b", places={"a": z, "b": "photos/"})`.
    label, invert: as `interpolate` takes them.

    Raises InputError that points at the character where the expression cannot be read, or where
    a name stands that is none.
    """
    finder = _Finder(model, label=label, invert=invert, device=device, progress=progress)
    return _summed(finder, expression, dict(places or {}))


def _summed(finder: _Finder, expression: str, own: Mapping[str, Place]) -> Sum:
    terms = parse(expression, lambda name: name in own or _exists(name))
    named = [own.get(term.name, term.name) for term in terms]
    each = finder.latents(named, [f" (at character {term.position})" for term in terms])
    means = torch.stack([several.mean(0) for several in each])
    z = combined(terms, {term.name: mean for term, mean in zip(terms, means, strict=True)})
    label = finder.net.labels_for(1, finder.label)
    labels = None if label is None else label.expand(len(terms) + 1)
    images = decoded(finder.net, torch.cat([z[None], means]), labels).cpu()
    counts = tuple(len(several) for several in each)
    index = None if label is None else int(label)
    return Sum(z, images[0], terms, means, images[1:], counts, index)


def interpolate_files(
    run: PathLike,
    places: Sequence[str],
    *,
    out: PathLike,
    formats: Sequence[str] = ("gif",),
    fps: float = 24,
    **options: Any,
) -> dict[str, Any]:
    """`interpolate` from files to files: animations, a sheet, latents, and what is known of the
    walk as JSON, which is returned.

    formats: "gif", "webp", "mp4" (with the extra `video`), "png" for every frame as a file.
    """
    for kind in formats:
        if kind != STILLS:
            check_format(kind, fps)
    check_method(options.get("method", METHODS[0]))
    folder, (finder, options) = Path(out), _Finder.of(run, options)
    stills = folder / "frames"
    net, made = finder.net, _walked(finder, places, **options)
    if STILLS in formats and (more := numbered(stills, first=len(made.images))):
        raise InputError(
            f"{stills} holds {more[0].name} and on of a longer walk; delete that folder, or choose "
            "another --out"
        )
    files = {"sheet": str(write_out(folder / "sheet.png", png(contact_sheet(made.images))))}
    for kind in formats:
        if kind == STILLS:
            files[kind] = str(save_images(made.images, stills))
        else:
            path = folder / f"interpolation.{kind}"
            files[kind] = str(save_animation(made.images, path, fps=fps))
    found = {"latents": made.latents, "points": made.points}
    files["latents"] = str(save_latents(folder / "latents.npz", model=net, **found))
    result = {
        "run": str(run),
        "places": list(places),
        "points": len(made.points),
        "method": made.method,
        "frames": len(made.images),
        "label": _class_name(net, made.label),
        "length": float(made.steps.sum()),
        "unevenness": made.unevenness,
        "geodesics": _legs(made),
        **files,
    }
    write_json(folder / "interpolation.json", result)
    return result


def arithmetic_files(
    run: PathLike, expression: str, *, out: PathLike, **options: Any
) -> dict[str, Any]:
    """`arithmetic` from files to files: the image, a sheet of the sum, latents, and JSON."""
    folder, finder = Path(out), _Finder(run, **options)
    net, made = finder.net, _summed(finder, expression, {})
    row = torch.cat([made.images, made.image[None]])
    sheet = pairs({"": row}, under=[*_captions(made), "= the sum"])
    files = {
        "sheet": str(write_out(folder / "sheet.png", png(sheet))),
        "image": str(save_images(made.image[None], folder, names=["sum"]) / "sum.png"),
        "latents": str(
            save_latents(
                folder / "latents.npz", model=net, latents=made.latent[None], terms=made.latents
            )
        ),
    }
    result = {
        "run": str(run),
        "expression": expression,
        "label": _class_name(net, made.label),
        "terms": [
            {"name": term.name, "coefficient": term.coefficient, "images": count}
            for term, count in zip(made.terms, made.counts, strict=True)
        ],
        **files,
    }
    write_json(folder / "arithmetic.json", result)
    return result


class _Finder:
    """A model, and how what a person names is found in its latent space."""

    def __init__(
        self,
        model: Model,
        *,
        label: int | str | None = None,
        invert: str = "auto",
        device: str = "auto",
        progress: Progress | None = None,
    ):
        if invert not in INVERTS:
            raise InputError(f"no way to invert '{invert}'; {nearest_name(invert, INVERTS)}")
        if isinstance(model, LatentModel):
            self.net = model.eval()
        else:
            self.net = model.model if isinstance(model, Inverter) else encoded(model, device=device)
        if self.net.conditional and label is None:
            raise InputError("this model is told the class of each image; give a label")
        self.net.labels_for(1, label)
        searched = invert == "search" or not self.net.can("encode")
        self.model = model if searched else self.net  # a run keeps what searches start from
        self.run = Run.open(Path(model)) if isinstance(model, str | os.PathLike) else None
        self.label, self.progress = label, progress
        self.options = {"method": invert, "label": label, "device": device, "progress": progress}

    @classmethod
    def of(cls, model: Model, options: Mapping[str, Any]) -> tuple[_Finder, dict[str, Any]]:
        """The finder, and the options that are not its own."""
        mine = {name: options[name] for name in OWN if name in options}
        return cls(model, **mine), {k: v for k, v in options.items() if k not in OWN}

    def latents(self, places: Sequence[Place], remarks: Sequence[str] = ()) -> list[Tensor]:
        """Where each place is: (N, *space.shape), N = 1 of one that is a single image.

        remarks: what an error about each of them ends with.
        """
        found: dict[int, Tensor] = {}
        images: dict[int, Tensor] = {}
        for i, place in enumerate(places):
            try:
                if (z := self._known(place)) is not None:
                    found[i] = z
                    continue
                source = observed(place, self.net.data, self.progress, run=self.run)
                if len(source) > FEW:  # too many to hold: these pass by in batches
                    there = source if isinstance(source, Dataset) else source.images
                    found[i] = latents(self.model, there, **self.options)
                else:
                    images[i] = source.batch(torch.arange(len(source)))
            except InputError as error:
                raise InputError(f"{error}{remarks[i] if remarks else ''}") from None
        if images:  # all at once: a search prepares itself once
            z = latents(self.model, torch.cat(list(images.values())), **self.options)
            parts = z.split([len(x) for x in images.values()])
            found |= dict(zip(images, parts, strict=True))
        return [found[i] for i in range(len(places))]

    def _known(self, place: Place) -> Tensor | None:
        """The latents (N, *space.shape) of a place that is no image."""
        shape = tuple(self.net.space.shape)
        if isinstance(place, Tensor):
            flat = place.ndim - len(shape) in (0, 1)
            same = tuple(place.shape[place.ndim - len(shape) :]) == shape
            return place.detach().cpu().float().reshape(-1, *shape) if flat and same else None
        if not isinstance(place, str | os.PathLike):
            return None
        text = os.fspath(place)
        if (seed := random_seed(text)) is not None:
            return self.net.space.sample(1, seed=seed)
        saved = SavedLatents.named(text)
        return None if saved is None else saved.read(self.net)


def _exists(name: str) -> bool:
    """Whether there is something of that name, so that a word of an expression may end with it."""
    if name.startswith(RANDOM):
        return name.removeprefix(RANDOM).isdecimal()
    path = Path(name).expanduser()
    return path.exists() or SavedLatents.named(name) is not None


def _legs(made: Walk) -> list[dict[str, float]] | None:
    """What a geodesic is worth, leg by leg."""
    if made.geodesics is None:
        return None
    found = made.geodesics
    columns = {
        name: getattr(found, name).tolist()
        for name in ("length", "straight_length", "spherical_length", "energy", "straight_energy")
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _captions(made: Sum) -> list[str]:
    """`+ a.png`, `- 0.5 * photos`: what stands below each term, in letters that Pillow has."""
    captions = []
    for i, (term, count) in enumerate(zip(made.terms, made.counts, strict=True)):
        sign = "-" if term.coefficient < 0 else "+" if i else ""
        size = "" if abs(term.coefficient) == 1 else f"{abs(term.coefficient):g} * "
        several = f"\nmean of {counted(count, 'image')}" if count > 1 else ""
        captions.append(f"{sign} {size}{Path(term.name).name}{several}".strip())
    return captions


def _class_name(net: LatentModel, label: int | None) -> str | None:
    return None if label is None else net.classes[label]


__all__ = [
    "METHODS",
    "Sum",
    "Walk",
    "arithmetic",
    "arithmetic_files",
    "interpolate",
    "interpolate_files",
]
