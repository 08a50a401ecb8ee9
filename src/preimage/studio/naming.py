"""A direction from examples that a person picked on the map, saved with the run under its name.

What `preimage direction --positive … --negative …` does, of latents that are there already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
from fastapi import APIRouter, Body
from torch import Tensor

from preimage.core import InputError, Unsupported
from preimage.core.words import counted
from preimage.exploration.attributes import LEAST, attribute
from preimage.exploration.calibration import calibrated
from preimage.exploration.direction import Direction, owner
from preimage.exploration.labelled import fit
from preimage.runs.directions import check_name, direction_names, remove_direction, save_direction
from preimage.studio.args import Args, Item, parse
from preimage.studio.render import find
from preimage.studio.workspace import Workspace

if TYPE_CHECKING:
    from preimage.studio.app import Studio

MOST = 5000  # examples of each side
CALIBRATED = 64  # examples at which its length is made true in images


def learned(workspace: Workspace, name: str, positive: list, negative: list) -> Direction:
    """The direction from negative to positive bases. Raises InputError for too few of either."""
    check_name(name)
    sides = {"positive": positive, "negative": negative}
    for side, bases in sides.items():
        if not isinstance(bases, list) or len(bases) > MOST:
            raise InputError(f"{side} must be a list of at most {MOST} pictures")
        if len(bases) < LEAST:
            have = counted(len(bases), "example")
            raise InputError(f"{have} on the {side} side; at least {LEAST} are needed on each")
    z = torch.cat([_latents(workspace, negative), _latents(workspace, positive)])
    values = torch.cat([torch.zeros(len(negative)), torch.ones(len(positive))])
    column = attribute(name, values, meaning=("negative", "positive"))
    made = fit(z, column, model=owner(workspace.model))
    model, some = workspace.model, z[:: max(1, len(z) // CALIBRATED)]
    try:
        y = None if not model.conditional else model.labels_for(len(some), 0)
        return calibrated(model, made, some, labels=y)
    except Unsupported:  # nothing reads images here
        return made
    except InputError as error:  # images hardly answer: the latents' own scale stays
        report = {**made.report, "notes": [str(error)]}
        return Direction(**{**vars(made), "report": report})


def _latents(workspace: Workspace, bases: list) -> Tensor:
    """Of pictures {"kind": …}, (N, *space.shape); of images on the map all at once."""
    args = [parse({"base": base}) for base in bases]
    if all(isinstance(one.base, Item) for one in args) and workspace.latents is not None:
        rows = [one.base.index for one in args if isinstance(one.base, Item)]
        if max(rows) >= len(workspace.latents):
            raise InputError(f"there are {len(workspace.latents)} images, counted from 0")
        return workspace.latents[rows]
    return torch.cat([find(workspace, Args(one.base)).z for one in args])


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api/directions")
    studio.panels["name"] = True

    @made.post("")
    def name(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """{"name", "positive": [base], "negative": [base]} → what is known of the direction."""
        workspace, called = studio.workspace, str(body.get("name", "")).strip()
        if not called:
            raise InputError("give the direction a name")
        if called in direction_names(workspace.path) and not body.get("replace"):
            raise InputError(f"there is a direction '{called}' already; choose another name")
        found = learned(workspace, called, body.get("positive", []), body.get("negative", []))
        save_direction(workspace.path, found)
        workspace.forget_directions()
        return {"name": called, **found.report}

    @made.delete("/{called}")
    def remove(called: str) -> dict[str, Any]:
        remove_direction(studio.workspace.path, called)
        studio.workspace.forget_directions()
        return {}

    return made
