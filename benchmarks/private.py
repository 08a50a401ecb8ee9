"""What private training hides, and what it costs: membership attacked, plain and private.

`python benchmarks/private.py [--quick]`. A VAE is trained far too long on 2,000 digits, and again
privately, for some ε; each is attacked by reconstruction, calibrated by a reference that was
trained alike on 2,000 other digits. One image that is no digit is planted among those trained on.
Needs PREIMAGE_REAL_DATA (MNIST). Writes results/private.json and pictures.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import machine
from preimage.core import LatentModel
from preimage.data import Dataset, from_arrays
from preimage.evaluation.membership import Candidates, membership, reconstruction_errors
from preimage.metrics.reconstruction import mse
from preimage.pictures import pairs, png, sheet
from preimage.runs.training import new_trainer
from preimage.training.private_plan import private
from preimage.training.recipes import Facts, plan, scaled
from private_page import private_training

N, OTHERS, SEED = 2000, 2000, 0
STEPS = {"plain": 6000, "private": 500}
EPSILONS = (8.0, 1.0)
ROOMS = (*machine.DECIDING, "evaluation", "metrics")


def digits() -> tuple[Dataset, Dataset, np.ndarray]:
    """Digits to train on with one planted image, others for a reference, and new ones."""
    with np.load(machine.real_data() / "mnist.npz") as file:
        images = file["train_images"]
    order = np.random.default_rng(SEED).permutation(len(images))
    images = images[order][: 2 * N + OTHERS, None]
    first, second, new = np.split(images, [N, 2 * N])
    first[0, 0] = planted()
    return sided(first, new), sided(second, new), new


def planted() -> np.ndarray:
    """A chequered image, unlike any digit: (28, 28)."""
    rows, columns = np.indices((28, 28)) // 4
    return np.where((rows + columns) % 2, 255, 0).astype(np.uint8)


def sided(images: np.ndarray, new: np.ndarray) -> Dataset:
    """All of `images` to train on, and `new` held out."""
    data = from_arrays(np.concatenate([images, new]), name="digits")
    rows = np.arange(len(data))
    return replace(data, train=rows[: len(images)], heldout=rows[len(images) :])


def trained(data: Dataset, epsilon: float | None, quick: bool) -> tuple[LatentModel, dict]:
    """A model of these images, plain where there is no ε, and what there is to say of it."""
    planned = plan("vae-mlp", Facts(data.spec, N))
    kind = "plain" if epsilon is None else "private"
    if epsilon is not None:
        planned = private(planned, N, epsilon=epsilon, recipe="vae-mlp")
    planned = scaled(planned, steps=STEPS[kind] // (20 if quick else 1))
    began = time.process_time()
    # a run of its own keeps its best weights; here the last ones are wanted, over-trained
    trainer = new_trainer(planned, data, seed=SEED, device="cpu", precision="fp32", validations=1)
    trainer.method.begin()
    while trainer.step < trainer.total:
        trainer.advance()
    facts: dict[str, Any] = {"cpu_seconds": time.process_time() - began, "steps": trainer.total}
    if (promised := trainer.guarantee) is not None:
        stage = planned.stages[0]
        facts |= {"epsilon": promised.epsilon, "delta": promised.delta}
        facts |= {"noise_multiplier": trainer.stages[0].noise_multiplier}  # type: ignore[attr-defined]
        facts |= {"batch_size": stage.batch_size}
    return trainer.model.eval(), facts


def judged(epsilon: float | None, quick: bool) -> dict[str, Any]:
    """One row: the attack, the planted image, and the error on new digits."""
    data, others, _ = digits()
    model, facts = trained(data, epsilon, quick)
    reference, _ = trained(others, epsilon, quick)
    with torch.no_grad():
        return {**facts, **compared(model, reference, data, epsilon, quick)}


def compared(
    model: LatentModel, reference: LatentModel, data: Dataset, epsilon: float | None, quick: bool
) -> dict[str, Any]:
    """What tells a model's training images from new ones, beside a reference's."""
    members, new = data.batch(data.train), data.batch(data.heldout)
    found = membership(model, Candidates(members[1:], new), reference=reference, seed=SEED)
    chequers = members[:1]
    reconstructed = model.decode(model.encode(new).mean)
    name = "plain" if epsilon is None else f"{epsilon:g}"
    rows = {
        "digits trained on": members[1:11],
        "reconstructed": model.decode(model.encode(members[1:11]).mean),
        "new digits": new[:10],
        "reconstructed ": reconstructed[:10],
    }
    if not quick:
        (machine.RESULTS / f"private-{name}.png").write_bytes(png(pairs(rows)))
        samples = png(sheet(model.sample(40, seed=SEED), columns=10))
        (machine.RESULTS / f"private-{name}-samples.png").write_bytes(samples)
    return {
        "name": name,
        "auc": found.auc.to_json(),
        "detected": found.detected.to_json(),
        "error_members": mse(model.decode(model.encode(members[1:]).mean), members[1:])
        .mean()
        .item(),
        "error_new": mse(reconstructed, new).mean().item(),
        "planted": reconstruction_errors(model, chequers).item(),
        "planted_unseen": reconstruction_errors(reference, chequers).item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a twentieth of the steps; no file")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rows = [judged(epsilon, quick) for epsilon in (None, *EPSILONS)]
    result = {"benchmark": "private", "n": N, "others": OTHERS, "rows": rows}
    if not quick:
        machine.write("private", result, rooms=ROOMS)
    print(private_training([result]))


if __name__ == "__main__":
    main()
