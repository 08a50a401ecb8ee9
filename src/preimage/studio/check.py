"""Is anything odd about the picture shown, how surely, and where: a run's detector, asked at once.

A run without a detector gets one by a job, fitted to the images that it was trained on.
"""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body

from preimage.api.anomalies import load_detector, saved_detectors
from preimage.applications.anomaly.inspection import Inspector
from preimage.core import InputError
from preimage.pictures import png
from preimage.pictures.heat import heat
from preimage.pictures.sheet import pixels
from preimage.runs.detectors import DEFAULT, FOLDER
from preimage.studio.jobs.working import picture
from preimage.studio.subject import subject
from preimage.studio.workspace import Workspace

if TYPE_CHECKING:
    from preimage.studio.app import Studio

SIDE = 256  # pixels of the picture with its odd places


class Inspectors:
    """The detectors of runs, read again where they have changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[float, Inspector]] = {}
        self._lock = threading.Lock()

    def __call__(self, run: Path) -> Inspector | None:
        """The detector of a run; None where it has none."""
        if DEFAULT not in saved_detectors(run):
            return None
        changed = max(file.stat().st_mtime for file in (run / FOLDER).rglob("*"))
        with self._lock:
            if run not in self._known or self._known[run][0] != changed:
                self._known[run] = changed, load_detector(run)
            return self._known[run][1]


def checked(workspace: Workspace, inspector: Inspector, body: dict[str, Any]) -> dict[str, Any]:
    """What the detector says of a picture."""
    seen = subject(workspace, body)
    found = inspector.inspect(seen.x[0])
    # As odd as the oddest of good pixels, or as the oddest place here, is the brightest.
    levels = found.map.clip(0) / max(float(found.map.max()), inspector.pixel_threshold, 1e-12)
    boxes = [(r.left, r.top, r.left + r.width, r.top + r.height) for r in found.regions]
    plain = pixels(seen.x)[0]
    drawn = heat(plain, levels, boxes=boxes, scale=max(1, SIDE // max(plain.shape[:2])))
    return {
        "title": seen.title,
        "score": found.score,
        "p": found.p_value,
        "anomalous": found.anomalous,
        "threshold": inspector.threshold,
        "regions": len(found.regions),
        "share": found.area / (found.size[0] * found.size[1]),
        "picture": base64.b64encode(picture(seen.x)).decode(),
        "heat": base64.b64encode(png(drawn)).decode(),
    }


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api/check")
    studio.panels["check"] = True
    inspectors = Inspectors()

    @made.get("")
    def about() -> dict[str, Any]:
        """Whether there is a detector, or images that one could be fitted to."""
        workspace = studio.workspace
        return {
            "ready": DEFAULT in saved_detectors(workspace.path),
            "images": 0 if workspace.data is None else len(workspace.data.train),
        }

    @made.post("")
    def check(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        inspector = inspectors(studio.workspace.path)
        if inspector is None:
            raise InputError("this run has no detector yet; fit one first")
        return checked(studio.workspace, inspector, body)

    return made
