"""`preimage.sample`: images from the prior of a model, copies of its training images refused."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from preimage.api import basics
from preimage.core import InputError, LatentModel
from preimage.data import Dataset
from preimage.evaluation.copies import Watch, draw
from preimage.exploration.decoding import check_room
from preimage.runs.run import Run

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Samples:
    """Images drawn from a model, and where in its latent space they lie."""

    images: Tensor  # (N, C, H, W) in [−1, 1]
    latents: Tensor  # (N, *space.shape)
    labels: Tensor | None  # (N,) of a conditional model
    refused: Tensor  # (N,) how many draws of each were copies; zeros where none was refused


def sample(
    model: LatentModel,
    n: int,
    *,
    seed: int = 0,
    label: int | str | None = None,
    prior: str | None = None,
    truncation: float = 1.0,
    no_copies_of: Dataset | PathLike | None = None,
    batch_size: int = 256,
) -> Samples:
    """n samples, with their latents; sample 7 of a seed is the same whatever n.

    label: of a conditional model, a class or its number; unset, the classes in turn.
    prior: "normal" or, where one has been fitted, "mixture"; unset, the better one.
    truncation: below 1 draws nearer to the mode: likelier images, less varied.
    no_copies_of: the images the model was trained on, or the folder of its run; a sample that is
        a near copy of one is drawn again. One per cent of new images at most is taken for one.

    Raises InputError where the images have none held out, to tell copies from new ones by,
    where a sample is a near copy however often it is drawn, for a truncation that is no number from
    0, and for more samples than memory holds.
    """
    if not 0 <= truncation < math.inf:
        raise InputError(f"--truncation {truncation:g} is none; give 0 to 1, or a little more")
    check_room(model, n)
    known = no_copies_of
    if known is not None and not isinstance(known, Dataset):
        known = basics.run_dataset(Run.open(Path(known)))
    watch = None if known is None else Watch(known)
    drawn = draw(
        model,
        n,
        watch,
        seed=seed,
        label=label,
        prior=prior,
        truncation=truncation,
        batch_size=batch_size,
    )
    return Samples(drawn.images, drawn.latents, drawn.labels, drawn.refused)
