"""Maps of a workspace's points: one at once, and a better one when it is ready."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from preimage.core import InputError
from preimage.runs.files import read_json, write_out
from preimage.studio.chart import LATENT, Chart
from preimage.studio.points import Points, about_path, positions_path

PLANE = "pca"  # the map that is there first
FEWEST = 50  # points below which one map is as good as another
LOOK = 0.3  # seconds between looks at the process


def first_charts(points: Points) -> list[Chart]:
    """What is to be had at once: the latents themselves where they are two numbers, and else their
    widest plane, and the better map if it was made before.
    """
    flat = points.latents.flatten(1)
    if flat.shape[1] == 2:
        return [Chart(LATENT, flat.numpy().astype(np.float32))]
    if len(flat) < 3:
        return [Chart(PLANE, np.zeros((len(flat), 2), np.float32))]
    better = kept_chart(points)
    return [_plane(points), *([better] if better else [])]


def _plane(points: Points) -> Chart:
    """The widest plane, kept for the next time: what finds it takes a second to import."""
    kept = _positions(points.folder, PLANE, len(points))
    if kept is None:
        from preimage.exploration.maps import principal_plane

        kept = principal_plane(points.placed_by)[0].numpy()
        write_out(positions_path(points.folder, PLANE), kept.astype("<f4").tobytes())
    return Chart(PLANE, kept)


def kept_chart(points: Points) -> Chart | None:
    """The map that keeps neighbours together, if it was made before."""
    method = _method(points)
    made = _positions(points.folder, method, len(points))
    try:
        about = read_json(about_path(points.folder, method))
        trusted = float(about["trustworthiness"]["value"])
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
    return Chart(method, made, trusted) if made is not None else None


def better_chart(points: Points, *, stopping: threading.Event) -> Chart | None:
    """A map that keeps neighbours together; None where there is none to be had.

    Made in a process of its own, and kept for the next time.
    """
    if len(points) < FEWEST:
        return None
    made = kept_chart(points)
    if made is not None:
        return made
    command = [sys.executable, "-m", "preimage.studio.placing"]
    process = subprocess.Popen(
        [*command, str(points.folder), _method(points)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            if stopping.wait(LOOK):
                return None
    finally:
        process.kill()
        process.wait()
    return kept_chart(points)


def _method(points: Points) -> str:
    from preimage.exploration.maps import LANDMARKS  # no page waits for this import

    many = len(points) > LANDMARKS and importlib.util.find_spec("umap") is not None
    return "umap" if many else "t-sne"


def _positions(folder: Path, method: str, n: int) -> np.ndarray | None:
    """What was kept of a map, (n, 2); None where nothing usable is there."""
    try:
        positions = np.fromfile(positions_path(folder, method), "<f4").reshape(-1, 2)
    except (OSError, ValueError):
        return None
    return positions if len(positions) == n and np.isfinite(positions).all() else None
