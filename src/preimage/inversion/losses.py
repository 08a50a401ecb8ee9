"""From what a person writes, `loss="l2"` or `{"l2": 1, "features": 0.1}`, to an objective."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from preimage.core import InputError, LatentModel
from preimage.core.errors import nearest_name
from preimage.core.latent import Prior
from preimage.inversion.constraints import (
    AbsoluteNorm,
    Box,
    PriorLogDensity,
    SquaredNorm,
    StochasticClip,
    TypicalSet,
)
from preimage.inversion.objective import Objective, Penalty, Projection, Term
from preimage.inversion.terms import (
    L1,
    L2,
    LPIPS,
    SSIM,
    Adversarial,
    FeatureDistance,
    Features,
    Huber,
    Pyramid,
)

T = TypeVar("T")

TERMS: dict[str, Callable[[], Term]] = {
    "l2": L2,
    "l1": L1,
    "huber": Huber,
    "pyramid": Pyramid,
    "ssim": SSIM,
    "lpips": LPIPS,
}
"""Name → a distance of images."""

MODEL_TERMS: dict[str, Callable[[LatentModel], Term]] = {
    "features": FeatureDistance.of,
    "adversarial": Adversarial.of,
}
"""Name → a term by a network of the model's own."""

PENALTIES: dict[str, Callable[[Prior], Penalty]] = {
    "l2": lambda prior: SquaredNorm(),
    "l1": lambda prior: AbsoluteNorm(),
    "density": PriorLogDensity,
}
"""Name → a penalty on latents of a prior."""

PROJECTIONS: dict[str, Callable[[Prior], Projection]] = {
    "typical": TypicalSet,
    "box": lambda prior: Box(),
    "clip": StochasticClip.of,
}
"""Name → a set that latents of a prior are kept in."""

WEIGHTS = {"features": 0.1, "adversarial": 0.001, "lpips": 0.1, "ssim": 0.1}
"""Beside a distance of pixels, whose weight is 1: these have other scales."""

NOISE = 0.05  # σ of what a generator does not explain, in units of images in [−1, 1]

Weights = str | Sequence[str] | Mapping[str, float]


def objective(
    model: LatentModel,
    loss: Weights | Objective = "l2",
    *,
    prior: Weights | None = None,
    project: str | Projection | Sequence[str | Projection] | None = None,
    clip: bool | float | None = None,
    feature_net: Features | None = None,
    noise: float | None = None,
    values: int | None = None,
) -> Objective:
    """The objective that is meant.

    loss: a name or some of TERMS and MODEL_TERMS, or a weight by name; an Objective stays as it is.
    prior: likewise of PENALTIES. A weight that is not given makes "l2" and "density" the negative
        log-posterior of an observation with `noise`, all of it seen and the prior N(0, I).
    project: a name of PROJECTIONS, a function like one (see `Projection`), or some of them.
    clip: the bound of stochastic clipping; True takes it from the prior.
    feature_net: a network for "features" instead of the model's own: images in [−1, 1] → a tensor,
        or several.
    noise: standard deviation of the observations' noise; by default NOISE.
    values: numbers in an observation; by default those in an image.

    Raises InputError for a name that is not known, a weight that is not above 0, or an objective
    that the model cannot have.
    """
    asked = prior is not None or project is not None or clip not in (None, False)
    if isinstance(loss, Objective):
        if asked or feature_net is not None:
            raise InputError("an Objective is complete; put prior, project and clip into it")
        return loss
    weights = _weights("loss", loss, WEIGHTS, {**TERMS, **MODEL_TERMS})
    terms = {name: (w, _term(name, model, feature_net)) for name, w in weights.items()}
    if feature_net is not None and "features" not in terms:
        raise InputError('feature_net= is for the loss "features", as in loss=["l2", "features"]')
    σ, N = NOISE if noise is None else noise, values or model.data.size
    default = σ**2 * model.space.size / N
    penalties = {
        name: (v, _of_prior(name, PENALTIES, model))
        for name, v in _prior_weights(prior, default).items()
    }
    projections = [_projection(one, model) for one in _listed(project)]
    if clip is True:
        projections.append(_of_prior("clip", PROJECTIONS, model))
    elif clip not in (None, False):
        projections.append(StochasticClip(float(clip)))
    return Objective(terms, penalties, tuple(projections))


def _term(name: str, model: LatentModel, feature_net: Features | None) -> Term:
    if name == "features" and feature_net is not None:
        return FeatureDistance(feature_net)
    return MODEL_TERMS[name](model) if name in MODEL_TERMS else TERMS[name]()


def _projection(asked: str | Projection, model: LatentModel) -> Projection:
    if not isinstance(asked, str):
        return asked
    _known("project", asked, PROJECTIONS)
    return _of_prior(asked, PROJECTIONS, model)


FREE = ("l2", "l1", "box")  # what needs no prior


def _of_prior(name: str, things: Mapping[str, Callable[[Any], T]], model: LatentModel) -> T:
    """The penalty or projection for the model's prior, where it stands on one."""
    free = name in FREE
    return things[name](None if free else model.space.chosen())


def _prior_weights(prior: Weights | None, default: float) -> dict[str, float]:
    if prior is None:
        return {}
    # ‖z‖²/2 + N/2σ² · (mean squared error), divided by N/2σ²: v = σ² d/N on ‖z‖²/d
    by_default = {"l2": default, "l1": default, "density": 2 * default}
    if isinstance(prior, str):
        prior = [prior]  # unlike a lone loss, a lone penalty's weight is not 1
    return _weights("prior", prior, by_default, PENALTIES)


def _weights(
    option: str, asked: Any, default: Mapping[str, float], known: Iterable[str]
) -> dict[str, float]:
    """Weight by name, of what a person wrote: a name, some names, or weights by name."""
    if isinstance(asked, str):
        weights = {asked: 1.0}
    elif isinstance(asked, Mapping):
        weights = {str(name): weight for name, weight in asked.items()}
    elif isinstance(asked, list | tuple | set):
        weights = {str(name): default.get(str(name), 1.0) for name in asked}
    else:
        raise InputError(f'{option}={asked!r}; give a name like "l2", or {{"l2": 1.0}}')
    for name, weight in weights.items():
        _known(option, name, known)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise InputError(f"{option}: the weight of '{name}' is {weight!r}; give a number")
    return weights


def _known(option: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise InputError(f"no {option} '{name}'; {nearest_name(name, known)}")


def _listed(asked: Any) -> list[Any]:
    if asked is None:
        return []
    return list(asked) if isinstance(asked, list | tuple) else [asked]
