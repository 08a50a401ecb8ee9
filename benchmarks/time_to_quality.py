"""How soon a VAE is good: seconds to the losses a textbook VAE reaches after 8, 20, 37, 50 epochs.

    PREIMAGE_REAL_DATA=… python benchmarks/time_to_quality.py
        --pythae                  images a second beside pythae, too, if it is installed
        --full-reference EPOCHS   not the times again, but the textbook VAE itself, for so many
                                  epochs (one is a minute; asked for more, it goes on), and ours
                                  beside it at each loss that it reaches

CIFAR-10 (JPEG), one thread on both sides, process CPU seconds. The loss is the textbook's: summed
squared error on [−1, 1] of the decoded sample, plus KL, 128 latents, on the 10,000 test images in
fp32. The reference (`reference_vae.py`) is timed over one epoch here, and that is multiplied by the
epochs it needs; ours is trained through the public interface, once for each loss, and everything
counts: the closed-form start, validation, checkpoints, pictures. Decoding the JPEG files and
importing modules count on neither side. The test images are the held-out side of our runs, but
choose nothing: with one validation, the weights that are kept are the last step's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import machine
import preimage as pi
import reference_vae as reference
import throughput
from preimage.pictures import png, sheet

WORK = Path(tempfile.gettempdir()) / "preimage-benchmarks"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Target:
    """A test loss, when the reference gets there, and how ours does."""

    loss: float
    epochs: int  # the reference's, measured once over its whole training
    least_ratio: int
    steps: int  # of batches of 512; with 1, what is judged is the closed-form start
    options: dict[str, Any]


TARGETS = (
    Target(210, 8, 100, steps=1, options={"axes": 128}),
    Target(192, 20, 100, steps=1, options={"axes": 128}),
    Target(186, 37, 100, steps=195, options={}),
    Target(183.6, 50, 50, steps=586, options={}),
)


def arrays() -> Path:
    """The 50,000 and 10,000 images in one file, decoded once."""
    path = WORK / "cifar10-jpg.npz"
    if not path.exists():
        folder = machine.real_data() / "cifar10-jpg"
        WORK.mkdir(exist_ok=True)
        sides = {side: pi.dataset(folder / side) for side in ("train", "test")}
        order = np.random.default_rng(0).permutation(len(sides["train"]))
        np.savez(path, train_images=sides["train"].images[order], test_images=sides["test"].images)
    return path


def trained(source: Path, target: Target, seed: int) -> tuple[pi.LatentModel, float]:
    """Our model for that loss, and the CPU seconds it took."""
    run = WORK / "run"
    shutil.rmtree(run, ignore_errors=True)
    start = time.process_time()
    pi.train(
        source,
        recipe="vae-pca",
        out=run,
        steps=target.steps,
        seed=seed,
        device="cpu",
        validations=1,
        **target.options,
    )
    return pi.load(run), time.process_time() - start


def ours_on(model: pi.LatentModel) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """What the test loss asks of a model: the decoded sample, mean and log-variance."""

    def reconstruct(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = model.encode(x)
        return model.decode(q.sample()), q.mean, q.log_variance

    return reconstruct


def measured(source: Path, target: Target, test: Tensor) -> tuple[dict[str, Any], pi.LatentModel]:
    """Time and loss of our runs for one target, a run for each seed."""
    runs, model = [], None
    for seed in SEEDS:
        model, seconds = trained(source, target, seed)
        runs.append({"seed": seed, "cpu_seconds": seconds})
        runs[-1]["test_loss"] = reference.test_loss(ours_on(model), test)
        print(f"  {target.loss}: {runs[-1]}", flush=True)
    assert model is not None
    return {
        "target": target.loss,
        "steps": target.steps,
        "options": target.options,
        "worst_loss": max(run["test_loss"] for run in runs),
        "cpu_seconds": max(run["cpu_seconds"] for run in runs),
        "runs": runs,
    }, model


def timed_epoch(
    images: np.ndarray, pauses: list[float]
) -> tuple[float, dict[float, reference.ReferenceVAE]]:
    """CPU seconds of the reference's first epoch, and the reference as it is at each pause."""
    torch.manual_seed(0)
    model = reference.ReferenceVAE()
    adam = reference.optimizer(model)
    seconds, snapshots, left = 0.0, {}, sorted(pauses)
    for seconds in reference.epoch(model, adam, images):
        while left and seconds >= left[0]:
            snapshots[left.pop(0)] = _copy(model)
    return seconds, snapshots


def _copy(model: reference.ReferenceVAE) -> reference.ReferenceVAE:
    copy = reference.ReferenceVAE()
    copy.load_state_dict(model.state_dict())
    return copy.eval()


@torch.no_grad()
def looks(ours: pi.LatentModel, other: reference.ReferenceVAE, test: Tensor, name: str) -> str:
    """Test images; our reconstructions, theirs; our samples, theirs; in rows of 16."""
    x = test[:16]
    z = torch.randn(16, reference.LATENTS, generator=torch.Generator().manual_seed(0))
    rows = [x, ours.decode(ours.encode(x).mean), other.decoder(other.posterior(x)[0])]
    rows += [ours.decode(z), other.decoder(z)]
    path = machine.RESULTS / f"time_to_quality-{name}.png"
    path.write_bytes(png(sheet(torch.cat(rows).clamp(-1, 1), columns=16, scale=1)))
    return path.name


def full_reference(source: Path, epochs: int) -> list[dict[str, float]]:
    """Train the reference so far, or take the figures of when that was done."""
    trace = WORK / "reference" / "trace.json"
    if not trace.exists() or len(json.loads(trace.read_text())) < epochs:
        reference.train(source, trace.parent, epochs)
    return json.loads(trace.read_text())[:epochs]


def at_equal_loss(source: Path, epochs: int) -> dict[str, Any]:
    """Each of our models beside the reference when it first got to that target, within `epochs`."""
    trace = full_reference(source, epochs)
    test = reference.read(source)[1]
    pairs = []
    for target in TARGETS:
        reached = [row for row in trace if row["test_loss"] <= target.loss]
        if not reached:
            continue
        model, _ = trained(source, target, SEEDS[0])
        other = reference.ReferenceVAE()
        weights = WORK / "reference" / f"epoch-{reached[0]['epoch']:02d}.pt"
        other.load_state_dict(torch.load(weights, weights_only=True))
        pairs.append(
            {
                "target": target.loss,
                "ours": reference.test_loss(ours_on(model), test),
                "reference": reached[0]["test_loss"],
                "reference_epochs": reached[0]["epoch"],
                "picture": looks(model, other.eval(), test, f"equal-loss-{target.loss:g}"),
            }
        )
    return {
        "benchmark": "equal_loss",
        "data": "cifar10-jpg",
        "seed": SEEDS[0],
        "reference_trace": trace,
        "pairs": pairs,
    }


def benchmark(source: Path, *, pythae: bool) -> dict[str, Any]:
    """Every target, the reference's epoch, and images a second."""
    images, test = reference.read(source)
    throughput.warm_up(images)  # torch imports modules when the first optimizer is made
    results, models = zip(*(measured(source, target, test) for target in TARGETS), strict=True)
    seconds, snapshots = timed_epoch(images, [row["cpu_seconds"] for row in results])
    print(f"reference: {seconds:.1f} CPU seconds an epoch", flush=True)
    pictures = []
    for row, target, model in zip(results, TARGETS, models, strict=True):
        row["reference_epochs"] = target.epochs
        row["reference_cpu_seconds"] = target.epochs * seconds
        row["ratio"] = target.epochs * seconds / row["cpu_seconds"]
        row["least_ratio"] = target.least_ratio
        row["met"] = row["worst_loss"] <= target.loss and row["ratio"] >= target.least_ratio
        if row["cpu_seconds"] in snapshots and target is not TARGETS[0]:  # which is as the second
            other = snapshots[row["cpu_seconds"]]
            pictures.append(looks(model, other, test, f"equal-time-{target.loss:g}"))
    return {
        "benchmark": "time_to_quality",
        "data": "cifar10-jpg",
        "n": {"train": len(images), "test": len(test)},
        "seeds": list(SEEDS),
        "unit": "process CPU seconds, one thread",
        "reference_epoch": seconds,
        "targets": list(results),
        "images_a_second": throughput.compared(images, pythae=pythae),
        "pictures": pictures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full-reference", type=int, default=0, metavar="EPOCHS")
    parser.add_argument("--pythae", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = arrays()
    pi.dataset(source)  # into the cache, before any clock starts
    if options.full_reference:
        name, result = "equal_loss", at_equal_loss(source, options.full_reference)
    else:
        name, result = "time_to_quality", benchmark(source, pythae=options.pythae)
    print(json.dumps(result, indent=1))
    print("written to", machine.write(name, result))


if __name__ == "__main__":
    main()
