"""Faces painted with one factor held still, for the scores of disentanglement that ask for it.

Images of a data set share a factor nearly, and others by chance; painted ones share it exactly,
and all else is drawn afresh.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from preimage.core import LatentModel, Unsupported, seeds
from preimage.data import faces
from preimage.metrics.interventions import Draw

Encode = Callable[[Tensor], Tensor]  # images (B, 3, S, S) in [−1, 1] → codes (B, …)

BATCH = 512  # faces at a time


def painted(encode: Encode, size: int = 64) -> tuple[Draw, tuple[str, ...]]:
    """Draws of codes whose faces share a factor, and the names of all factors."""

    def draw(name: str, groups: int, size_of_group: int, seed: int) -> np.ndarray:
        n = groups * size_of_group
        fixed = faces.sample(groups, seed=seeds.derive(seed, "held still"))[name]
        factors = faces.change(
            faces.sample(n, seed=seeds.derive(seed, "others")),
            **{name: np.repeat(fixed, size_of_group)},
        )
        parts = []
        for first in range(0, n, BATCH):
            few = {key: values[first : first + BATCH] for key, values in factors.items()}
            images = torch.from_numpy(faces.render(few, size)).float() / 127.5 - 1
            parts.append(encode(images).flatten(1).double().cpu())
        return torch.cat(parts).view(groups, size_of_group, -1).numpy()

    return draw, tuple(factor.name for factor in faces.FACTORS)


def means_of(model: LatentModel) -> Encode:
    """The means that a model encodes faces to. Raises Unsupported for one that takes no faces."""
    if not (model.can("encode") and model.data.kind == "image" and model.data.channels == 3):
        raise Unsupported("faces can be painted for models with an encoder of colour images only")

    @torch.no_grad()
    def encode(images: Tensor) -> Tensor:
        return model.encode(images.to(model.device)).mean

    return encode
