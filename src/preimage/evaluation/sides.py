"""The two sides of a comparison: images that are judged, and real ones that they are held against.

A side gives its images in batches and any few of them by number, so that neither has to fit into
memory: a model draws sample 7 again when a picture of it is wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError, LatentModel
from preimage.data import Dataset
from preimage.metrics.extractors import Features

BATCH = 250  # images at a time

Generator = Callable[[int, int], Tensor]  # (n, seed) → images (n, C, H, W) in [−1, 1]


class Side(Protocol):
    """Images of one kind, the first n of them in a fixed order."""

    name: str
    n: int

    def batches(self) -> Iterator[Tensor]:
        """All images, (≤ BATCH, C, H, W) at a time."""
        ...

    def pick(self, indices: Sequence[int] | Tensor) -> Tensor:
        """The images of these numbers: (B, C, H, W)."""
        ...


class Samples:
    """What a model draws from its prior."""

    def __init__(self, model: LatentModel, n: int, *, seed: int = 0, prior: str | None = None):
        self.model, self.n, self.seed, self.prior = model, n, seed, prior
        self.name = "samples"

    def batches(self) -> Iterator[Tensor]:
        yield from self.model.sample_batches(
            self.n, seed=self.seed, prior=self.prior, batch_size=BATCH
        )

    @torch.no_grad()
    def pick(self, indices: Sequence[int] | Tensor) -> Tensor:
        images = []
        for i in torch.as_tensor(indices).tolist():
            z = self.model.space.sample(1, seed=self.seed, first=i, prior=self.prior)
            labels = self.model.labels_for(1, first=i)
            images.append(self.model.decode(z.to(self.model.device), labels).float().cpu())
        return torch.cat(images) if images else torch.empty(0, *self.model.data.shape)


class Rows:
    """Some images of a data set."""

    def __init__(self, data: Dataset, indices: np.ndarray, *, name: str = "images"):
        self.data, self.indices, self.name = data, np.asarray(indices), name
        self.n = len(self.indices)

    @property
    def content(self) -> str:
        """A hash of which images these are."""
        rows = np.ascontiguousarray(self.indices, dtype=np.int64).tobytes()
        return hashlib.blake2b(rows + self.data.fingerprint.encode(), digest_size=16).hexdigest()

    def batches(self) -> Iterator[Tensor]:
        for first in range(0, self.n, BATCH):
            yield self.data.batch(self.indices[first : first + BATCH])

    def pick(self, indices: Sequence[int] | Tensor) -> Tensor:
        return self.data.batch(self.indices[np.asarray(indices, dtype=np.int64)])


class Held:
    """Images that are in memory already."""

    def __init__(self, images: Tensor, *, name: str = "images"):
        self.images, self.name, self.n = images, name, len(images)

    def batches(self) -> Iterator[Tensor]:
        yield from self.images.split(BATCH)

    def pick(self, indices: Sequence[int] | Tensor) -> Tensor:
        return self.images[torch.as_tensor(indices, dtype=torch.int64)]


class Computed:
    """Features that somebody has computed already: there are no images to look at."""

    def __init__(self, features: Features, *, name: str = "features"):
        self.features, self.name, self.n = features, name, len(features)

    def batches(self) -> Iterator[Tensor]:
        raise InputError("only features were given, and this takes images")

    def pick(self, indices: Sequence[int] | Tensor) -> Tensor:
        raise InputError("only features were given, and this takes images")


def generated(generator: Generator, n: int, *, seed: int = 0, shape: Sequence[int]) -> Held:
    """What any function draws. Raises InputError where that is not n images of this shape."""
    images = torch.as_tensor(generator(n, seed)).detach().float().cpu()
    if tuple(images.shape) != (n, *shape):
        raise InputError(
            f"the generator gives {tuple(images.shape)}, not {(n, *shape)}; "
            "it is called with n and a seed, and returns images (n, C, H, W) in [−1, 1]"
        )
    return Held(images, name="samples")
