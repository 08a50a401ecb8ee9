"""A map of 100,000 points: seconds and peak memory of each method, and of what a studio draws.

`python benchmarks/maps.py [--points 10000]`. Latents are of ten clusters in 32 dimensions, so that
neighbourhoods mean something; each row is a process of its own, on one thread, with its peak
memory above that of the process with the latents and the libraries loaded. Writes results/maps.json
and, as it goes, results/maps-METHOD-POINTS.json, which a second call does not make again.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import machine
from maps_page import maps
from preimage.exploration.maps import LatentMap, latent_map
from preimage.pictures.map import SIDE, drawn_map, thumbnail_places, thumbnail_side
from preimage.runs.maps import save_map

D, CLUSTERS, SHAPE = 32, 10, (3, 32, 32)
METHODS = ("pca", "t-sne", "umap", "files")
ROOMS = ("core", "metrics", "exploration", "pictures", "runs")


def latents(n: int) -> tuple[Tensor, Tensor]:
    """Latents (n, 32) and their clusters (n,)."""
    g = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(CLUSTERS, D, generator=g)
    labels = torch.randint(CLUSTERS, (n,), generator=g)
    return centres[labels] + torch.randn(n, D, generator=g), labels


def measured(method: str, n: int) -> dict[str, Any]:
    """One row, in this process."""
    z, labels = latents(n)
    if method == "umap":
        import umap  # noqa: F401  # a quarter of a minute, once a process
    warm = latent_map(z[:200], method="pca" if method == "files" else method)
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    found = files(warm, labels) if method == "files" else latent_map(z, method=method).to_json()
    return {
        "method": method,
        "points": n,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "memory": peak() - before,
        "trustworthiness": found.get("trustworthiness"),
        "kept": found.get("neighbours_kept"),
    }


def files(warm: LatentMap, labels: Tensor) -> dict[str, Any]:
    """The picture and a studio's data: positions and thumbnails of all points."""
    n = len(labels)
    shades = torch.rand(256, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def images() -> Iterator[Tensor]:
        for start in range(0, n, 256):
            yield shades[: min(256, n - start)]

    positions = torch.randn(n, 2, generator=torch.Generator().manual_seed(2))
    side = thumbnail_side(SHAPE)
    chosen = torch.from_numpy(thumbnail_places(positions, cell=side / SIDE))
    drawn = drawn_map(positions, labels=labels, chosen=chosen, thumbnails=shades[chosen % 256])
    found = LatentMap(positions, "pca", warm.trustworthiness, warm.kept, 5, labels=labels)
    with tempfile.TemporaryDirectory() as folder:
        save_map(found, Path(folder), drawn=drawn, images=images(), shape=SHAPE)
    return {}


def peak() -> float:
    """The most memory this process has had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--only", choices=METHODS)
    options = parser.parse_args()
    if options.only:
        torch.set_num_threads(1)
        print(json.dumps(measured(options.only, options.points)))
        return
    rows: list[dict[str, Any]] = []
    for method in METHODS:
        name = f"maps-{method}-{options.points}"
        if machine.read(name) is None:
            command = [sys.executable, __file__, "--only", method, "--points", str(options.points)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            machine.write(name, json.loads(done.stdout.splitlines()[-1]), rooms=ROOMS)
        rows.append(machine.read(name) or {})
    result = {"benchmark": "maps", "rows": rows}
    if options.points == 100_000:
        machine.write("maps", result, rooms=ROOMS)
    print(maps([result]))


if __name__ == "__main__":
    main()
