"""Interpolations and geodesics: what they cost, on one thread, in process CPU seconds.

    python benchmarks/interpolation.py [--quick]

A 100-frame interpolation at 64 px beside the bare decoding of 100 latents, and geodesics of 16
points at 64 latents, of VAEs trained here on the built-in faces. `--quick` takes one of them,
trained for seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import machine
import preimage as pi
from preimage.exploration.geodesic import geodesics
from preimage.exploration.paths import walk

WORK = Path(tempfile.gettempdir()) / "preimage-benchmarks" / "interpolation"
RECIPES = ("vae-conv", "vae-gan", "vae-pca")
FACES = "faces:4000"
LATENTS, FRAMES, POINTS, PAIRS = 64, 100, 16, 5
SEARCHED, ADAM = 2, 200  # pairs and steps of the reference
REPEATS = 15  # of an interpolation and a decoding, in turn
ROOMS = ("core", "nets", "models", "exploration")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--quick", action="store_true", help="one recipe, trained for seconds; writes nothing"
    )
    quick = options.parse_args().quick
    torch.set_num_threads(1)
    rows = []
    for name in RECIPES[:1] if quick else RECIPES:
        rows.append(measured(name, minutes=0.1 if quick else 1.5, quick=quick))
        print(json.dumps(rows[-1], indent=1), flush=True)
    if not quick:
        result = {"benchmark": "interpolation", "faces": FACES, "latents": LATENTS}
        result |= {"frames": FRAMES, "points": POINTS, "pairs": PAIRS, "recipes": rows}
        machine.write("interpolation", result, rooms=ROOMS)


def measured(recipe: str, *, minutes: float, quick: bool) -> dict[str, Any]:
    """One recipe's figures."""
    run = WORK / f"{recipe}-{minutes:g}"
    if not (run / "weights.safetensors").exists():
        pi.train(FACES, recipe=recipe, latent=LATENTS, minutes=minutes, out=run, device="cpu")
    model = pi.load(run).requires_grad_(False)
    data = pi.dataset(FACES)
    ends = pi.latents(model, data.batch(data.heldout[: 2 * PAIRS]), method="encoder")
    a, b = ends[:PAIRS], ends[PAIRS:]
    return {
        "recipe": recipe,
        "parameters": sum(p.numel() for p in model.parameters()),
        "throughput": share(model, ends[:2]),
        **shortest(model, a, b),
        **({} if quick else reference(model, a[:SEARCHED], b[:SEARCHED])),
    }


def share(model: pi.LatentModel, ends: Tensor) -> dict[str, float]:
    """Frames a second of an interpolation over those of the decoder alone, taken in turn."""
    z = walk(model, ends, frames=FRAMES).latents

    @torch.no_grad()
    def bare() -> None:
        model.decode(z)

    times: dict[str, list[float]] = {"walk": [], "bare": []}
    for i in range(REPEATS + 1):
        walked = seconds(lambda: walk(model, ends, frames=FRAMES))
        alone = seconds(bare)
        if i:  # the first of each is to warm up
            times["walk"].append(walked)
            times["bare"].append(alone)
    walked, alone = (min(values) for values in times.values())  # what else runs only adds to them
    return {
        "frames_a_second": FRAMES / walked,
        "bare_frames_a_second": FRAMES / alone,
        "share": alone / walked,
    }


def shortest(model: pi.LatentModel, a: Tensor, b: Tensor) -> dict[str, Any]:
    """Geodesics one by one, each from nothing: seconds, and what they save."""
    taken, found = [], []
    for i in range(len(a)):
        begun = time.process_time()
        found.append(geodesics(model, a[i : i + 1], b[i : i + 1], points=POINTS))
        taken.append(time.process_time() - begun)

    def mean(name: str) -> float:
        return statistics.mean(float(getattr(one, name)) for one in found)

    return {
        "geodesic_seconds": taken,
        "evaluations": [int(one.evaluations) for one in found],
        "length": mean("length"),
        "straight_length": mean("straight_length"),
        "spherical_length": mean("spherical_length"),
        "energy": mean("energy"),
        "straight_energy": mean("straight_energy"),
    }


def reference(model: pi.LatentModel, a: Tensor, b: Tensor) -> dict[str, float]:
    """The same pairs after a plain search, Adam on all inner points, and what it took."""
    begun = time.process_time()
    B, d = len(a), a[0].numel()
    t = torch.linspace(0, 1, POINTS)[1:-1, None]
    inner = torch.lerp(a[:, None], b[:, None], t).clone().requires_grad_()
    optimizer = torch.optim.Adam([inner], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ADAM)
    lowest = torch.full((B,), torch.inf)
    for _ in range(ADAM):
        z = torch.cat([a[:, None], inner, b[:, None]], 1).reshape(B * POINTS, d)
        x = model.decode(z).reshape(B, POINTS, -1)
        energy = 0.5 * (POINTS - 1) * x.diff(dim=1).square().sum((1, 2))
        lowest = torch.minimum(lowest, energy.detach())
        optimizer.zero_grad()
        energy.sum().backward()
        optimizer.step()
        schedule.step()
    taken = (time.process_time() - begun) / B
    ours = geodesics(model, a, b, points=POINTS).energy.mean()
    return {"adam_energy_over_ours": float(lowest.mean() / ours), "adam_seconds": taken}


def seconds(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
