"""Single images of the map's points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from fastapi import APIRouter, Response

from preimage.pictures import png, sheet
from preimage.studio.gone import Gone
from preimage.studio.workspace import Workspace

if TYPE_CHECKING:
    from preimage.studio.app import Studio


def about(workspace: Workspace, index: int) -> dict[str, Any]:
    """What is known of one point."""
    points = _points(workspace, index)
    row = int(points.rows[index])
    name = f"sample {row}" if points.data is None else str(points.data.names[row])
    known: dict[str, Any] = {}
    for column, values in points.attributes.items():
        value = float(values[index])
        if not math.isfinite(value):
            known[column] = None
        elif column in points.categories:
            known[column] = points.categories[column][int(value)]
        else:
            known[column] = value
    label = known.pop("class", None)
    return {"index": index, "name": name, "label": label, "attributes": known}


def _points(workspace: Workspace, index: int):
    points = workspace.points
    if points is None or not 0 <= index < len(points):
        raise Gone("there is no such image")
    return points


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api/items")

    @made.get("/{index}")
    def item(index: int) -> dict[str, Any]:
        return about(studio.workspace, index)

    @made.get("/{index}/image")
    def image(index: int) -> Response:
        workspace = studio.workspace
        _points(workspace, index)
        assert workspace.atlas is not None
        drawn = sheet(workspace.atlas.images(torch.tensor([index])), scale=1)
        return Response(png(drawn), media_type="image/png")

    return made
