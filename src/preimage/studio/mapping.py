"""Maps of a workspace's points: one at once, and a better one when it is ready."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from preimage.core import InputError
from preimage.runs.files import read_json
from preimage.studio.chart import LATENT, Chart
from preimage.studio.points import Points, about_path, positions_path

FEWEST = 50  # points below which one map is as good as another
LOOK = 0.3  # seconds between looks at the process


def first_chart(points: Points) -> Chart:
    """The latents themselves where they are two numbers, and else their widest plane."""
    from preimage.exploration.maps import principal_plane  # no page waits for this import

    flat = points.latents.flatten(1)
    if flat.shape[1] == 2:
        return Chart(LATENT, flat.numpy().astype(np.float32))
    if len(flat) < 3:
        return Chart("pca", np.zeros((len(flat), 2), np.float32))
    return Chart("pca", principal_plane(points.placed_by)[0].numpy())


def better_chart(points: Points, *, stopping: threading.Event) -> Chart | None:
    """A map that keeps neighbours together; None where there is none to be had.

    Made in a process of its own, and kept for the next time.
    """
    from preimage.exploration.maps import LANDMARKS

    if len(points) < FEWEST:
        return None
    many = len(points) > LANDMARKS and importlib.util.find_spec("umap") is not None
    method = "umap" if many else "t-sne"
    made = _read(points.folder, method, len(points))
    if made is not None:
        return made
    command = [sys.executable, "-m", "preimage.studio.placing", str(points.folder), method]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            if stopping.wait(LOOK):
                return None
    finally:
        process.kill()
        process.wait()
    return _read(points.folder, method, len(points))


def _read(folder: Path, method: str, n: int) -> Chart | None:
    try:
        positions = np.fromfile(positions_path(folder, method), "<f4").reshape(-1, 2)
        about = read_json(about_path(folder, method))
        trusted = float(about["trustworthiness"]["value"])
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None
    return Chart(method, positions, trusted) if len(positions) == n else None
