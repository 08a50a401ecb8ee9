"""A recipe's plan made private: what would look at the images without noise goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from preimage.core import InputError
from preimage.data import Dataset
from preimage.models import AutoencoderConfig
from preimage.nets import MLP, Conv, Net, Residual, Transformer
from preimage.training.accounting import LEAST_NOISE, opacus
from preimage.training.likelihood import Likelihood
from preimage.training.private import PrivateLikelihood
from preimage.training.recipes import Facts, Plan, customised
from preimage.training.stage import Stage

RECIPES = ("ae", "ae-sparse", "cvae", "vae-2d", "vae-conv", "vae-mlp")
"""Those that can be private: autoencoders trained by likelihood alone, on pixels."""

BATCH = 512  # images expected in a step, where there are enough
LEAST_STEPS = 1000

OPTIONS = ("delta", "max_grad_norm", "noise_multiplier")
"""What a private run can be told besides ε."""


def private(plan: Plan, n: int, *, epsilon: float, recipe: str, **options: Any) -> Plan:
    """The recipe's plan with private training in the place of its own, and options replaced.

    n: training images. Batches are larger than the recipe's, since the same noise drowns less of
    a larger sum, and steps as many fewer.

    Raises InputError for a recipe that cannot be private, and for options that are not.
    """
    model, stage = plan.model, plan.stages[0]
    if recipe not in RECIPES or not isinstance(model, AutoencoderConfig):
        axes = isinstance(model, AutoencoderConfig) and model.axes
        why = "stands on principal axes of them" if axes else "has a critic that learns from them"
        raise InputError(
            f"recipe '{recipe}' cannot hide its images (--private): it {why} without noise; "
            f"choose from: {', '.join(RECIPES)}"
        )
    assert isinstance(stage, Likelihood)
    kept = {field.name: getattr(stage, field.name) for field in fields(stage)}
    batch_size = max(stage.batch_size, min(BATCH, n // 8))
    steps = max(min(stage.steps, LEAST_STEPS), stage.steps * stage.batch_size // batch_size)
    kept |= {"batch_size": batch_size, "steps": steps, "clip": 0.0}
    made = PrivateLikelihood(**kept, epsilon=epsilon)
    model = replace(model, net=_without_norm(model.net), linear=False, components=0, critic=None)
    planned = customised(Plan(model, (made,)), **options)
    _check(planned)
    _check_noise(planned.stages[0])
    return planned


def chosen(facts: Facts) -> tuple[str, str]:
    """The recipe for someone who names none and wants privacy, and the reason, in a sentence."""
    small = facts.data.size <= 1024
    why = "noise costs least in a small net" if small else "the images want a convolutional net"
    return "vae-mlp" if small else "vae-conv", why


def _without_norm(net: Net) -> Net:
    return replace(net, norm=False) if isinstance(net, Conv) else net


def _check(plan: Plan) -> None:
    """Raises InputError for what a person has asked for that looks at images without noise."""
    model = plan.model
    assert isinstance(model, AutoencoderConfig)
    net = model.net
    if not isinstance(net, MLP | Conv | Residual | Transformer):
        raise InputError(
            f"the net {type(net).__name__} cannot be private (--private); "
            "choose MLP, Conv, Residual or Transformer"
        )
    refused = {
        "linear": (model.linear, "starts from principal components of the images"),
        "components": (model.components, "are fitted to latents of the images"),
        "axes": (model.axes, "are principal axes of the images"),
        "critic": (model.critic, "learns from the images without noise"),
        "norm": (getattr(net, "norm", False), "mixes the images of a batch"),
        "deviation": (getattr(net, "deviation", False), "mixes the images of a batch"),
        "noise": (getattr(net, "noise", False), "is drawn anew where gradients are measured"),
    }
    for name, (asked, why) in refused.items():
        if asked:
            raise InputError(f"{name} {why}, so it cannot be private (--private); leave it out")


def _check_noise(stage: Stage) -> None:
    """Raises InputError for less noise than can be accounted for."""
    assert isinstance(stage, PrivateLikelihood)
    if 0 < stage.noise_multiplier < LEAST_NOISE:
        raise InputError(
            f"noise_multiplier={stage.noise_multiplier:g} hides next to nothing; give "
            f"{LEAST_NOISE:g} or more, or leave it out, and it is worked out"
        )


def check_private(epsilon: float | None, best: str | None, options: Mapping[str, Any]) -> None:
    """Before images are read: raises InputError for what does not go with privacy, or its absence.

    Also where the extra is not installed.
    """
    if epsilon is None:
        for name in OPTIONS:
            if name in options:
                raise InputError(f"{name} is of private training; give --private EPSILON with it")
        return
    opacus()
    if best is not None:
        raise InputError(
            f"'{best}' (--best) has held-out images choose the weights, which --private does not "
            "cover; leave one of them out"
        )


def check_range(images: Dataset, options: Mapping[str, Any]) -> None:
    """Raises InputError where the range of values was found by looking at the images."""
    if images.value_range is not None and options.get("range") is None:
        raise InputError(
            f"the range of values of {images.source} would be taken from the images without noise "
            "(--private); give --range LOW,HIGH"
        )
