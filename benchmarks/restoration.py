"""Restoration and inpainting against image processing, with intervals, and bands against truth.

    python benchmarks/restoration.py            # trains its models once, then measures
    python benchmarks/restoration.py --quick    # a few images, nothing written
    python benchmarks/restoration.py --only mnist,orl

PSNR (peak 2 on [−1, 1]) and SSIM inside the hole, whether a digit is still one of its class to a
LeNet that others trained, and the share of hidden values that lie in the 90 % band. Intervals are
of 95 %, by bootstrap over images; differences are paired. Nothing was chosen on these images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

import machine
import preimage as pi
import restoration_baselines as baselines
from judge import Judge
from preimage.applications.inpainting import Inpainter
from preimage.applications.restoration import coverage, observed
from preimage.inversion.operators import ImageOperator
from preimage.pictures import pairs, png
from restoration_models import SUBJECTS, Subject, subject

N, SHOWN, NOISE = 48, 8, 0.3
HOLES = ("half", "centre", "random")
OURS = "ours"
Task = dict[str, Any]
Restore = Callable[[Tensor], Tensor]
ROOMS = (*machine.DECIDING, "applications")


def hole_of(name: str, height: int, width: int) -> Tensor:
    """(1, 1, H, W) bool: the middle quarter of the area, the right half, or half of all pixels."""
    hole = torch.zeros(1, 1, height, width, dtype=torch.bool)
    if name == "centre":
        hole[..., height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    elif name == "half":
        hole[..., width // 2 :] = True
    else:
        hole |= torch.rand(height, width, generator=torch.Generator().manual_seed(0)) < 0.5
    return hole


def psnr(x: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    error = ((x - truth).square() * hole).flatten(1).sum(1) / hole.expand_as(x).flatten(1).sum(1)
    return 10 * torch.log10(4 / error.clamp_min(1e-6))


def ssim(x: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """The mean of the map over the hole."""
    rows = []
    for a, b, m in zip(x, truth, hole.expand(len(x), -1, -1, -1), strict=True):
        full = structural_similarity(
            a.numpy(), b.numpy(), win_size=7, channel_axis=0, data_range=2, full=True
        )[1]
        rows.append(full[:, m[0].numpy()].mean())
    return torch.tensor(np.array(rows))


def interval(values: Tensor) -> list[float]:
    """Mean, and the 2.5th and 97.5th percentiles of bootstrapped means."""
    v = values.double().numpy()
    draws = np.random.default_rng(0).integers(0, len(v), (2000, len(v)))
    low, high = np.percentile(v[draws].mean(1), [2.5, 97.5])
    return [float(v.mean()), float(low), float(high)]


def row(
    x: Tensor, truth: Tensor, hole: Tensor, best: dict[str, Tensor] | None, judge: Judge | None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The figures of one method, and how much better ours is."""
    figures = {"psnr": psnr(x, truth, hole), "ssim": ssim(x, truth, hole)}
    if judge is not None:
        figures["identity"] = (judge(x).classes == judge(truth).classes).double()
    found: dict[str, Any] = {name: interval(v) for name, v in figures.items()}
    if best is not None:
        found["ours_better"] = {name: interval(best[name] - v) for name, v in figures.items()}
    return found, figures


def inpainting(on: Subject, judge: Judge | None, name: str) -> tuple[Task, dict[str, Tensor]]:
    """One kind of hole, and a few images for a sheet."""
    hole = hole_of(name, *on.images.shape[2:])
    given = torch.where(hole, 0, on.images)
    scale = Inpainter(on.worker).scale(hole)
    ours = Inpainter(on.worker, blend="none").inpaint(given, hole, n=2, scale=scale)
    blended = Inpainter(on.worker).filled(ours.images, given, hole.expand(len(given), -1, -1, -1))
    rows, best = {}, None
    rows[OURS], best = row(ours.images, on.images, hole, None, judge)
    rows["ours, blended"], _ = row(blended, on.images, hole, best, judge)
    rows["ours, likeliest"], _ = row(ours.fillings[:, 0], on.images, hole, best, judge)
    pasted = baselines.pasted(on.worker.ready.model, given, hole)
    rows["reconstruction pasted in"], _ = row(pasted, on.images, hole, best, judge)
    made = {m: fill(given, hole) for m, fill in baselines.FILLERS.items()}
    for method, x in made.items():
        rows[method], _ = row(x, on.images, hole, best, judge)
    inside = coverage(ours, on.images, hole.expand_as(given))
    shown = {
        "truth": on.images, "given": given, "ours, mean": ours.images,
        "ours, another": ours.fillings[:, 1], "OpenCV Telea": made["OpenCV Telea"],
    }  # fmt: skip
    bands = {"calibrated": interval(inside), "scale": scale}
    return {"methods": rows, "coverage": bands}, {k: x[:SHOWN] for k, x in shown.items()}


def spoilt(
    on: Subject, judge: Judge | None, through: ImageOperator, method: str, restore: Restore
) -> tuple[Task, None]:
    """Images to which something was done, made whole again."""
    x, whole = on.images, torch.ones(1, 1, *on.images.shape[2:], dtype=torch.bool)
    y = observed(through, x, seed=5)
    scale = on.worker.scale(through)
    ours = on.worker.restore(y, through, scale=scale)
    rows, best = {}, None
    rows[OURS], best = row(ours.images, x, whole, None, judge)
    rows[method], _ = row(restore(y), x, whole, best, judge)
    inside = coverage(ours, x, whole.expand_as(x))
    return {"methods": rows, "coverage": {"calibrated": interval(inside), "scale": scale}}, None


def tasks(on: Subject, judge: Judge | None) -> Sequence[tuple[str, str, Callable[[], Any]]]:
    """(part of the result, name, what measures it)."""
    holes = [("holes", hole, partial(inpainting, on, judge, hole)) for hole in HOLES]
    x = on.images
    size = (x.shape[2], x.shape[3])
    others: list[tuple[str, ImageOperator, str, Restore]] = [
        ("4 times smaller", pi.Downsample(4), "bicubic", lambda y: baselines.bicubic(y, size)),
        (f"noise {NOISE}", pi.Noise(2 * NOISE), "non-local means",
         lambda y: baselines.non_local_means(y, 2 * NOISE)),
    ]  # fmt: skip
    if x.shape[1] == 3:
        others.append(("grey", pi.Grey(), "the grey image", lambda y: y.expand_as(x)))
    return [*holes, *(("others", name, partial(spoilt, on, judge, *how)) for name, *how in others)]


def show(name: str, task: Task) -> None:
    rows, bands = task["methods"], task["coverage"]
    print(f"{name}: in the band {bands['calibrated'][0]:.3f}, scale {bands['scale']:.2f}")
    for method, figures in rows.items():
        text = ", ".join(f"{k} {v[0]:.3f}" for k, v in figures.items() if k != "ours_better")
        print(f"  {method:26} {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(SUBJECTS))
    parser.add_argument("-n", type=int, default=N)
    parser.add_argument("--quick", action="store_true", help="a few images, nothing written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    judge = Judge(machine.real_data() / "csinva" / "mnist_classifier" / "weights")
    for name in options.only.split(","):
        on = subject(name, 8 if options.quick else options.n)
        facts = {
            "benchmark": "restoration", "subject": name, "what": on.what, "n": len(on.images),
        }  # fmt: skip
        result: dict[str, Any] = facts | {"holes": {}, "others": {}}
        before = machine.read(f"restoration-{name}") or {}
        if before.get("n") == facts["n"] and before.get("commit") == machine.commit(ROOMS):
            result |= {part: before[part] for part in ("holes", "others")}
        for part, task, measured in tasks(on, judge if on.identity else None):
            if task in result[part] and not options.quick:
                continue
            result[part][task], shown = measured()
            show(f"{name} {task}", result[part][task])
            if options.quick:
                continue
            machine.write(f"restoration-{name}", result, rooms=ROOMS)
            if shown and task != "random":
                path = Path(machine.RESULTS) / f"restoration-{name}-{task}.png"
                path.write_bytes(png(pairs(shown, padding=3)))


if __name__ == "__main__":
    main()
