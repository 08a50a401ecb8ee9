"""Samples that are near copies of training images, refused and drawn again.

What a near copy is, and how seldom a new image is taken for one, stands in
`metrics/memorisation.py`. Here it is told of pixels, of images no larger than 32×32: compression
and noise do not hide a copy there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.core import InputError, LatentModel, seeds
from preimage.data import Dataset
from preimage.metrics.memorisation import EXACT, Copies, closeness, copies_of, threshold

SIDE = 32  # pixels, to which larger images are brought
HELDOUT = 2000  # images behind the threshold, at most
ATTEMPTS = 20  # draws of one sample
BATCH = 2000  # training images at a time


class Watch:
    """Training images that samples must not be copies of; they are read anew for every question."""

    def __init__(self, data: Dataset, *, rate: float = 0.01):
        """rate: of new images, the share that is taken for copies by mistake, at most.

        Raises InputError where nothing is held out: there is nothing to set the threshold by.
        """
        self.data = data
        if not len(data.heldout):
            raise InputError(
                f"{data.name} has no held-out images, by which near copies could be told from new "
                "images; train on more images"
            )
        rows = np.random.default_rng(0).permutation(data.heldout)[:HELDOUT]
        new = closeness(reduced(data.batch(np.sort(rows))), self._train())[0]
        self.threshold, self.rate = threshold(new, rate=rate)

    def __call__(self, images: Tensor) -> Copies:
        """Of images (N, C, H, W) in [−1, 1]; `nearest` counts among the training images."""
        if tuple(images.shape[1:]) != self.data.spec.shape:
            raise InputError(
                f"images {tuple(images.shape[1:])} and {self.data.spec} do not compare"
            )
        found = closeness(reduced(images), self._train())
        return copies_of(found, found[1] <= EXACT, self.threshold, self.rate)

    def _train(self) -> Iterator[Tensor]:
        for first in range(0, len(self.data.train), BATCH):
            yield reduced(self.data.batch(self.data.train[first : first + BATCH]))


def reduced(images: Tensor) -> Tensor:
    """Images (N, C, H, W) with sides of 32 pixels at most."""
    height, width = images.shape[-2:]
    return F.adaptive_avg_pool2d(images, (min(height, SIDE), min(width, SIDE)))


@dataclass(frozen=True)
class Drawn:
    """Samples, none of them a near copy."""

    images: Tensor  # (N, C, H, W) in [−1, 1]
    latents: Tensor  # (N, *space.shape)
    labels: Tensor | None  # (N,) of a conditional model
    refused: Tensor  # (N,) how many draws of each were near copies


@torch.no_grad()
def draw(
    model: LatentModel,
    n: int,
    watch: Watch | None = None,
    *,
    seed: int = 0,
    label: int | str | None = None,
    prior: str | None = None,
    truncation: float = 1.0,
    batch_size: int = 256,
) -> Drawn:
    """n samples; a near copy is drawn again, from a seed of its own, so that others do not change.

    Raises InputError where a sample is a near copy at all of 20 draws: the model knows little else.
    """
    drawing = {"prior": prior, "truncation": truncation}
    latents = model.space.sample(n, seed=seed, **drawing)
    labels = model.labels_for(n, label)
    images = torch.empty(n, *model.data.shape)
    refused = torch.zeros(n, dtype=torch.int64)
    pending = torch.arange(n)
    for attempt in range(ATTEMPTS):
        for rows in pending.split(batch_size) if attempt else ():
            again = seeds.derive(seed, "again", attempt)
            latents[rows] = torch.cat(
                [model.space.sample(1, seed=again, first=i, **drawing) for i in rows.tolist()]
            ).to(latents)
        for rows in pending.split(batch_size):
            y = None if labels is None else labels[rows.to(labels.device)]
            images[rows] = model.decode(latents[rows].to(model.device), y).float().cpu()
        if watch is None or not len(pending):
            break
        pending = pending[watch(images[pending]).near]
        refused[pending] += 1
        if not len(pending):
            break
    else:
        raise InputError(
            f"sample {pending[0]} is a near copy of a training image at each of {ATTEMPTS} draws: "
            "the model has learned its images by heart"
        )
    return Drawn(images, latents, None if labels is None else labels.cpu(), refused)
