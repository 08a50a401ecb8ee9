"""What a page asks of a job, checked before it is queued: wrong requests are refused at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from safetensors.torch import save
from torch import Tensor

from preimage.api.basics import recipe as recipe_of
from preimage.core import InputError
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
    "detector": detector,
    "train": train,
}
