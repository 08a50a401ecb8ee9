"""What a page asks of a job, checked before it is queued: wrong requests are refused at once."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from preimage.api.basics import recipe as recipe_of
from preimage.core import InputError
from preimage.studio import damage
from preimage.studio.subject import subject
from preimage.studio.training import source_of

if TYPE_CHECKING:
    from preimage.studio.app import Studio


@dataclass(frozen=True)
class Asked:
    """A job to be: its folder will hold all that it needs."""

    title: str
    request: dict[str, Any]
    inputs: dict[str, bytes] = field(default_factory=dict)


def invert(studio: Studio, body: dict[str, Any]) -> Asked:
    workspace = studio.workspace
    seen = subject(workspace, body)
    label = _label(studio, body.get("label"))
    request = {"image": seen.image, "label": label, **_of_run(studio)}
    return Asked(f"Find the latent of {seen.title}", request, tensors(images=seen.x))


def inpaint(studio: Studio, body: dict[str, Any]) -> Asked:
    """mask: base64 of a byte for each pixel of the model's size, row by row; 1 is to be filled."""
    seen = subject(studio.workspace, body)
    mask = _mask(body.get("mask"), tuple(seen.x.shape[2:]))
    seed = int(number(body, "seed", 0, 2**31, 0))
    request = {"label": seen.label, "image": seen.image, "seed": seed, **_of_run(studio)}
    return Asked(f"Mend {seen.title}", request, tensors(images=seen.x, mask=mask))


def _mask(text: object, size: tuple[int, ...]) -> Tensor:
    try:
        levels = np.frombuffer(base64.b64decode(str(text), validate=True), np.uint8)
    except ValueError:
        levels = np.empty(0, np.uint8)
    if len(levels) != size[0] * size[1]:
        raise InputError(f"the mask must have a byte for each of {size[1]}×{size[0]} pixels")
    mask = torch.from_numpy(levels > 0).reshape(size)
    if not mask.any():
        raise InputError("nothing is marked; paint over what is to be filled")
    if mask.all():
        raise InputError("everything is marked; leave something that is known")
    return mask


def restore(studio: Studio, body: dict[str, Any]) -> Asked:
    data = studio.workspace.model.data
    what = damage.asked(body, data)
    seen = subject(studio.workspace, body)
    through = damage.operator(what["damage"], what["amount"], data, seed=what["seed"])
    y = damage.damaged(seen.x, through, seed=what["seed"])
    request = {**what, "label": seen.label, **_of_run(studio)}
    return Asked(f"Undo: {what['damage']}", request, tensors(images=seen.x, given=y))


def train(studio: Studio, body: dict[str, Any]) -> Asked:
    source, name = source_of(studio, body.get("source"))
    recipe = body.get("recipe") or None
    if recipe is not None:
        recipe_of(str(recipe))
    by_steps = body.get("steps") is not None
    size = body.get("size")
    request = {
        "source": source,
        "name": str(body.get("name") or name)[:60],
        "recipe": recipe,
        "minutes": None if by_steps else number(body, "minutes", 0.05, 7 * 24 * 60, 5.0),
        "steps": int(number(body, "steps", 1, 1e8, 0)) if by_steps else None,
        "size": None if size is None else int(number(body, "size", 8, 256, 64)),
        "conditional": body.get("conditional") is True,
        "seed": int(number(body, "seed", 0, 2**31, 0)),
    }
    return Asked(f"Train on {request['name']}", request)


def detector(studio: Studio, body: dict[str, Any]) -> Asked:
    name = studio.workspace.run.config.get("data", {}).get("name", "the run's images")
    return Asked(f"Learn what is normal of {name}", _of_run(studio))


def _label(studio: Studio, label: object) -> str | None:
    """A class by its name. Raises InputError where the model does not know it."""
    if label is None:
        return None
    studio.workspace.model.labels_for(1, str(label))
    return str(label)


def _of_run(studio: Studio) -> dict[str, Any]:
    """The run that the job belongs to."""
    return {"run": str(studio.workspace.path.resolve())}


def tensors(**held: Tensor) -> dict[str, bytes]:
    """The file of inputs that `Working.tensors` reads."""
    content = {name: x.detach().cpu().float().contiguous().clone() for name, x in held.items()}
    return {"inputs.safetensors": save(content)}


def number(body: dict[str, Any], name: str, low: float, high: float, default: float) -> float:
    """A number of the request. Raises InputError where it is none, or out of its range."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{name} must be a number from {low:g} to {high:g}")
    return float(value)


ASKED: dict[str, Callable[[Studio, dict[str, Any]], Asked]] = {
    "invert": invert,
    "inpaint": inpaint,
    "restore": restore,
    "detector": detector,
    "train": train,
}
