"""How good samples become for the processor time spent: every recipe, judged by a stranger.

    PREIMAGE_REAL_DATA=… python benchmarks/quality.py            # what is not measured yet
    python benchmarks/quality.py --only mnist/gan --minutes 2    # one recipe, another budget
    python benchmarks/quality.py --again                         # everything anew

A recipe trains through the public interface on the 60,000 training images alone, on one thread;
the test images are seen by the judge only. 5,000 samples are drawn three times, and each figure is
the mean of the three, beside the same figure for three draws of 5,000 real training images. The
budget is of process CPU time, and counts the closed-form start, the mixture and all validation.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import judge as judges
import machine
import preimage as pi
import stacked
from preimage.metrics import Moments, median_nearest
from preimage.models import build
from preimage.pictures import png, sheet
from preimage.training.budget import RESERVE, within_minutes

SAMPLES, DRAWS, NEIGHBOURS = 5000, 3, 2000
SHARE = 0.89  # of the budget is planned for, so that it holds where timings scatter,
FIXED = 0.3  # less the minutes that starting and finishing take, however short it is
WORK = Path(tempfile.gettempdir()) / "preimage-benchmarks"

ROWS: dict[str, tuple[float, ...]] = {  # data/recipe → budgets in CPU minutes
    "mnist/vae-gan": (3.5, 10),
    "mnist/gan": (10,),
    "mnist/gan-mlp": (10,),
    "mnist/dcgan": (10,),
    "fashion-mnist/vae-gan": (2,),
    "fashion-mnist/dcgan": (2,),
    "stacked-mnist/vae-gan": (4,),
    "stacked-mnist/gan": (4,),
    "stacked-mnist/dcgan": (4,),
    "mnist/ae": (1.5,),
    "mnist/ae-sparse": (1,),
    "mnist/vae-mlp": (1.5,),
    "mnist/vae-2d": (1.5,),
    "mnist/vae-conv": (1.5,),
    "mnist/vae-pca": (1,),
    "mnist/cvae": (1,),
    "mnist/vae-sharp": (1,),
    "mnist/cgan": (1,),
    "mnist/wgan-gp": (1,),
    "mnist/progressive": (1,),
}


@dataclass(frozen=True)
class Real:
    """The real images of one data set, and what the judge says of them."""

    name: str
    train: Tensor  # (N, C, H, W) in [−1, 1]
    test: Tensor
    source: Path  # the training images alone, as a file
    judge: judges.Judge
    reference: Moments  # of the test images; of nothing where the judge has no use for them

    def draws(self) -> list[Tensor]:
        """Three draws of 5,000 training images."""
        order = np.random.default_rng(0).permutation(len(self.train))
        return [self.train[part] for part in np.split(order[: SAMPLES * DRAWS], DRAWS)]


@cache
def real(name: str) -> Real:
    """The data set of that name, from the folder of real data."""
    folder = machine.real_data()
    judge = judges.Judge(folder / "csinva" / "mnist_classifier" / "weights")
    WORK.mkdir(exist_ok=True)
    digits = "mnist" if name == "stacked-mnist" else name
    with np.load(folder / f"{digits}.npz") as arrays:
        train, test = arrays["train_images"], arrays["test_images"]
        labels = arrays["train_labels"]
    if name == "stacked-mnist":
        train, labels, test = stacked.stack(train, seed=0), None, stacked.stack(test, seed=1)
    source = WORK / f"{name}-train.npz"
    if not source.exists():
        np.savez(source, images=train, **({} if labels is None else {"labels": labels}))
    train, test = _tensor(train), _tensor(test)
    reference = judge(test).moments if test.shape[1] == 1 else Moments()
    return Real(name, train, test, source, judge, reference)


def _tensor(images: np.ndarray) -> Tensor:
    """(N, H, W) or (N, C, H, W) bytes → (N, C, H, W) in [−1, 1]."""
    x = torch.from_numpy(images).float() / 127.5 - 1
    return x if x.dim() == 4 else x[:, None]


def trained(data: Real, recipe: str, minutes: float, seed: int) -> tuple[pi.LatentModel, float]:
    """The recipe's model after so many CPU minutes, and how many it took."""
    images = pi.dataset(data.source)  # decoded and cached before the clock starts
    start = time.process_time()
    plan = pi.plan(images, recipe=recipe).plan
    aim = (minutes * SHARE - FIXED) / RESERVE
    settings = {"seed": seed, "device": "cpu"}
    model, clock = build(plan.model), time.process_time
    planned = within_minutes(plan, model, images, aim, clock=clock, **settings)
    steps = sum(stage.steps for stage in planned.stages)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        run = Path(folder) / "run"
        shown = 0.0
        for step in pi.training(data.source, recipe=recipe, out=run, steps=steps, **settings):
            spent = (time.process_time() - start) / 60
            if spent > shown + 0.5:
                shown = spent
                print(f"  {step.step}/{steps} {step.stage}, {spent:.1f} CPU minutes", flush=True)
        return pi.load(run), (time.process_time() - start) / 60


def figures(data: Real, draws: list[Tensor]) -> dict[str, Any]:
    """What the judge says of draws of 5,000 images each: the mean over draws, and their spread."""
    verdicts = [data.judge(draw) for draw in draws]
    distances = [verdict.distance(data.reference) for verdict in verdicts]
    shares = np.mean([verdict.shares for verdict in verdicts], 0)
    return {
        "frechet": float(np.mean(distances)),
        "frechet_draws": distances,
        "certainty": float(np.mean([verdict.certainty for verdict in verdicts])),
        "smallest_share": float(shares.min()),
        "shares": shares.tolist(),
    }


def neighbours(data: Real, model: pi.LatentModel, samples: Tensor) -> dict[str, float]:
    """Median distance to the nearest training image: of samples, test reconstructions, tests."""
    sides = {"samples": samples[:NEIGHBOURS], "test": data.test[:NEIGHBOURS]}
    if model.can("encode") and not model.conditional:
        with torch.no_grad():
            sides["reconstructions"] = model.decode(model.encode(sides["test"]).mean)
    halved = {name: x / 2 for name, x in sides.items()}  # distances as on [0, 1]
    return {
        f"neighbour_{name}": median_nearest(x, data.train / 2).value for name, x in halved.items()
    }


def measured(data: Real, recipe: str, minutes: float, seed: int) -> dict[str, Any]:
    """Train and judge one recipe; its grid of samples is written beside its figures."""
    model, spent = trained(data, recipe, minutes, seed)
    result: dict[str, Any] = {
        "benchmark": "quality",
        "data": data.name,
        "recipe": recipe,
        "budget": minutes,
        "seed": seed,
        "cpu_minutes": spent,
    }
    if data.name == "stacked-mnist":
        images = model.sample(stacked.SAMPLES, seed=seed)
        result |= {"n": stacked.SAMPLES, **stacked.modes(data.judge, images)}
        result["real"] = stacked.modes(data.judge, data.train[: stacked.SAMPLES])
    else:
        draws = [model.sample(SAMPLES, seed=seed + i) for i in range(DRAWS)]
        images = draws[0]
        result |= {"n": SAMPLES, **figures(data, draws), **neighbours(data, model, images)}
        result["real"] = figures(data, data.draws())
    machine.RESULTS.mkdir(exist_ok=True)
    picture = machine.RESULTS / f"{name_of(data.name, recipe, minutes)}.png"
    picture.write_bytes(png(sheet(images[:100], columns=10)))
    return result


def name_of(data: str, recipe: str, minutes: float) -> str:
    return f"quality-{data}-{recipe}-{minutes:g}min"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="DATA/RECIPE", help="these rows alone")
    parser.add_argument("--minutes", type=float, help="a budget other than the table's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="also what is measured already")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for row in options.only or ROWS:
        name, recipe = row.split("/")
        for minutes in (options.minutes,) if options.minutes else ROWS[row]:
            file = name_of(name, recipe, minutes)
            before = machine.read(file)
            if before and before["commit"] == machine.commit() and not options.again:
                print(f"{file}: measured at this commit", flush=True)
                continue
            print(f"{file}:", flush=True)
            result = measured(real(name), recipe, minutes, options.seed)
            machine.write(file, result)
            shown = ("frechet", "modes", "certainty", "smallest_share", "cpu_minutes")
            print("  " + ", ".join(f"{k} {result[k]:.3f}" for k in shown if k in result))


if __name__ == "__main__":
    main()
