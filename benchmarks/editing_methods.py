"""Ways to change one factor of a latent, each learned from the same labelled latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from editing_measures import Edits
from preimage.core import LatentModel
from preimage.data.faces import Factor
from preimage.exploration.attributes import Attribute, columns
from preimage.exploration.calibration import calibrated_jointly
from preimage.exploration.conditioning import conditioned
from preimage.exploration.counterfactual import Counterfactual, fit_counterfactual
from preimage.exploration.direction import Direction, owner
from preimage.exploration.joint import fit_jointly
from preimage.exploration.labelled import fit

CALIBRATED_ON = 200  # training latents
GOES_ALONG = 0.1  # correlation in the data, above which an attribute is kept

Editor = Callable[[Tensor, Edits], Tensor]  # latents (E, d) and what is wanted → latents


@dataclass(frozen=True)
class Labelled:
    """Latents (N, d) and what is known of them."""

    model: LatentModel
    latents: Tensor
    columns: dict[str, Attribute]


def labelled(
    model: LatentModel,
    latents: Tensor,
    truth: Mapping[str, np.ndarray],
    factors: tuple[Factor, ...],
) -> Labelled:
    categories = {f.name: f.values for f in factors if f.values}
    return Labelled(model, latents, columns(truth, categories))


def by_directions(directions: Mapping[str, Direction], known: Labelled) -> Editor:
    """Along vectors. A change of class is the new class's direction less the old one's.

    One unit along a class's direction is one standard deviation √(p(1 − p)) of its column, so that
    √((1 − p)/p) units lead from the mean of all images to those of the class.
    """

    def step(name: str) -> Tensor:
        p = known.columns[name].values.mean()
        return ((1 - p) / p).sqrt() * directions[name].vector.double()

    def move(z: Tensor, edits: Edits) -> Tensor:
        factor = edits.factor
        if not factor.values:
            return directions[factor.name].move(z, edits.strength)
        if len(factor.values) == 2:
            return directions[factor.name].move(z, edits.strength * (2 * edits.to - 1))
        steps = torch.stack([step(f"{factor.name}:{value}") for value in factor.values])
        return z + (steps[edits.to] - steps[edits.now]).to(z)

    return move


def by_counterfactual(found: Counterfactual) -> Editor:
    def move(z: Tensor, edits: Edits) -> Tensor:
        factor = edits.factor
        if not factor.values:
            return found.move(z, {factor.name: edits.strength})
        if len(factor.values) == 2:
            sign = 2 * edits.to - 1
            return found.move(z, {factor.name: sign * found.altogether(factor.name)})
        moved = z.clone()
        for k, value in enumerate(factor.values):
            name, rows = f"{factor.name}:{value}", edits.to == k
            if rows.any():
                moved[rows] = found.move(z[rows], {name: found.altogether(name)})
        return moved

    return move


def mean_difference(known: Labelled) -> dict[str, Direction]:
    weights = owner(known.model)
    return {
        name: fit(known.latents, column, model=weights, method="mean-difference")
        for name, column in known.columns.items()
    }


def with_company_kept(directions: dict[str, Direction], known: Labelled) -> dict[str, Direction]:
    """Each conditioned on the normals of what goes along with it in the data.

    Not on all others': their 36 normals leave nothing of a direction in 40 latents.
    """
    kept = {}
    for name, direction in directions.items():
        a = known.columns[name]
        company = [
            directions[other]
            for other, b in known.columns.items()
            if a.group != b.group
            and abs(torch.corrcoef(torch.stack([a.values, b.values]))[0, 1]) > GOES_ALONG
        ]
        kept[name] = conditioned(direction, company)
    return kept


def joint(known: Labelled) -> dict[str, Direction]:
    return fit_jointly(known.latents, known.columns, model=owner(known.model))


def calibrated(known: Labelled, directions: dict[str, Direction]) -> dict[str, Direction]:
    some = known.latents[:CALIBRATED_ON]
    found = calibrated_jointly(known.model, list(directions.values()), some)
    return dict(zip(directions, found, strict=True))


def editors(known: Labelled) -> dict[str, Editor]:
    """Every method by name: the plain one first, the one to beat it last."""
    plain = mean_difference(known)
    multiple = joint(known)
    return {
        "mean difference": by_directions(plain, known),
        "mean difference, conditioned": by_directions(with_company_kept(plain, known), known),
        "joint": by_directions(multiple, known),
        "joint, calibrated": by_directions(calibrated(known, multiple), known),
        "counterfactual": by_counterfactual(
            fit_counterfactual(known.latents, known.columns, model=owner(known.model))
        ),
    }
