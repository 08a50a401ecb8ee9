"""Better samples by exploring the latent space: how good, how various, and at what cost.

    PREIMAGE_REAL_DATA=… python benchmarks/guided_sampling.py  # trains both models first
    python benchmarks/guided_sampling.py --runs FOLDER         # takes FOLDER/mnist-gan, …
    python benchmarks/guided_sampling.py --runs FOLDER --quick # one draw of 2,000

Models train as in quality.py, on the 60,000 training images; so is the density ratio fitted, which
sees neither the judge nor the test images. Each row is judged by LeNet on the test images, 5,000
samples a draw: Fréchet distance over three draws, precision, density and coverage against 5,000
test images. The cost is in decodes for each sample and in process CPU time over plain sampling's,
measured in this process, one row after the other.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import machine
import preimage as pi
import quality
from preimage.metrics import fidelity
from preimage.metrics.fidelity import prdc
from preimage.pictures import curves, png, sheet

ROWS = ("mnist/gan", "mnist/dcgan")
MINUTES = 10  # of training, where no run is given
STRENGTHS = (0.5, 1.0, 1.5, 2.0, 3.0)
METHODS: dict[str, tuple[str, dict[str, Any]]] = {  # held to the target
    "plain": ("plain", {}),
    "rejection": ("rejection", {}),
    "metropolis-hastings": ("metropolis-hastings", {}),
    "metropolis-hastings, strength 2": ("metropolis-hastings", {"strength": 2.0}),
    "langevin": ("langevin", {}),
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {  # one draw each
    "rejection, 90 %": ("rejection", {"percentile": 90.0}),
    "metropolis-hastings, 5 steps": ("metropolis-hastings", {"steps": 5}),
    "truncation 0.9": ("plain", {"truncation": 0.9}),
    "truncation 0.7": ("plain", {"truncation": 0.7}),
}


def drawn(
    model: pi.LatentModel, name: str, ratio: Any, n: int, seed: int, options: dict[str, Any]
) -> tuple[Tensor, float, float]:
    """Images, decodes for each, and CPU milliseconds for each."""
    start = time.process_time()
    if name == "plain":
        images, decodes = model.sample(n, seed=seed, **options), 1.0
    else:
        found = pi.guided(model, n, method=name, ratio=ratio, seed=seed, **options)
        images, decodes = found.images, found.decodes
    return images, decodes, 1000 * (time.process_time() - start) / n


def judged(data: quality.Real, draws: list[Tensor], *, intervals: bool) -> dict[str, Any]:
    """What the judge says of draws: means, and the first one's interval of coverage."""
    n = len(draws[0])
    real = data.judge(data.test[:n]).features
    verdicts = [data.judge(draw) for draw in draws]
    distances = [verdict.distance(data.reference) for verdict in verdicts]
    four = torch.tensor([prdc(real, verdict.features) for verdict in verdicts]).mean(0).tolist()
    found: dict[str, Any] = dict(
        zip(("precision", "recall", "density", "coverage"), four, strict=True)
    )
    found |= {"frechet": sum(distances) / len(distances), "frechet_draws": distances}
    found["smallest_share"] = min(min(verdict.shares) for verdict in verdicts)
    if intervals:
        measure = fidelity(real, verdicts[0].features).coverage
        found["coverage_interval"] = [measure.low, measure.high]
    return found


def measured(data: quality.Real, model: pi.LatentModel, *, n: int, draws: int) -> dict[str, Any]:
    """The ratio, every method, its variants, and the curve over strength."""
    start = time.process_time()
    ratio = pi.density_ratio(model, data.train)
    result: dict[str, Any] = {
        "n": n,
        "ratio": {
            "cpu_seconds": time.process_time() - start,
            "ridge": ratio.ridge,
            "slope": ratio.calibration.slope,
            "z": ratio.calibration.z,
            "z_before": ratio.calibration.z_before,
        },
    }
    rows: dict[str, Any] = {}
    pictures: dict[str, Tensor] = {}
    strengths = {
        f"strength {β:g}": ("metropolis-hastings", {"strength": β})
        for β in STRENGTHS
        if β not in (1, 2)
    }
    for label, (name, options) in (METHODS | VARIANTS | strengths).items():
        times = draws if label in METHODS else 1
        found = [drawn(model, name, ratio, n, seed, options) for seed in range(times)]
        images, decodes, ms = zip(*found, strict=True)
        rows[label] = judged(data, list(images), intervals=label in METHODS)
        rows[label] |= {"decodes": sum(decodes) / times, "cpu_ms": sum(ms) / times}
        rows[label]["cost"] = rows[label]["cpu_ms"] / rows["plain"]["cpu_ms"]
        pictures[label] = images[0][:100]
        shown = ("frechet", "precision", "coverage", "decodes", "cost")
        print(f"  {label}: " + ", ".join(f"{k} {rows[label][k]:.3f}" for k in shown), flush=True)
    result |= {"rows": rows, "real": judged(data, [d[:n] for d in data.draws()], intervals=True)}
    result["pictures"] = pictures
    return result


def written(file: str, result: dict[str, Any]) -> None:
    """The figures, the curve over strength, and a sheet of each method."""
    machine.RESULTS.mkdir(exist_ok=True)
    pictures = result.pop("pictures")
    for label in METHODS:
        path = machine.RESULTS / f"{file}-{label.replace(', ', '-').replace(' ', '-')}.png"
        path.write_bytes(png(sheet(pictures[label], columns=10)))
    rows = result["rows"]
    named = {0.0: "plain"} | {β: f"strength {β:g}" for β in STRENGTHS}
    named |= {1.0: "metropolis-hastings", 2.0: "metropolis-hastings, strength 2"}
    along = [rows[named[β]] for β in sorted(named)]
    plain = rows["plain"]["frechet"]
    series = {
        "Fréchet distance, of plain samples'": [row["frechet"] / plain for row in along],
        "precision": [row["precision"] for row in along],
        "coverage": [row["coverage"] for row in along],
    }
    plot = curves(
        {name: (sorted(named), values) for name, values in series.items()},
        xlabel="strength",
        ylabel="share",
    )
    (machine.RESULTS / f"{file}-strength.png").write_bytes(plot.png())
    machine.write(file, result, rooms=(*machine.DECIDING, "exploration"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="DATA/RECIPE", default=ROWS)
    parser.add_argument("--runs", type=Path, help="folder of runs, DATA-RECIPE each")
    parser.add_argument("--quick", action="store_true", help="one draw of 2,000, for a look")
    parser.add_argument("--again", action="store_true", help="also what is measured already")
    options = parser.parse_args()
    torch.set_num_threads(1)
    n, draws = (2000, 1) if options.quick else (quality.SAMPLES, quality.DRAWS)
    for row in options.only:
        name, recipe = row.split("/")
        file = f"guided-{name}-{recipe}"
        before = machine.read(file)
        now = machine.commit((*machine.DECIDING, "exploration"))
        if before and before["commit"] == now and before["n"] == n and not options.again:
            print(f"{file}: measured at this commit", flush=True)
            continue
        print(f"{file}:", flush=True)
        data = quality.real(name)
        if options.runs is None:
            model, spent = quality.trained(data, recipe, MINUTES, seed=0)
        else:
            model, spent = pi.load(options.runs / f"{name}-{recipe}"), None
        result = measured(data, model, n=n, draws=draws)
        head = {"benchmark": "guided_sampling", "data": name, "recipe": recipe}
        written(file, {**head, "training_cpu_minutes": spent, **result})


if __name__ == "__main__":
    main()
