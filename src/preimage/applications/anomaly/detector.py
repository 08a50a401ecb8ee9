"""Finding what is wrong, having seen only what is right.

    found = Detector(false_alarms=0.01).fit(good, model=model)
    found.predict(images)            # (N,) 1 where an image is called anomalous
    found.maps(images)               # (N, H, W) where, in spreads above what is usual there

Good images are split. On most of them several scores are fitted, in folds, so that every image is
read by scores that have not seen it; what these read is calibrated, and weighed by how well it
tells good images from the same with planted defects. On the rest the threshold is set, by split
conformal prediction: the share of good images above it is at most the one asked for, whatever the
scores are worth. No real defect is seen before `decision_function`. The names are PyOD's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.applications.anomaly import suite
from preimage.applications.anomaly.calibration import (
    BorderCalibration,
    Standard,
    conformal_p_values,
    conformal_threshold,
    needed,
)
from preimage.applications.anomaly.combining import balanced_weights
from preimage.applications.anomaly.images import Images, batches, checked, chosen
from preimage.applications.anomaly.scores.score import Score
from preimage.applications.anomaly.tuning import FOLDS, Tuning
from preimage.core import InputError, LatentModel, Step, seeds

Progress = Callable[[Step], None]
FRESH = 24  # fresh images that a net's scores are weighed on, at least
WITHOUT_NET = (
    "{} takes no part: its scores are weighed on good images that it has not learnt from, and too "
    "few are held out for that"
)
SUSPECT = 5.0  # spreads above the median, from which a good image is suspected


@dataclass(frozen=True)
class Explanation:
    """What was seen in N images."""

    target: Images  # (N, C, H, W)
    reconstruction: Tensor | None  # the model's pictures of them; None without a model
    residual: Tensor | None  # target − reconstruction
    maps: Tensor | list[Tensor]  # (N, H, W)
    scores: Tensor  # (N,)
    p_values: Tensor  # (N,)
    parts: dict[str, Tensor]  # name → (N,), in spreads above the median of good images
    weights: dict[str, float]  # name → its share in the score


class Detector:
    """Told good images, it says of others how odd they are, where, and whether to raise alarm."""

    def __init__(
        self,
        *,
        scores: str | Sequence[str] = "auto",
        false_alarms: float = 0.01,
        heldout: float = 0.25,
        seed: int = 0,
    ):
        """
        scores: "auto", or names of `suite.NAMES`.
        false_alarms: the share of good images that may be called anomalous.
        heldout: the share of good images that the threshold is set on; more where the rate needs
            more, up to a half.
        """
        if not 0 < false_alarms < 1:
            raise InputError(f"false_alarms={false_alarms:g} must lie between 0 and 1, as in 0.01")
        if not 0 < heldout < 1:
            raise InputError(f"heldout={heldout:g} must lie between 0 and 1, as in 0.25")
        self.wanted, self.false_alarms, self.heldout, self.seed = (
            scores,
            false_alarms,
            heldout,
            seed,
        )
        self.model: LatentModel | None = None

    def fit(
        self,
        images: Images,
        *,
        model: LatentModel | None = None,
        validation: Images | None = None,
        groups: Tensor | Sequence[int] | None = None,
        progress: Progress | None = None,
    ) -> Detector:
        """Learn from good images (N, C, H, W) in [−1, 1], or N of (C, H, W) that differ in size.

        model: whose scores take part, if `validation` is given. validation: good images to set the
            threshold on, which neither the model nor the scores have learnt from; without them a
            share of `images` is held out. Scores of nets are standardised and weighed on half of
            those, and the threshold is set on the other, if that leaves FRESH images to weigh on
            that no net has learnt from; if not, "auto" does without nets, and scores asked for by
            name are weighed on `images`, where a net that was taught these is given too much.
        groups: (N,), alike for photographs of one thing, which then are never told apart by one
            of them having been learnt.

        Raises InputError for images that cannot be used, for fewer than the rate needs, and for
        scores that do not exist or need a model.
        """
        images = checked(images)
        if model is not None:
            _check_sizes(images, model)
        self.model = model
        fitted, calibration = self._split(images, validation, groups)
        held = chosen(images, calibration) if validation is None else checked(validation)
        spare = spared(len(held), self.false_alarms)
        if model is not None and validation is None:
            spare = 0  # for all that is known the model has learnt from them
        self.options = suite.named(self.wanted, images, model, fresh=spare > 0)
        absent = suite.absent(images, model) if self.wanted == "auto" and not spare else None
        if absent and progress is not None:
            progress(Step(0, 1, stage="fit scores", notes=(WITHOUT_NET.format(absent),)))
        order = torch.randperm(len(held), generator=seeds.generator(self.seed, "fresh"))
        fresh = None
        if spare and any(name in suite.NETS for name in self.options):
            fresh, held = chosen(held, order[:spare]), chosen(held, order[spare:])
        taught = chosen(images, fitted)
        tuning = Tuning(self.options, model, taught, fresh=fresh, seed=self.seed)
        for step in tuning.run(None if groups is None else torch.as_tensor(groups)[fitted]):
            if progress is not None:
                progress(step)
        self.scores: dict[str, Score] = tuning.scores
        self.parts = tuning.parts
        self.surface = tuning.surface
        self.standard = Standard.fit(tuning.good)
        standard = self.standard(tuning.good)
        bad = {kind: self.standard(part) for kind, part in tuning.bad.items()}
        first = suite.trusted(self.wanted, images)
        at = None if first is None else self.parts.names.index(first)
        self.weights = balanced_weights(standard, bad, trusted=at)
        self.good = self.decision_function(held)
        self.threshold = conformal_threshold(self.good, self.false_alarms)
        own = self.standard(tuning.own) @ self.weights
        suspected = [fitted[own > suspicious(own)]]
        if validation is None:
            unseen = self.good if fresh is None else torch.cat([standard @ self.weights, self.good])
            rest = calibration if fresh is None else calibration[order]
            suspected.append(rest[unseen > suspicious(own)])
        self.suspects = torch.cat(suspected).sort().values.tolist()
        return self

    def decision_function(self, images: Images) -> Tensor:
        """How odd each image is, (N,): in spreads above the median of good images."""
        return self._read(images)[0] @ self.weights

    def predict(self, images: Images) -> Tensor:
        """(N,) int64: 1 where the score is above the threshold."""
        return (self.decision_function(images) > self.threshold).long()

    def p_values(self, images: Images) -> Tensor:
        """The share of good images as odd as each, (N,) float64: 1/(n + 1) to 1."""
        return conformal_p_values(self.decision_function(images), self.good)

    def predict_proba(self, images: Images) -> Tensor:
        """(N, 2): p-values and 1 − p, the columns in PyOD's order, normal and anomalous."""
        p = self.p_values(images)
        return torch.stack([p, 1 - p], 1)

    def read(self, images: Images) -> tuple[Tensor, Tensor | list[Tensor]]:
        """`decision_function` and `maps`, of one look."""
        z, maps = self._read(images)
        return z @ self.weights, maps

    def maps(self, images: Images) -> Tensor | list[Tensor]:
        """Heat maps (N, H, W), in spreads above what is usual at each place of good images.

        A list of (H, W) where images differ in size.
        """
        return self._read(images)[1]

    def explain(self, images: Images) -> Explanation:
        """All that is known of images, for a person."""
        z, maps = self._read(images)
        scores = z @ self.weights
        redrawn = None
        if self.model is not None:
            redrawing = suite.redrawing_of(self.scores, self.model)
            pictures = [(index, redrawing.pictures(x)) for index, x in batches(images)]
            redrawn = _in_order(pictures)
            assert isinstance(redrawn, Tensor)  # all are of the model's size
        return Explanation(
            target=images,
            reconstruction=redrawn,
            residual=None if redrawn is None else images - redrawn,  # type: ignore[operator]
            maps=maps,
            scores=scores,
            p_values=conformal_p_values(scores, self.good),
            parts=dict(zip(self.parts.names, z.T, strict=True)),
            weights=dict(zip(self.parts.names, self.weights.tolist(), strict=True)),
        )

    # --- kept and opened again ---

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and what JSON holds: all but the model."""
        tensors = {
            f"score/{name}/{key}": value
            for name, score in self.scores.items()
            for key, value in score.state.items()
        }
        for name, border in {**self.parts.borders, "": self.surface}.items():
            tensors |= {f"border/{name}/mean": border.mean, f"border/{name}/std": border.std}
        tensors |= {f"standard/{f.name}": getattr(self.standard, f.name) for f in fields(Standard)}
        if self.parts.tops is not None:
            tops = self.parts.tops
            tensors |= {f"tops/{f.name}": getattr(tops, f.name) for f in fields(Standard)}
        tensors |= {"weights": self.weights, "good": self.good}
        config = {
            "options": self.options,
            "map_weights": dict(self.parts.weights),
            "borders": list(self.parts.borders),
            "direct": list(self.parts.direct),
            "false_alarms": self.false_alarms,
            "heldout": self.heldout,
            "seed": self.seed,
            "suspects": self.suspects,
            "model": self.uses_model,
        }
        return {key: value.contiguous() for key, value in tensors.items()}, config

    @classmethod
    def from_state(
        cls, tensors: Mapping[str, Tensor], config: Mapping[str, Any], model: LatentModel | None
    ) -> Detector:
        """What `state` gave, with the model it was fitted with.

        Raises InputError where it uses a model and none is given.
        """
        found = cls(
            scores=tuple(config["options"]),
            false_alarms=config["false_alarms"],
            heldout=config["heldout"],
            seed=config["seed"],
        )
        found.model, found.options = model, dict(config["options"])
        found.scores = suite.made(found.options, model)
        for name, score in found.scores.items():
            start = f"score/{name}/"
            score.state.update(
                {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            )
        borders = {
            name: BorderCalibration(tensors[f"border/{name}/mean"], tensors[f"border/{name}/std"])
            for name in (*config["borders"], "")
        }
        found.surface = borders.pop("")
        tops = _standard(tensors, "tops") if len(config["map_weights"]) > 1 else None
        found.parts = suite.Parts(borders, config["map_weights"], tuple(config["direct"]), tops)
        found.standard = _standard(tensors, "standard")
        found.weights, found.good = tensors["weights"], tensors["good"]
        found.threshold = conformal_threshold(found.good, found.false_alarms)
        found.suspects = list(config["suspects"])
        return found

    @property
    def uses_model(self) -> bool:
        """Whether the model takes part in its scores."""
        return any(name in suite.OF_MODEL for name in self.options)

    # --- inside ---

    def _read(self, images: Images) -> tuple[Tensor, Tensor | list[Tensor]]:
        """Standardised parts (N, P), and maps."""
        rows, maps = [], []
        for index, x, read in suite.readings(self.scores, checked(images)):
            parts, total = self.parts(read, (x.shape[2], x.shape[3]))
            rows.append((index, self.standard(parts)))
            maps.append((index, self.surface(total)))
        found = _in_order(rows)
        assert isinstance(found, Tensor)
        return found, _in_order(maps)

    def _split(
        self, images: Images, validation: Images | None, groups: Tensor | Sequence[int] | None
    ) -> tuple[Tensor, Tensor]:
        """Indices of the images to fit, and of those to set the threshold on."""
        n, least = len(images), needed(self.false_alarms)
        if groups is not None and len(groups) != n:
            raise InputError(f"groups= has {len(groups)} entries for {n} images; give one each")
        if validation is not None:
            if len(validation) < least:
                raise _too_few(len(validation), least, self.false_alarms, "validation ")
            return torch.arange(n), torch.arange(0)
        if n < 2 * least or n < 2 * FOLDS:
            raise _too_few(n, max(2 * least, 2 * FOLDS), self.false_alarms)
        held = max(round(self.heldout * n), least)
        member = np.arange(n) if groups is None else np.asarray(groups)
        kinds, member = np.unique(member, return_inverse=True)
        order = torch.randperm(len(kinds), generator=seeds.generator(self.seed, "held out"))
        sizes = torch.bincount(torch.from_numpy(member))[order].cumsum(0)
        taken = order[: int((sizes < held).sum()) + 1]
        out = torch.isin(torch.from_numpy(member), taken)
        if not (~out).any():
            raise InputError("all good images are of one group; give more groups, or none")
        return (~out).nonzero()[:, 0], out.nonzero()[:, 0]


def _standard(tensors: Mapping[str, Tensor], name: str) -> Standard:
    return Standard(*(tensors[f"{name}/{field.name}"] for field in fields(Standard)))


def spared(n: int, false_alarms: float) -> int:
    """How many of n fresh images scores may be weighed on, the threshold being set on the rest."""
    spare = n - max(needed(false_alarms), n // 2)
    return spare if spare >= FRESH else 0


def _too_few(n: int, least: int, false_alarms: float, what: str = "") -> InputError:
    rate = 2 / (n + 2) if not what else 1 / (n + 1)
    return InputError(
        f"{n} good {what}images are too few for false_alarms={false_alarms:g}: it takes {least}; "
        f"give more, or false_alarms={rate:.2g} or above"
    )


def _check_sizes(images: Images, model: LatentModel) -> None:
    for i in range(len(images)):
        if tuple(images[i].shape) != tuple(model.data.shape):
            raise InputError(
                f"image {i} has the shape {tuple(images[i].shape)}, and the model draws "
                f"{tuple(model.data.shape)}; fit the images to it, or cut them into tiles"
            )


def _in_order(parts: list[tuple[Tensor, Tensor]]) -> Tensor | list[Tensor]:
    """Rows in the order of their indices; a list where they differ in shape."""
    index = torch.cat([i for i, _ in parts])
    if len({rows.shape[1:] for _, rows in parts}) == 1:
        return torch.cat([rows for _, rows in parts])[index.argsort()]
    rows = [row for _, part in parts for row in part]
    return [rows[i] for i in index.argsort().tolist()]


def suspicious(scores: Tensor) -> float:
    """The score from which a good image is suspected: by the quartiles, which outliers spare."""
    middle, high = scores.double().quantile(scores.new_tensor([0.5, 0.75]).double()).tolist()
    return middle + SUSPECT * max((high - middle) / 0.6745, 1e-6)
