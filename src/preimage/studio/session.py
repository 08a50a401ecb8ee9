"""What a page must know of the run that is open before it can show anything."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body
from torch import Tensor

import preimage
from preimage.core import InputError
from preimage.exploration.direction import Direction
from preimage.runs.run import Run
from preimage.studio import images
from preimage.studio.workspace import Workspace

if TYPE_CHECKING:
    from preimage.studio.app import Studio

REACH = 3.0  # standard deviations that a slider goes both ways
FARTHEST = 6.0  # that a slider goes whose direction reads little
READ = 512  # latents that are read to know it
SHOWN = 512  # numbers of the latent with a slider, those that vary most
DEAD = 0.05  # standard deviations of the prior: a number that varies less does nothing


def run_id(path: Path) -> str:
    """The same in every studio: a page whose studio was started again goes on as it was."""
    return hashlib.blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()


def about(studio: Studio) -> dict[str, Any]:
    """The session of the run that is open."""
    workspace = studio.workspace
    model, data = workspace.model, workspace.data
    spec, shape = model.data, tuple(model.space.shape)
    known = {"name": workspace.run.config.get("data", {}).get("name", ""), "n": 0}
    known |= {"attributes": [], "categories": {}, "missing": workspace.complaint}
    if data is not None:
        categories = {name: list(values) for name, values in data.categories.items()}
        known |= {"name": data.name, "n": len(data), "categories": categories}
        known["attributes"] = list(data.attributes)
    return {
        "id": workspace.id,
        "name": workspace.name,
        "recipe": workspace.run.config.get("recipe", ""),
        "runs": len(studio.runs),
        "image": {"channels": spec.channels, "height": spec.height, "width": spec.width},
        "latents": model.space.size if len(shape) == 1 else None,
        "shape": list(shape),
        "classes": list(model.classes),
        "conditional": model.conditional,
        "encoder": model.can("encode"),
        "critic": model.can("critic"),
        "data": known,
        "directions": _directions(workspace),
        "dims": dims(workspace),
        "maps": list(workspace.charts),
        "exports": ["png", "gif", "webp", *_video(), "latents", "command"],
        "panels": dict(studio.panels),
        "limits": {
            "upload_bytes": images.BYTES,
            "upload_pixels": images.PIXELS,
            "images": images.COUNT,
        },
        "folders": len(studio.folders),
        "version": preimage.__version__,
    }


def _directions(workspace: Workspace) -> list[dict[str, Any]]:
    """Those that read images best come first."""
    z = workspace.latents
    some = None if z is None else z[:: max(1, len(z) // READ)]
    made = [_direction(one, some) for one in workspace.directions().values()]
    return sorted(made, key=_skill, reverse=True)


def _direction(one: Direction, z: Tensor | None) -> dict[str, Any]:
    kind = "named"
    if one.normal is None and one.method in ("pca", "features", "sefa", "jacobian"):
        kind = "unlabelled"
    elif one.method == "counterfactual":
        kind = "counterfactual"
    described: dict[str, Any] = {"name": one.name, "kind": kind, "method": one.method}
    reach = _reach(one, z)
    described |= {"unit": "standard deviations", "low": -reach, "high": reach}
    for measure in ("accuracy", "r_squared"):
        measured = one.report.get(measure)
        if isinstance(measured, dict) and math.isfinite(measured.get("value", math.nan)):
            described[measure] = measured["value"]
    return described


def _reach(one: Direction, z: Tensor | None) -> float:
    """How far its slider goes: three standard deviations of what it reads of the images.

    Those are longer than the attribute's own where the latents tell little of it, and then the
    picture answers as little.
    """
    if one.normal is None or z is None or len(z) < 2 or z.shape[1:] != one.normal.shape:
        return REACH
    return round(min(max(REACH, REACH * float(one.read(z).std())), FARTHEST), 1)


def _skill(described: dict[str, Any]) -> float:
    """How well a direction reads images: 1 where it is never wrong, 0 where it guesses."""
    if "accuracy" in described:
        return 2 * described["accuracy"] - 1
    return described.get("r_squared", 0.0)


def dims(workspace: Workspace) -> list[dict[str, Any]]:
    """Single numbers of the latent: how far each goes, and whether it does anything."""
    size, z = workspace.model.space.size, workspace.latents
    if z is None or len(z) < 2:
        sd, index = [1.0] * min(size, SHOWN), list(range(min(size, SHOWN)))
    else:
        spread = z.flatten(1).std(0)
        index = sorted(spread.topk(min(size, SHOWN)).indices.tolist())
        sd = [float(spread[i]) for i in index]
    return [
        {"index": i, "low": -REACH * max(s, DEAD), "high": REACH * max(s, DEAD), "sd": s}
        | {"active": s > DEAD}
        for i, s in zip(index, sd, strict=True)
    ]


def _run(studio: Studio, name: str, path: Path) -> dict[str, Any]:
    try:
        recipe = Run.open(path).config.get("recipe", "")
    except InputError:  # it was moved away meanwhile
        recipe = ""
    shown = path.resolve().name
    return {"id": name, "name": shown, "recipe": recipe, "opened": name == studio.workspace.id}


def _video() -> list[str]:
    return ["mp4"] if importlib.util.find_spec("av") is not None else []


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api")

    @made.get("/session")
    def session() -> dict[str, Any]:
        return about(studio)

    @made.get("/runs")
    def runs() -> list[dict[str, Any]]:
        return [_run(studio, name, path) for name, path in studio.runs.items()]

    @made.post("/open")
    def open(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        studio.open(str(body.get("id")))
        return about(studio)

    return made
