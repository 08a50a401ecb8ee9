"""Ours in the recovery benchmark: made ready once for a generator, and timed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

import preimage as pi
from generators import WORK, Generator, decoded
from preimage.inversion.inverter import Inverter
from preimage.inversion.settings import Settings
from preimage.inversion.stream import Inverting, Targets

ENCODERS = {  # generator, where its own is none or too far off → net, steps of training, passes
    "mnist-gan": ("mlp", 2000, 4),
    "mnist-dcgan": ("mlp", 9000, 3),
    "mnist-vae-conv": ("mlp", 1200, 4),
}


@dataclass(frozen=True)
class Ready:
    """A way to find latents, and what it took to be ready for a generator."""

    find: Callable[[pi.LatentModel, Tensor], Tensor]
    cpu_seconds: float
    folded: bool = False  # whether a quicker form of the generator was found
    thorough: bool = False  # whether a better cascade was found by thorough preparation


def prepared(
    g: Generator,
    *,
    fold: bool,
    steps: int | None = None,
    starts: int = 1,
    cascade: str = "quick",
    first: int = 0,
) -> Ready:
    """Inversion by default, with or without a quicker form of the generator.

    steps: iterations of a search at most; None for the default.
    starts: of each image.
    cascade: what searches start from.
    first: so many samples and real images are inverted beforehand, none of those that count. It is
        then that kernels are compiled for the shapes that they meet.
    """
    invert = pi.invert  # importing a module is no part of the work
    options = {"steps": steps, "starts": starts, "cascade": cascade}
    start = time.process_time()
    inverter = Inverter(g.model, fold=fold)
    for _ in inverter.prepare(Settings(cascade=cascade)):
        pass
    if first:
        for x in (g.targets(first, first=20_000)[1], g.real[-first:]):
            invert(inverter, x, **options)
    seconds = time.process_time() - start
    folded = inverter.compiled is not None and inverter.compiled.refusal is None
    thorough = any(inverter.thorough.values())
    return Ready(lambda _, x: invert(inverter, x, **options).z, seconds, folded, thorough)


def encoder(g: Generator) -> Ready:
    """An encoder learned beside one of our runs, alone; trained once, and kept with the run."""
    net, steps, passes = ENCODERS[g.name]
    note = WORK / f"{g.name}-encoder-{net}-{steps}-{passes}.json"
    assert g.run is not None  # only ours have one
    if not note.exists():
        start = time.process_time()
        options: dict[str, Any] = {"seed": 0, "device": "cpu", "validations": 1, "replace": True}
        pi.train_encoder(g.run, net=net, steps=steps, refinements=passes, **options)
        note.write_text(json.dumps({"cpu_seconds": time.process_time() - start}))
    encoded = pi.load_encoder(g.run, g.model)

    seconds = json.loads(note.read_text())["cpu_seconds"]
    return Ready(lambda _, x: encoded.latents(x), seconds)


def verdict(g: Generator, others: Tensor, *, calibration: int = 500) -> dict[str, Any]:
    """The area under the ROC curve of the p-value, on fresh real images against others."""
    inverter = Inverter(g.model)
    for _ in inverter.calibrating(g.real[:calibration]):
        pass
    fresh = g.real[calibration : calibration + len(others)]
    p = [_p_values(inverter, x) for x in (fresh, others)]
    outside = [0] * len(p[0]) + [1] * len(p[1])
    return {
        "n": [len(fresh), len(others)],
        "auc": float(roc_auc_score(outside, [1 - value for side in p for value in side])),
        "calibrated_on": calibration,
    }


def _p_values(inverter: Inverter, x: Tensor) -> list[float]:
    verdicts = pi.invert(inverter, x).verdicts
    assert verdicts is not None  # there is a calibration
    return [verdict.p_value for verdict in verdicts]


def stream(g: Generator, n: int) -> None:
    """Invert n samples, drawn a batch at a time and forgotten when they are done."""
    settings = Settings()

    def batches() -> Iterator[Targets]:
        for index in torch.arange(n).split(settings.images_at_once(g.model.data)):
            z = g.model.space.sample(len(index), seed=0, first=int(index[0]))
            yield Targets(index, decoded(g.model, z))

    job = Inverting(
        Inverter(g.model), batches(), total=n, settings=settings, sink=lambda index, found: None
    )
    for _ in job:
        pass
