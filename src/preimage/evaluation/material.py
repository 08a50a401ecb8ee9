"""What is known when a model or a set of images is judged; each part computed when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from preimage.core import LatentModel
from preimage.data import Dataset
from preimage.data.statistics import kept
from preimage.evaluation.likelihood import Observed, fitted_sigma
from preimage.evaluation.membership import Candidates
from preimage.evaluation.sides import Computed, Rows, Side
from preimage.metrics.extractors import Extractor, Features, stamp
from preimage.metrics.memorisation import Around, around
from preimage.metrics.quality import halves
from preimage.metrics.reconstruction import Distance, Errors, reconstruction_errors
from preimage.metrics.score import Stamp

Classifier = Callable[[Tensor], Tensor]  # images (B, C, H, W) → probabilities or logits (B, K)

DECODED = 2000  # images whose reconstructions are looked at, at most
COMPONENTS = 128  # of features, that a classifier sees
FITTED = 4_000  # training images a classifier is fitted to, at most
NOISED = 2000  # training images that the noise of a likelihood is fitted to, at most


class Unmeasurable(Exception):
    """Why a group of scores cannot be taken here, in half a sentence."""


@dataclass(frozen=True)
class Missing:
    """A score that cannot be taken here, though others of its group can."""

    name: str
    why: str


@dataclass
class Material:
    """Two sides, perhaps the model behind one of them, and what it was trained on."""

    real: Side  # real images that the model was not trained on
    made: Side | None  # what is judged; None where a model cannot be sampled from
    extractor: Extractor
    model: LatentModel | None = None
    train: Side | None = None  # what the model was trained on
    heldout: Side | None = None  # what was held out of that, where `real` is something else
    labels: Tensor | None = None  # (N,) classes of the real images
    train_labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    factors: Mapping[str, np.ndarray] = field(default_factory=dict)  # name → (N,) of the real ones
    classifier: Classifier | None = None  # of one's own; else one is fitted where there are labels
    perceptual: Distance | None = None  # of images and their reconstructions, beside features
    candidates: Candidates | None = None  # for membership, with or without a reference
    reference: LatentModel | None = None  # trained alike on other images
    likelihood: str = "gaussian"  # p(x|z) that the model was trained with, or "bernoulli"
    prior: str | None = None  # that is sampled from; unset, the model's own choice
    seed: int = 0
    notes: tuple[str, ...] = ()  # sentences a reader should know

    # --- who is there ---

    @property
    def samples(self) -> Side:
        if self.made is None:
            raise Unmeasurable("there is no prior to sample from")
        return self.made

    @property
    def seen(self) -> Side:
        if self.train is None:
            raise Unmeasurable("it is not known what was trained on")
        return self.train

    @property
    def generator(self) -> LatentModel:
        if self.model is None:
            raise Unmeasurable("it is of a model, and only images or features were given")
        return self.model

    @property
    def autoencoder(self) -> LatentModel:
        if not self.generator.can("encode"):
            raise Unmeasurable("the model has no encoder")
        return self.generator

    def class_name(self, k: int) -> str:
        return self.classes[k] if k < len(self.classes) else str(k)

    # --- features ---

    def features_of(self, side: Side) -> Features:
        """The features of a side; those of a data set by a known network are kept by content."""
        if isinstance(side, Computed):
            return side.features
        made = self.extractor
        if not (isinstance(side, Rows) and made.known):
            return made(side.batches())
        of = {
            "rows": side.content,
            "extractor": [made.name, made.hash],
            "resize": made.resize,
        }
        rows = kept(of, lambda: {"features": made(side.batches()).held})["features"]
        return Features(rows, made.name, made.hash, made.resize, made.comparable)

    @cached_property
    def real_features(self) -> Features:
        return self.features_of(self.real)

    @cached_property
    def made_features(self) -> Features:
        return self.features_of(self.samples)

    @cached_property
    def train_features(self) -> Features:
        return self.features_of(self.seen)

    @cached_property
    def fresh_features(self) -> Features:
        """Of images such as the training images that were not trained on."""
        return self.real_features if self.heldout is None else self.features_of(self.heldout)

    @cached_property
    def around_samples(self) -> Around:
        """The training images that samples are nearest to, by features."""
        return around(self.made_features.held, self.train_features.held)

    @cached_property
    def around_fresh(self) -> Around:
        """The same of images that were not trained on."""
        return around(self.fresh_features.held, self.train_features.held)

    @cached_property
    def stamp(self) -> Stamp:
        """What scores of samples against real images are computed with."""
        return stamp(self.real_features, self.made_features)

    @property
    def halved(self) -> bool:
        """Whether real images stand in for samples, and so only half of them for themselves."""
        return self.train is None or self.heldout is not None

    @cached_property
    def compared(self) -> tuple[Features, Features, Features]:
        """Features of real images, of samples, and of other real images in the samples' place.

        Those are training images, where real ones were held out of them; else real ones are halved.
        """
        if not self.halved:
            return self.real_features, self.made_features, self.train_features
        first, second = halves(self.real_features, seed=self.seed)
        return first, self.made_features, second

    # --- classes ---

    @cached_property
    def probabilities(self) -> tuple[Tensor, Tensor]:
        """What a classifier says of the samples and of the real images: (N, K) each."""
        if self.classifier is not None:
            judge = self.classifier
            return _classified(judge, self.samples), _classified(judge, self.real)
        fitted = self._fitted
        return fitted(self.made_features.held), fitted(self.real_features.held)

    @cached_property
    def _fitted(self) -> Callable[[Tensor], Tensor]:
        """A logistic regression on the principal components of labelled training images' features.

        They are as many as tell classes apart, and too few to learn the training images by heart.
        """
        if self.train_labels is None or len(self.train_labels.unique()) < 2:
            raise Unmeasurable("there are no classes to tell apart; give a classifier")
        features = self.train_features.rows[:FITTED].double().numpy()
        fitted = make_pipeline(
            StandardScaler(),
            PCA(min(COMPONENTS, *features.shape), random_state=0),
            StandardScaler(),
            LogisticRegression(max_iter=1000, tol=1e-3, C=0.1),
        )
        fitted.fit(features, self.train_labels[:FITTED].numpy())
        known = torch.from_numpy(fitted[-1].classes_)

        def judge(rows: Tensor) -> Tensor:
            found = torch.zeros(len(rows), len(self.classes), dtype=torch.float64)
            found[:, known] = torch.from_numpy(fitted.predict_proba(rows.double().numpy()))
            return found

        return judge

    @property
    def classifier_note(self) -> str:
        """How far the word of the classifier can be taken."""
        whose = (
            "A classifier fitted to training images"
            if self.classifier is None
            else "The classifier"
        )
        if self.labels is None:
            return ""
        right = (self.probabilities[1].argmax(1) == self.labels).double().mean().item()
        return f"{whose} is right about {right:.1%} of the real images"

    # --- codes and reconstructions ---

    def labelled_batches(
        self, side: Side, n: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The first n images of the real or the training side, with the classes a model is told."""
        labels = self.labels if side is self.real else self.train_labels
        left = side.n if n is None else min(n, side.n)
        first = 0
        for batch in side.batches():
            x = batch[:left]
            yield x, self._told(None if labels is None else labels[first : first + len(x)])
            first, left = first + len(x), left - len(x)
            if not left:
                return

    def told(self, indices: Tensor) -> Tensor | None:
        """The classes that a conditional model is told of these real images."""
        return self._told(None if self.labels is None else self.labels[indices])

    def _told(self, labels: Tensor | None) -> Tensor | None:
        if not self.generator.conditional:
            return None
        if labels is None:
            raise Unmeasurable(
                "the model is told the class of each image, and these have none it knows"
            )
        return labels.to(self.generator.device)

    @cached_property
    def latents(self) -> Tensor:
        """Encoded means of the real images: (N, d)."""
        model, rows = self.autoencoder, []
        with torch.no_grad():
            for x, y in self.labelled_batches(self.real):
                rows.append(model.encode(x.to(model.device), y).mean.flatten(1).float().cpu())
        return torch.cat(rows)

    @torch.no_grad()
    def reconstructed(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Images encoded and decoded, on the CPU."""
        model = self.autoencoder
        return model.decode(model.encode(x.to(model.device), labels).mean, labels).float().cpu()

    @cached_property
    def errors(self) -> Errors:
        """What is lost of real images by encoding and decoding them, of DECODED at most."""
        return self._errors(self.real)

    @cached_property
    def training_errors(self) -> Errors | None:
        """The same of at most as many training images, where they are known."""
        return None if self.train is None else self._errors(self.train)

    def _errors(self, side: Side) -> Errors:
        batches = self.labelled_batches(side, min(self.real.n, DECODED))
        pairs = ((x, self.reconstructed(x, y)) for x, y in batches)
        return reconstruction_errors(pairs, features=self.extractor.net, perceptual=self.perceptual)

    @cached_property
    def observed(self) -> Observed:
        """The likelihood of images given a latent; a Gaussian's σ is that of training images."""
        if self.likelihood == "bernoulli":
            return Observed("bernoulli")
        few = self.labelled_batches(self.seen, NOISED)
        sigma = fitted_sigma(self.autoencoder, few, seed=self.seed)
        return Observed("gaussian", sigma)


def labels_among(classes: Sequence[str], data: Dataset, rows: np.ndarray) -> Tensor | None:
    """The places of some images' classes among others of these names; None where one is not there.

    A folder of the classes 3 and 5 counts them from 0, and a model of ten digits does not.
    """
    if data.labels is None or not set(data.classes) <= set(classes):
        return None
    return torch.tensor([classes.index(name) for name in data.classes])[data.labels[rows]]


def factors_of(data: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The attributes of some images: numbers, NaN where unknown, or words, "" where unknown."""
    found = {name: values[rows] for name, values in data.attributes.items()}
    for name, words in data.categories.items():
        codes = np.nan_to_num(found[name], nan=len(words)).astype(np.int64)
        found[name] = np.array([*words, ""])[codes]
    return found


@torch.no_grad()
def _classified(classifier: Classifier, side: Side) -> Tensor:
    found = torch.cat([torch.as_tensor(classifier(x)).double().cpu() for x in side.batches()])
    if found.ndim != 2 or not torch.isfinite(found).all():
        raise Unmeasurable("the classifier does not return finite probabilities (B, K)")
    if (found < 0).any() or (found.sum(1) - 1).abs().max() > 1e-3:  # they are logits
        found = found.softmax(1)
    return found
