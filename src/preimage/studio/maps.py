"""The map over HTTP: what it is, its points, what is known of them, and their thumbnails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import APIRouter, Response

from preimage.studio.gone import Gone
from preimage.studio.workspace import Workspace

if TYPE_CHECKING:
    from preimage.studio.app import Studio

BYTES = "application/octet-stream"


def about(workspace: Workspace) -> dict[str, Any]:
    """What a page draws from."""
    points, chart, atlas = workspace.points, workspace.chart, workspace.atlas
    ready = points is not None and chart is not None and atlas is not None
    state: dict[str, Any] = {
        "workspace": workspace.id,
        "status": "ready" if ready else "computing",
        "stage": workspace.progress["stage"],
        "progress": workspace.progress["share"],
        "n": 0,
    }
    if points is None or chart is None or atlas is None:
        return state
    return state | {
        "n": len(points),
        "of": "images" if points.data is not None else "samples",
        "method": chart.method,
        "methods": list(workspace.charts),
        "trustworthiness": chart.trustworthiness,
        "bounds": chart.bounds,
        "columns": [_column(workspace, name) for name in workspace.columns],
        "atlas": atlas.to_json(),
    }


def _column(workspace: Workspace, name: str) -> dict[str, Any]:
    points = workspace.points
    if points is not None and name in points.categories:
        return {"name": name, "kind": "category", "categories": list(points.categories[name])}
    values = workspace.columns[name]
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, (0.01, 0.99)) if len(finite) else (0.0, 1.0)
    return {"name": name, "kind": "number", "low": float(low), "high": float(high)}


def found(workspace: Workspace, text: str) -> np.ndarray:
    """Indices of the points of which a text is a part of the name, of the class, or of a category,
    or which have the attribute of that name.
    """
    points, wanted = workspace.points, text.strip().casefold()
    if points is None or not wanted:
        return np.empty(0, np.int64)
    hit = np.zeros(len(points), bool)
    if points.data is not None:
        names = points.data.names
        hit |= np.array([wanted in str(names[row]).casefold() for row in points.rows], bool)
    for name, values in points.attributes.items():
        if name in points.categories:
            codes = [k for k, c in enumerate(points.categories[name]) if wanted in c.casefold()]
            hit |= np.isin(values, codes)
        elif wanted in name.casefold() and set(np.unique(values[np.isfinite(values)])) <= {0, 1}:
            hit |= values == 1
    return np.flatnonzero(hit)


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api/map")

    @made.get("")
    def state() -> dict[str, Any]:
        return about(studio.workspace)

    @made.get("/points")
    def points(method: str | None = None) -> Response:
        workspace = studio.workspace
        chart = workspace.charts.get(method) if method else workspace.chart
        if chart is None:
            raise Gone("there is no such map (yet)")
        return Response(chart.positions.astype("<f4").tobytes(), media_type=BYTES)

    @made.get("/find")
    def find(q: str) -> dict[str, Any]:
        """The points whose name, class or attributes hold a text."""
        indices = found(studio.workspace, q)
        return {"indices": indices.tolist(), "total": len(indices)}

    @made.get("/column/{number}")
    def column(number: int) -> Response:
        columns = list(studio.workspace.columns.values())
        if not 0 <= number < len(columns):
            raise Gone("there is no such column")
        return Response(columns[number].astype("<f4").tobytes(), media_type=BYTES)

    @made.get("/atlas/{number}")
    def atlas(number: int) -> Response:
        sheets = studio.workspace.atlas
        if sheets is None or not 0 <= number < sheets.sheets:
            raise Gone("there is no such sheet")
        return Response(sheets.sheet(number), media_type="image/webp")

    return made
