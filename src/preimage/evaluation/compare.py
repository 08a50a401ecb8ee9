"""Models of one data set side by side: a VAE against a GAN, an autoencoder against a VAE.

Every number comes with its 95 % interval and with its null, the same number for real training
images in the place of samples: a model can hardly be asked for more. All are taken against the
same held-out images, which no model has seen, with equally many samples of each model; what is new
is told by the images that the model itself was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Step
from preimage.core.words import counted
from preimage.data import Dataset
from preimage.evaluation.sides import Rows
from preimage.metrics import (
    Measure,
    RandomFeatures,
    extract,
    fidelity,
    frechet,
    largest_step,
    nearest_ratio,
    sharpness,
)
from preimage.metrics.measure import of_mean

FRAMES = 16  # of an interpolation
PATHS = 64  # interpolations that are measured
STRIPS = 4  # and that are shown, of every second frame
SHOWN = 32  # samples that are shown
PAIRS = 8  # held-out images shown beside their reconstructions
LEAST = 20  # held-out images without which nothing can be said


@dataclass(frozen=True)
class Scores:
    """What is measured of a model; of the real images, what a model would score at best.

    A field is None where it cannot be measured: no encoder, or training images that have gone.
    """

    sharpness: Measure  # of samples, over that of held-out images
    realism: Measure  # share of samples among the held-out images (precision)
    coverage: Measure  # share of held-out images with a sample among their neighbours
    frechet: Measure  # distance of the two sets of features
    novelty: Measure | None  # distance to the nearest training image, over that of held-out ones
    continuity: Measure | None = None  # the largest step of an interpolation over its mean step
    midpoint: Measure | None = None  # of images halfway between two others, from those of `data`
    error: Measure | None = None  # mean squared error of reconstructed held-out images


MEASURES: dict[str, tuple[str, str]] = {
    "sharpness": ("Sharpness", "edges of samples over edges of real images; 1 is as sharp"),
    "realism": ("Realism", "share of samples that lie among the real images"),
    "coverage": ("Coverage", "share of real images with a sample near them; low means collapse"),
    "frechet": ("Fréchet distance", "of samples and real images as two clouds; lower is better"),
    "novelty": ("Novelty", "distance to the nearest training image; 1 is as new, near 0 copied"),
    "continuity": ("Latent continuity", "largest step of an interpolation over its mean; 1 even"),
    "midpoint": ("Midpoints", "how far from real images halfway pictures lie; 1 is as real ones"),
    "error": ("Reconstruction error", "mean squared, of held-out images in [−1, 1]"),
}
"""Field of `Scores` → its name for people, and how to read it."""


@dataclass(frozen=True)
class Contender:
    """One model, what it scored, and pictures of what it does."""

    name: str
    scores: Scores
    samples: Tensor  # (SHOWN, C, H, W), not chosen
    strips: Tensor  # (STRIPS, FRAMES / 2, C, H, W): interpolations
    reconstructions: Tensor | None  # of `Comparison.originals`


@dataclass(frozen=True)
class Comparison:
    """Models side by side."""

    data: str  # name of the data set
    n: int  # samples, and held-out images, behind every number
    null: Scores  # training images in the place of samples
    contenders: tuple[Contender, ...]
    real: Tensor  # (SHOWN, C, H, W) held-out images
    originals: Tensor  # (PAIRS, C, H, W) held-out images
    notes: tuple[str, ...] = ()  # sentences a reader should know

    def to_json(self) -> dict[str, Any]:
        """All the numbers, as JSON values."""
        rows = {"real images": self.null} | {c.name: c.scores for c in self.contenders}
        return {
            "data": self.data,
            "n": self.n,
            "scores": {
                name: {
                    field: None if measure is None else measure.to_json()
                    for field, measure in measured(scores)
                }
                for name, scores in rows.items()
            },
            "notes": list(self.notes),
        }


def measured(scores: Scores) -> Iterator[tuple[str, Measure | None]]:
    """The fields of `scores` with their values, in order."""
    for field in fields(scores):
        yield field.name, getattr(scores, field.name)


def compare(
    models: Mapping[str, LatentModel],  # name → model
    data: Dataset,
    *,
    trained: Mapping[str, Dataset | None] | None = None,
    n: int = 1000,  # samples of each, at most; no more than there are held-out images
    prior: str | None = None,  # to sample from; each model's own where None
    seed: int = 0,
) -> Iterator[Step | Comparison]:
    """Measure each model; yields a Step for each, and the Comparison at the end.

    trained: name → what a model was trained on, None where that is not known; `data` for models
        that are not named. Held-out images that any was trained on are left out, and noted.

    Raises InputError where a model's images are not of the data's shape, or too few are held out.
    """
    for name, model in models.items():
        if model.data.shape != data.spec.shape:
            raise InputError(f"{name} draws {model.data}, but {data.name} has {data.spec}")
        if model.conditional and tuple(data.classes) != model.classes:
            raise InputError(f"the classes of {name} are not those of {data.name}")
    known = dict.fromkeys(models, data) | dict(trained or {})
    heldout = unseen(data, [own for own in known.values() if own is not None])
    notes = ()
    if seen := len(data.heldout) - len(heldout):
        images = counted(len(data.heldout), "held-out image")
        notes = (f"{seen} of the {images} of {data.name} left out: a model was trained on them.",)
    n = min(n, len(heldout), len(data.train))
    if n < LEAST:
        images = counted(n, "held-out image") + (" that no model was trained on" if seen else "")
        raise InputError(
            f"{data.name} has {images}; comparing needs {LEAST}: give others by --source"
        )
    reference = Reference(data, heldout, n, seed=seed)
    total = len(models) + 1
    yield Step(0, total, stage="comparing")
    null = reference.null()
    yield Step(1, total, stage="comparing")
    contenders = []
    for i, (name, model) in enumerate(models.items()):
        contenders.append(reference.contender(name, model.eval(), known[name], prior=prior))
        yield Step(i + 2, total, stage="comparing")
    yield Comparison(
        data=data.name,
        n=n,
        null=null,
        contenders=tuple(contenders),
        real=reference.real[:SHOWN],
        originals=reference.real[:PAIRS],
        notes=notes,
    )


def unseen(data: Dataset, trained: Sequence[Dataset]) -> np.ndarray:
    """The held-out images of a data set that no model was trained on."""
    seen = [np.zeros(0, np.uint64), *(own.hashes[own.train] for own in trained)]
    return data.heldout[~np.isin(data.hashes[data.heldout], np.concatenate(seen))]


class Reference:
    """The real images that models are held against, and their features."""

    def __init__(self, data: Dataset, heldout: np.ndarray, n: int, *, seed: int):
        numbers = np.random.default_rng(seed)
        heldout = numbers.permutation(heldout)[:n]
        train = numbers.permutation(data.train)
        self.seed = seed
        self.net = RandomFeatures(data.spec.channels)
        self.real = data.batch(heldout)  # (n, C, H, W)
        self.labels = data.batch_labels(heldout)
        self.seen = data.batch(train[:n])  # training images in the place of samples
        self.real_features = self.features(self.real)
        self.train_features = self.features_of(data, train)
        own = self.train_features, self.real_features
        self._known = {Rows(data, data.train).content: own}

    def features(self, images: Tensor) -> Tensor:
        return extract(self.net, images.split(250))

    def features_of(self, data: Dataset, rows: np.ndarray) -> Tensor:
        return extract(self.net, Rows(data, rows).batches())

    def own_features(self, data: Dataset) -> tuple[Tensor, Tensor]:
        """Of what a model was trained on, and of as many as `real` that were held out of it."""
        content = Rows(data, data.train).content
        if content not in self._known:
            heldout = np.random.default_rng(self.seed).permutation(data.heldout)[: len(self.real)]
            found = self.features_of(data, data.train), self.features_of(data, heldout)
            self._known[content] = found
        return self._known[content]

    def null(self) -> Scores:
        """What training images score: as samples, and cross-faded in pairs as interpolations."""
        n = len(self.real)
        first, second = self.real[: n // 2], self.real[n // 2 : n // 2 * 2]
        return Scores(
            **self.of_samples(self.seen, self.train_features[:n]),
            novelty=nearest_ratio(self.features(first), self.train_features, self.features(second)),
            midpoint=self.newness((first + second) / 2),
        )

    @torch.no_grad()
    def contender(
        self, name: str, model: LatentModel, trained: Dataset | None, *, prior: str | None
    ) -> Contender:
        """trained: what the model was trained on; None where that is not known."""
        n = len(self.real)
        samples = model.sample(n, seed=self.seed, prior=prior)
        z = model.space.sample(2 * PATHS, seed=self.seed, first=n, prior=prior).to(model.device)
        starts, ends = z[:PATHS], z[PATHS:]
        label = 0 if model.conditional else None  # a path stays within one class
        decoded = self.reconstructions(model)
        found = self.features(samples)
        own = self.own_features(trained) if trained is not None and len(trained.heldout) else None
        scores = Scores(
            **self.of_samples(samples, found),
            novelty=None if own is None else nearest_ratio(found, *own),
            continuity=largest_step(
                lambda z: model.decode(z, model.labels_for(len(z), label)),
                starts,
                ends,
                frames=FRAMES,
            ),
            midpoint=self.newness(
                model.decode((starts + ends) / 2, model.labels_for(PATHS, label))
            ),
            error=None if decoded is None else squared_error(decoded, self.real),
        )
        return Contender(
            name=name,
            scores=scores,
            samples=samples[:SHOWN],
            strips=strips(model, starts[:STRIPS], ends[:STRIPS], label=label),
            reconstructions=None if decoded is None else decoded[:PAIRS],
        )

    def of_samples(self, samples: Tensor, features: Tensor) -> dict[str, Measure]:
        shares = fidelity(self.real_features, features)
        return {
            "sharpness": sharpness(samples, self.real),
            "realism": shares.precision,
            "coverage": shares.coverage,
            "frechet": frechet(self.real_features, features),
        }

    def newness(self, images: Tensor) -> Measure:
        found = self.features(images.float().cpu())
        return nearest_ratio(found, self.train_features, self.real_features)

    def reconstructions(self, model: LatentModel) -> Tensor | None:
        """The held-out images encoded and decoded: (n, C, H, W), or None without an encoder."""
        if not model.can("encode"):
            return None
        parts = []
        for rows in torch.arange(len(self.real)).split(250):
            x = self.real[rows].to(model.device)
            y = self.labels[rows] if model.conditional and self.labels is not None else None
            y = None if y is None else y.to(model.device)
            parts.append(model.decode(model.encode(x, y).mean, y).float().cpu())
        return torch.cat(parts)


def squared_error(decoded: Tensor, real: Tensor) -> Measure:
    """The mean over images of the mean squared error over pixels."""
    return of_mean((decoded - real).square().flatten(1).mean(1)).within(0, float("inf"))


def strips(model: LatentModel, starts: Tensor, ends: Tensor, *, label: int | None) -> Tensor:
    """Straight interpolations, (B, *latent) each: (B, FRAMES / 2, C, H, W)."""
    t = torch.linspace(0, 1, FRAMES // 2).view(-1, *[1] * (starts.dim() - 1)).to(starts)
    rows = []
    for a, b in zip(starts, ends, strict=True):
        z = torch.lerp(a[None], b[None], t)
        rows.append(model.decode(z, model.labels_for(len(z), label)).float().cpu())
    return torch.stack(rows)
