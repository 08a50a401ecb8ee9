"""The scores by name, which of them suit given images, and what a set of them reads together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.applications.anomaly.calibration import BorderCalibration, Standard
from preimage.applications.anomaly.images import Images, batches, one_size
from preimage.applications.anomaly.scores.hog import HogDistance, HogNeighbours, HogResidual
from preimage.applications.anomaly.scores.model import (
    Density,
    FeatureResidual,
    Reconstruction,
    Redrawing,
    Redrawn,
)
from preimage.applications.anomaly.scores.patches import Patches
from preimage.applications.anomaly.scores.projection import Projection
from preimage.applications.anomaly.scores.score import Reading, Score
from preimage.applications.anomaly.scores.unet import PlantedDefects
from preimage.core import InputError, LatentModel
from preimage.core.errors import nearest_name

MAP_PARTS = ("highest", "stands out", "mean")
ODDEST = "oddest"  # of several maps and their sum
TOP = 1000  # of so many cells of a map one, and at least one, counts as its highest
LARGE = 64  # pixels of the shorter side, from which images are taken for photographs of surfaces
SMALL = 48  # up to which a patch is a good part of the thing, and says little without its place

ALONE: dict[str, Callable[..., Score]] = {
    "patches": Patches,
    "hog-neighbours": HogNeighbours,
    "hog-distance": HogDistance,
    "hog-residual": HogResidual,
    "planted-defects": PlantedDefects,
}
OF_MODEL: dict[str, Callable[[Redrawing], Score]] = {
    "reconstruction": Reconstruction,
    "feature-residual": FeatureResidual,
    "density": Density,
    "projection": Projection,
}
NAMES = (*ALONE, *OF_MODEL)
NETS = ("planted-defects", *OF_MODEL)  # which flatter images they have learnt from, or take minutes

TAUGHT = ("planted-defects",)  # which were taught what maps are weighed by
PLAIN = {"reduce": 1, "light": 0.0}  # of patches: small images, whose light is taken to be even
SURFACE = {"reduce": 2, "light": 12.0}


def suited(
    images: Images, model: LatentModel | None, *, fresh: bool = False
) -> dict[str, dict[str, Any]]:
    """Names and options of the scores that "auto" tries.

    fresh: whether there are good images that no net has learnt from.
    """
    short = shortest(images)
    found: dict[str, dict[str, Any]] = {}
    if short >= SMALL or not one_size(images):
        found["patches"] = patches_for(images)
    if fresh and model is None and taught_by("auto", short):
        found["planted-defects"] = {}
    if one_size(images):
        found |= {"hog-neighbours": {}, "hog-distance": {}, "hog-residual": {}}
    if model is not None and fresh:
        found |= {"reconstruction": {}, "density": {}}
        found |= {"feature-residual": {}} if model.can("features") else {}
    return found


def named(
    names: str | Sequence[str], images: Images, model: LatentModel | None, *, fresh: bool = True
) -> dict[str, dict[str, Any]]:
    """Names and options of the scores asked for.

    fresh: whether there are images that no net has learnt from. Without them "auto" leaves nets
        out: what a model has learnt it redraws too well, and its scores get too much weight.
    Raises InputError for a name that is none, and for scores of a model where there is no model.
    """
    if names == "auto":
        return suited(images, model, fresh=fresh)
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in NAMES:
            raise InputError(f"no anomaly score '{name}'; {nearest_name(name, ('auto', *NAMES))}")
        if name in OF_MODEL and model is None:
            raise InputError(f"the anomaly score '{name}' is a model's; give a model")
    if not wanted:
        raise InputError(f"scores= names no score; choose from: auto, {', '.join(NAMES)}")
    return {name: patches_for(images) if name == "patches" else {} for name in wanted}


def taught_by(wanted: str | Sequence[str], short: int) -> bool:
    """Whether, without a model, a net is taught on images of this shorter side."""
    if wanted == "auto":
        return short >= LARGE
    return any(name in TAUGHT for name in ([wanted] if isinstance(wanted, str) else wanted))


def absent(images: Images, model: LatentModel | None) -> str | None:
    """What takes no part in "auto" without fresh images, in words."""
    if model is not None:
        return "the model"
    return "a net that is taught planted defects" if taught_by("auto", shortest(images)) else None


def trusted(wanted: str | Sequence[str], images: Images) -> str | None:
    """The score that "auto" goes by in small images of one size, unless others do far better.

    Planted defects rate the other scores of edges above it there, and images of other things do
    not: so it was on the training images of digits and of clothing, one class being good.
    """
    small = one_size(images) and shortest(images) < SMALL
    return "hog-neighbours" if wanted == "auto" and small else None


def known(options: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether these are names and options that `named` gives."""
    given = {"patches": [PLAIN, SURFACE]}
    return all(name in NAMES and o in given.get(name, [{}]) for name, o in options.items())


def patches_for(images: Images) -> dict[str, Any]:
    """Options of `Patches`."""
    return SURFACE if shortest(images) >= LARGE else PLAIN


def shortest(images: Images) -> int:
    """The shortest side of all images."""
    return min(min(x.shape[1:]) for x in (images[:1] if one_size(images) else images))


def made(options: Mapping[str, Mapping[str, Any]], model: LatentModel | None) -> dict[str, Score]:
    """Scores not yet fitted."""
    redrawing = None if model is None else Redrawing(model)
    return {
        name: ALONE[name](**chosen) if name in ALONE else OF_MODEL[name](_given(name, redrawing))
        for name, chosen in options.items()
    }


def _given(name: str, redrawing: Redrawing | None) -> Redrawing:
    if redrawing is None:
        raise InputError(f"this detector uses the score '{name}' of a model; give its model")
    return redrawing


def redrawing_of(scores: Mapping[str, Score], model: LatentModel) -> Redrawing:
    """What the scores see of the model's pictures; where none does, the model's as they are."""
    of = (score.redrawing for score in scores.values() if isinstance(score, Redrawn))
    return next(of, None) or Redrawing(model)


def readings(scores: Mapping[str, Score], images: Images) -> Iterator[tuple[Tensor, Tensor, dict]]:
    """Indices, the images, and name → Reading, batch by batch."""
    for index, x in batches(images):
        with torch.no_grad():
            yield index, x, {name: score.read(x) for name, score in scores.items()}


@dataclass(frozen=True)
class Parts:
    """What readings come to, once their maps are calibrated and weighed against each other.

    An image's parts are the scores it was given directly, and of the weighted sum of its maps the
    highest cells, how far these stand out of the image's own map, and the mean. Where several maps
    are summed, a defect that only one of them shows drowns in the others' noise: so a further part
    is the oddest of the highest of each map and of their sum, in spreads of good images.
    """

    borders: Mapping[str, BorderCalibration]  # by the score whose maps they are of
    weights: Mapping[str, float]  # of the maps in their sum; those of weight 0 are left out
    direct: tuple[str, ...]  # scores that rate images directly
    tops: Standard | None = None  # the highest of good images' maps, one by one, and of their sum

    @property
    def names(self) -> tuple[str, ...]:
        read = MAP_PARTS if self.tops is None else (*MAP_PARTS, ODDEST)
        return (*self.direct, *(f"map: {what}" for what in read if self.weights))

    def __call__(self, read: Mapping[str, Reading], side: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Of B images: parts (B, P), and the summed map (B, *side), zero where there are none."""
        columns = [read[name].scores for name in self.direct]
        maps = self.maps(read, side)
        if not maps:
            B = len(next(iter(read.values())).scores)  # type: ignore[arg-type]
            return torch.stack(columns, 1), torch.zeros(B, *side)  # type: ignore[arg-type]
        total = self.summed(maps)
        columns += of_map(total)
        if self.tops is not None:
            columns.append(self.tops(highest_of(maps, total)).amax(1))
        return torch.stack(columns, 1), total  # type: ignore[arg-type]

    def maps(self, read: Mapping[str, Reading], side: tuple[int, int]) -> dict[str, Tensor]:
        """The calibrated maps (B, *side) that have a weight, by name."""
        return {
            name: enlarged(border(read[name].maps), side)  # type: ignore[arg-type]
            for name, border in self.borders.items()
            if self.weights.get(name)
        }

    def summed(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of calibrated maps."""
        return torch.stack([self.weights[name] * m for name, m in maps.items()]).sum(0)


def of_map(maps: Tensor) -> list[Tensor]:
    """The numbers (B,) that are read off maps (B, h, w)."""
    high, mean, std = highest(maps), maps.mean((1, 2)), maps.std((1, 2))
    return [high, (high - mean) / std.clamp_min(1e-6), mean]


def highest(maps: Tensor) -> Tensor:
    """The mean of the highest thousandth of the cells of maps (B, h, w): (B,)."""
    cells = maps.flatten(1)
    return cells.topk(max(1, cells.shape[1] // TOP), 1).values.mean(1)


def highest_of(maps: Mapping[str, Tensor], total: Tensor) -> Tensor:
    """The highest of each map, and of their sum: (B, M + 1)."""
    return torch.stack([highest(m) for m in (*maps.values(), total)], 1)


def enlarged(maps: Tensor, side: tuple[int, int]) -> Tensor:
    """Maps (B, h, w) → (B, *side)."""
    return F.interpolate(maps[:, None], size=side, mode="bilinear", align_corners=False)[:, 0]
