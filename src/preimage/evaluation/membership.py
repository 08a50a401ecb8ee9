"""Can it be told from a model which images it was trained on?

Two attacks, each a number that is lower for images the model knows: the error of the image's
reconstruction, for whoever has the model; and its distance to the nearest of many samples, for
whoever has only those (Chen et al., "GAN-Leaks: a taxonomy of membership inference attacks against
generative models", 2020, §4 and 5). Plain images are easy for every model, trained on them or not;
what they cost a reference model that never saw them is taken off (calibration: eq. 9 there, and
Watson et al., "On the importance of difficulty calibration in membership inference attacks", 2022).

Mean accuracy hides what matters, being certain of a few: so the share of members that is found at
1 % false alarms stands beside the area under the ROC curve (Carlini et al., "Membership inference
attacks from first principles", 2022, §III).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Step
from preimage.core.errors import nearest_name
from preimage.core.neighbours import nearest_of_batches
from preimage.core.words import counted
from preimage.data import Dataset
from preimage.inversion import Inverter, Settings
from preimage.metrics.measure import Measure
from preimage.metrics.ranks import detection, ranks

ATTACKS = ("reconstruction", "samples")
SAMPLES = 10_000  # that the attack by samples draws
RATE = 0.01  # of false alarms
ENOUGH = 437  # others, of whom 1 % are at least one with probability 98.75 %
LEAST = 20  # images on either side
STRANGE = 3.0  # times as hard as for the model, that new images may be for its reference
BATCH = 250  # images at a time

Progress = Callable[[Step], None]


@dataclass(frozen=True)
class Candidates:
    """Images of which it is to be told whether the model was trained on them."""

    members: Tensor  # (N, C, H, W) that it was trained on
    others: Tensor  # (M, C, H, W) that it was not
    member_labels: Tensor | None = None  # of a conditional model
    other_labels: Tensor | None = None


@dataclass(frozen=True)
class Membership:
    """Estimands: of further members and others, for these models as they are."""

    attack: str
    auc: Measure  # P(a member looks more like one than another image): ½ is guessing
    detected: Measure  # share of members found where 1 % of others are taken for members
    calibrated: bool  # against a reference model
    members: Tensor  # (N,) the attack's number for each: higher is likelier a member
    others: Tensor  # (M,)
    notes: tuple[str, ...] = ()


def candidates(
    data: Dataset,
    *,
    reference: Dataset | None = None,  # that a reference model was trained on
    n: int = 1000,  # of each kind, at most
    seed: int = 0,
) -> Candidates:
    """Images a model was trained on and images held out from it; none that its reference knows.

    Raises InputError where too few are left: nothing is held out, or the reference was trained on
    the same images.
    """
    numbers = np.random.default_rng(seed)
    known = np.empty(0, np.uint64) if reference is None else reference.hashes[reference.train]
    sides = []
    for rows, what in ((data.train, "training"), (data.heldout, "held-out")):
        if len(rows) < LEAST:
            images = counted(len(rows), f"{what} image")
            raise InputError(
                f"{data.name} has {images}; telling members from others needs {LEAST} of each kind"
            )
        fresh = rows[~np.isin(data.hashes[rows], known)]
        if len(fresh) < LEAST:
            raise InputError(
                f"the reference was trained on the same {what} images of {data.name}; "
                "give a run that was trained on others of the same kind"
            )
        sides.append(np.sort(numbers.permutation(fresh)[:n]))
    members, others = sides
    return Candidates(
        data.batch(members),
        data.batch(others),
        data.batch_labels(members),
        data.batch_labels(others),
    )


def membership(
    model: LatentModel,
    images: Candidates,
    *,
    reference: LatentModel | None = None,
    attack: str = "reconstruction",
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Membership:
    """Attack a model; with a reference of the same kind, calibrated by it.

    Raises InputError for an unknown attack, fewer than 20 images on either side, and a reference
    of another image size or trained on other images than these.
    """
    if attack not in ATTACKS:
        raise InputError(f"no attack '{attack}'; {nearest_name(attack, ATTACKS)}")
    if min(len(images.members), len(images.others)) < LEAST:
        raise InputError(
            f"{len(images.members)} members and {len(images.others)} others; give {LEAST} of each"
        )
    if reference is not None and reference.data.shape != model.data.shape:
        raise InputError(
            f"the reference draws {reference.data} and the model {model.data}; "
            "give one trained at the same size"
        )
    whole = torch.cat([images.members, images.others])
    labels = None
    if model.conditional and images.member_labels is not None and images.other_labels is not None:
        labels = torch.cat([images.member_labels, images.other_labels])
    models = [model] if reference is None else [model, reference]
    errors = []
    for i, each in enumerate(models):
        if progress is not None:
            progress(Step(i, len(models), stage="attack the " + ("reference" if i else "model")))
        if attack == "samples":
            errors.append(sample_distances(each, whole, samples=samples, seed=seed))
        else:
            known = labels if each.conditional else None
            errors.append(reconstruction_errors(each, whole, known, seed=seed))
    N = len(images.members)
    notes = []
    if reference is None:
        score = -errors[0]
        notes.append("without a reference, images that are easy for any model look like members")
    else:
        _check_alike(errors[0][N:], errors[1][N:])
        score = -(errors[0] - errors[1])
    if len(whole) - N < ENOUGH:
        notes.append(
            f"{len(whole) - N} images that were not trained on are too few to tell 1 % false "
            f"alarms from none; give {ENOUGH} for a share found that has a lower bound"
        )
    members, others = score[:N], score[N:]
    return Membership(
        attack,
        ranks(members, others).probability,
        detection(members, others, rate=RATE),
        reference is not None,
        members,
        others,
        tuple(notes),
    )


@torch.no_grad()
def reconstruction_errors(
    model: LatentModel, images: Tensor, labels: Tensor | None = None, *, seed: int = 0
) -> Tensor:
    """Mean squared error (N,) of each image's reconstruction: encoded, or else searched for."""
    inverter = None if model.can("encode") else Inverter(model)
    parts = []
    for rows in torch.arange(len(images)).split(BATCH):
        x = images[rows].to(model.device)
        y = None if labels is None else labels[rows].to(model.device)
        if inverter is None:
            x̂ = model.decode(model.encode(x, y).mean, y)
            parts.append((x̂ - x).double().square().flatten(1).mean(1).cpu())
        else:
            with torch.enable_grad():
                parts.append(inverter.invert(x, y, Settings(seed=seed)).error.double())
    return torch.cat(parts)


def sample_distances(
    model: LatentModel, images: Tensor, *, samples: int = SAMPLES, seed: int = 0
) -> Tensor:
    """Mean squared difference (N,) of each image to the nearest of the model's samples."""
    drawn = (x.flatten(1) for x in model.sample_batches(samples, seed=seed))
    distances = nearest_of_batches(images.flatten(1).float(), drawn)[0][:, 0]
    return distances.double().square() / images[0].numel()


def _check_alike(errors: Tensor, reference: Tensor) -> None:
    """Whether new images are about as hard for the reference as for the model."""
    ratio = (reference.median() / errors.median().clamp_min(1e-12)).item()
    if ratio > STRANGE:
        raise InputError(
            f"new images are {ratio:.1f} times as hard for the reference as for the model: it was "
            "trained on other images, or much less; give one that was trained alike"
        )
