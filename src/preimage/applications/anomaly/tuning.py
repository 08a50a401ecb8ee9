"""Scores fitted in folds, and what they read of good images and of planted defects.

Every good image is read by scores that were fitted without it, and so is the same image with a
defect put in. From these readings come the calibration of maps, their weights in the summed map,
and the parts that the detector weighs. In the end every score is fitted to all images.

Where good images are given that nothing was fitted to, neither a score nor the model, these are
read instead, by scores fitted once: it would take too long to teach nets in folds.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from preimage.applications.anomaly import suite
from preimage.applications.anomaly.calibration import BorderCalibration, Standard
from preimage.applications.anomaly.combining import capped, weights
from preimage.applications.anomaly.defects import FORMS, WHOLE, defective
from preimage.applications.anomaly.images import Images, chosen, one_size
from preimage.applications.anomaly.scores.score import Reading, Score
from preimage.applications.anomaly.scores.unet import PlantedDefects
from preimage.core import InputError, LatentModel, Step, seeds

FOLDS = 2
PLANTED = 300  # images that get a defect of each kind
PIXELS = 100  # of each defective image, that maps are weighed by: half of them in the defect


class Tuning:
    """`run` does it all, and leaves `scores`, `parts`, `surface`, `good`, `bad` and `own`."""

    scores: dict[str, Score]  # fitted to all images to learn from
    parts: suite.Parts
    surface: BorderCalibration  # of the summed map
    good: Tensor  # (N, P): parts of good images, out of fold
    own: Tensor  # (N, P): of those that were learned from, out of fold for all scores but nets
    bad: dict[str, Tensor]  # form of the defect → (M, P), out of fold

    def __init__(
        self,
        options: Mapping[str, Mapping[str, Any]],
        model: LatentModel | None,
        images: Images,
        *,
        fresh: Images | None = None,
        seed: int = 0,
    ):
        """images: to learn from. fresh: to be read; without them `images` are, in folds."""
        self.options, self.model, self.taught, self.seed = options, model, images, seed
        self.fresh, self.images = fresh, images if fresh is None else fresh

    def run(self, groups: Tensor | None = None) -> Iterator[Step]:
        """groups: (N,), alike for images that are never to be in different folds."""
        total, n = FOLDS + 6, len(self.images)
        taught = torch.arange(len(self.taught)) if groups is None else groups
        if self.fresh is None:
            folds = self._folds(taught)
            if len(folds.unique()) < FOLDS:
                raise InputError("all good images are of one group; give more groups, or none")
            fitted = []
            for k in range(FOLDS):
                yield Step(k, total, stage=f"fit scores to half of the images, {k + 1} of {FOLDS}")
                fitted.append((yield from self._fitted((folds != k).nonzero()[:, 0])))
        else:
            yield Step(0, total, stage="fit scores")
            folds = torch.zeros(n, dtype=torch.long)
            fitted = [(yield from self._fitted(torch.arange(len(self.taught))))]
        some = torch.randperm(n, generator=seeds.generator(self.seed, "planted"))[:PLANTED]
        yield Step(FOLDS, total, stage="read good images")
        borders, direct = self._calibrated(fitted, folds, some)
        self.parts = suite.Parts(borders, {name: 1 / len(borders) for name in borders}, direct)
        planted = {}
        for form in (*FORMS, *(WHOLE if one_size(self.images) else ())):
            yield Step(FOLDS + 1, total, stage=f"plant defects: {form}")
            planted[form] = self._planted(form, some)
        if borders:
            yield Step(FOLDS + 2, total, stage="weigh heat maps")
            self.parts = suite.Parts(borders, self._map_weights(fitted, folds, planted), direct)
            self.parts = replace(self.parts, tops=self._tops(fitted, folds[some], some))
        self.bad = {}
        for form, (index, images, _) in planted.items():
            yield Step(FOLDS + 3, total, stage=f"read planted defects: {form}")
            self.bad[form] = self._parts(fitted, folds[index], images)[0]
        yield Step(FOLDS + 4, total, stage="read good images")
        self.good, maps = self._parts(fitted, folds, self.images, maps_of=some)
        self.surface = BorderCalibration.fit(maps)
        yield Step(FOLDS + 5, total, stage="fit scores to all images")
        if self.fresh is None:
            self.scores, self.own = (yield from self._fitted(torch.arange(n))), self.good
        else:
            self.scores = fitted[0]
            self.own = yield from self._own(self._folds(taught))

    def _folds(self, groups: Tensor) -> Tensor:
        """Which fold each image is in, whole groups together: (N,)."""
        kinds, member = groups.unique(return_inverse=True)
        order = torch.randperm(len(kinds), generator=seeds.generator(self.seed, "folds"))
        return (order % FOLDS)[member]

    def _own(self, folds: Tensor) -> Generator[Step, None, Tensor]:
        """Parts of the images learned from. Read in fold, what knows them by heart finds none odd;
        nets, which take too long to be taught again, have seen many crops of each."""
        if len(folds.unique()) < FOLDS:  # all are of one group
            return self._parts([self.scores], folds, self.taught)[0]
        quick = [name for name in self.options if name not in suite.NETS]
        again = []
        for k in range(FOLDS):
            refitted = yield from self._fitted((folds != k).nonzero()[:, 0], only=quick)
            again.append({**self.scores, **refitted})
        return self._parts(again, folds, self.taught)[0]

    def _fitted(
        self, index: Tensor, *, only: Collection[str] | None = None
    ) -> Generator[Step, None, dict[str, Score]]:
        names = self.options if only is None else only
        options = {name: self.options[name] for name in names}
        scores, images = suite.made(options, self.model), chosen(self.taught, index)
        for score in scores.values():
            if isinstance(score, PlantedDefects):
                for step in score.teach(images, seed=self.seed):
                    yield Step(step, score.steps, stage="teach a net planted defects")
            else:
                score.fit(images, seed=self.seed)
        return scores

    def _by_fold(
        self, fitted: list[dict[str, Score]], folds: Tensor, images: Images
    ) -> Iterator[tuple[Tensor, Tensor, dict[str, Reading]]]:
        """Out-of-fold readings: indices into `images`, the images, name → reading."""
        for k, scores in enumerate(fitted):
            rows = (folds == k).nonzero()[:, 0]
            if len(rows):
                for index, x, read in suite.readings(scores, chosen(images, rows)):
                    yield rows[index], x, read

    def _calibrated(
        self, fitted: list[dict[str, Score]], folds: Tensor, some: Tensor
    ) -> tuple[dict[str, BorderCalibration], tuple[str, ...]]:
        """Each map's calibration, and which scores rate images directly."""
        maps: dict[str, list[Tensor]] = {}
        direct: dict[str, None] = {}
        for _, _, read in self._by_fold(fitted, folds[some], chosen(self.images, some)):
            for name, reading in read.items():
                if reading.maps is not None:
                    maps.setdefault(name, []).append(reading.maps)
                if reading.scores is not None:
                    direct[name] = None
        return {name: BorderCalibration.fit(part) for name, part in maps.items()}, tuple(direct)

    def _planted(self, form: str, some: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Indices of images, these with a defect of that form, and where it is."""
        g = seeds.generator(self.seed, "planted", form)
        others = some[torch.randperm(len(some), generator=g)]
        images, masks = [], []
        for i, j in zip(some.tolist(), others.tolist(), strict=True):
            good, other = self.images[i], self.images[j]
            if form in FORMS:
                x, mask = defective(good, other, g, form=form)
            else:
                x, mask = WHOLE[form](good, other, g), torch.ones(good.shape[1:], dtype=torch.bool)
            images.append(x)
            masks.append(mask)
        return some, images, masks

    def _map_weights(
        self, fitted: list[dict[str, Score]], folds: Tensor, planted: Mapping[str, tuple]
    ) -> dict[str, float]:
        """Weights of the maps, by how well they tell defective pixels from others."""
        borders = self.parts.borders
        good, bad = [], []
        for form in FORMS:
            index, images, masks = planted[form]
            g, inside = seeds.generator(self.seed, "pixels", form), []
            for rows, x, read in self._by_fold(fitted, folds[index], images):
                side = (x.shape[2], x.shape[3])
                maps = [suite.enlarged(b(read[n].maps), side) for n, b in borders.items()]  # type: ignore[arg-type]
                stacked = torch.stack(maps, -1)  # (B, H, W, M)
                for row, pixels in zip(rows.tolist(), stacked, strict=True):
                    inside.append(_some(pixels[masks[row]], g))
                    good.append(_some(pixels[~masks[row]], g))
            bad.append(torch.cat(inside))
        found = weights(torch.cat(good), [part for part in bad if len(part)])
        found = capped(found, torch.tensor([name in suite.TAUGHT for name in borders]))
        return {name: w for name, w in zip(borders, found.tolist(), strict=True) if w > 0}

    def _tops(self, fitted: list[dict[str, Score]], folds: Tensor, some: Tensor) -> Standard | None:
        """The highest of good images' maps; None where there is but one map."""
        if len(self.parts.weights) < 2:
            return None
        found = []
        for _, x, read in self._by_fold(fitted, folds, chosen(self.images, some)):
            maps = self.parts.maps(read, (x.shape[2], x.shape[3]))
            found.append(suite.highest_of(maps, self.parts.summed(maps)))
        return Standard.fit(torch.cat(found))

    def _parts(
        self,
        fitted: list[dict[str, Score]],
        folds: Tensor,
        images: Images,
        *,
        maps_of: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Out-of-fold parts (N, P), and the summed maps of the images `maps_of`."""
        rows, maps = [], []
        for index, x, read in self._by_fold(fitted, folds, images):
            parts, total = self.parts(read, (x.shape[2], x.shape[3]))
            rows.append((index, parts))
            if maps_of is not None:
                maps.append(total[torch.isin(index, maps_of)])
        order = torch.cat([index for index, _ in rows]).argsort()
        return torch.cat([part for _, part in rows])[order], maps


def _some(rows: Tensor, g: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=g)[: PIXELS // 2]]
