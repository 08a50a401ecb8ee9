"""The figure by which a person wants the best checkpoint to be chosen, in place of the stage's own.

Each is cheap: of 1,024 samples, or of as many reconstructions, against held-out images, in a
seeded random feature net where features are needed. Such figures say which checkpoint of one run is
better; `preimage evaluate` says how good it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel
from preimage.core.errors import nearest_name
from preimage.metrics import (
    Moments,
    RandomFeatures,
    extract,
    frechet_distance,
    kernel_distance,
)
from preimage.metrics.fidelity import prdc
from preimage.metrics.reconstruction import mse
from preimage.training.likelihood import heldout_batches
from preimage.training.stage import Context

IMAGES = 1024  # samples or reconstructions, and held-out images at most


@dataclass(frozen=True)
class Figure:
    """How a figure is taken of what a model makes (N, …) and of held-out images (M, …)."""

    of: Callable[[Tensor, Tensor], float]
    higher: bool = False  # whether more is better
    features: bool = True  # of features; else of the images, as they are
    reconstructions: bool = False  # of reconstructions of the held-out images; else of samples


def _frechet(made: Tensor, real: Tensor) -> float:
    return frechet_distance(Moments(made), Moments(real))


def _share(place: int) -> Callable[[Tensor, Tensor], float]:
    return lambda made, real: prdc(real, made)[place]


def _kernel(made: Tensor, real: Tensor) -> float:
    return kernel_distance(real, made).value


def _squared_error(made: Tensor, real: Tensor) -> float:
    return mse(made, real).mean().item()


def _feature_distance(made: Tensor, real: Tensor) -> float:
    return (made - real).double().norm(dim=1).mean().item()


FIGURES: dict[str, Figure] = {
    "frechet": Figure(_frechet),
    "kernel": Figure(_kernel),
    "precision": Figure(_share(0), higher=True),
    "recall": Figure(_share(1), higher=True),
    "density": Figure(_share(2), higher=True),
    "coverage": Figure(_share(3), higher=True),
    "squared-error": Figure(_squared_error, features=False, reconstructions=True),
    "feature-distance": Figure(_feature_distance, reconstructions=True),
}
"""Name → how it is taken, as `preimage evaluate` takes it."""


class Judge:
    """Takes one figure of a model again and again, always against the same held-out images.

    Raises InputError for an unknown figure, where too few images are held out, and where
    reconstructions are asked of a model without an encoder.
    """

    def __init__(self, name: str, model: LatentModel, context: Context):
        if name not in FIGURES:
            raise InputError(f"no figure '{name}' (--best); {nearest_name(name, FIGURES)}")
        self.name, self.figure, self.context = name, FIGURES[name], context
        self.key = f"best_by_{name.replace('-', '_')}"  # among the metrics of a step
        if self.figure.reconstructions and not model.can("encode"):
            raise InputError(
                f"'{name}' (--best) is of reconstructions, and this model has no encoder; "
                "give frechet or coverage"
            )
        batches = list(heldout_batches(context))
        self.real = torch.cat([batch.x.cpu() for batch in batches])[:IMAGES]
        labels = [batch.labels.cpu() for batch in batches if batch.labels is not None]
        self.labels = torch.cat(labels)[:IMAGES] if labels and model.conditional else None
        if len(self.real) < 20:
            raise InputError(
                f"{len(self.real)} images are held out; '{name}' (--best) needs 20: leave it out"
            )
        self.net = RandomFeatures(model.data.channels).to(context.device)
        self._real_features: Tensor | None = None

    @torch.no_grad()
    def value(self, model: LatentModel) -> float:
        """The figure of a model, in its own units."""
        made = self._reconstructed(model) if self.figure.reconstructions else self._samples(model)
        if not self.figure.features:
            return self.figure.of(made, self.real)
        if self._real_features is None:
            self._real_features = self._features(self.real)
        return self.figure.of(self._features(made), self._real_features)

    def cost(self, value: float) -> float:
        """The same with lower for better."""
        return -value if self.figure.higher else value

    def _samples(self, model: LatentModel) -> Tensor:
        return model.sample(IMAGES, seed=self.context.seed)

    def _reconstructed(self, model: LatentModel) -> Tensor:
        parts = []
        for index in torch.arange(len(self.real)).split(256):
            x = self.real[index].to(model.device)
            y = None if self.labels is None else self.labels[index].to(model.device)
            parts.append(model.decode(model.encode(x, y).mean, y).float().cpu())
        return torch.cat(parts)

    def _features(self, images: Tensor) -> Tensor:
        return extract(self.net, (x.to(self.context.device) for x in images.split(256)))
