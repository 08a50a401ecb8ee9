"""What the closed-form start is worth to each recipe: held-out loss with it and without.

    PREIMAGE_REAL_DATA=… python benchmarks/closed_form_start.py

The same net, seed, images and steps; `linear=False` is the recipe as its paper has it, with neither
linear part nor start. Losses are the recipe's own (nats, or squared error), so rows are not to be
compared with each other.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any

import torch

import machine
import preimage as pi
from preimage.runs.training import new_trainer

LOOKS = 4  # at the held-out loss, after the first


@dataclass(frozen=True)
class Case:
    """A recipe on some images, for so many steps of its first stage."""

    data: str
    recipe: str
    steps: int


CASES = (
    Case("digits", "vae-mlp", 600),
    Case("digits", "vae-conv", 600),
    Case("digits", "vae-gan", 600),
    Case("digits", "ae", 600),
    Case("fashion-mnist", "vae-mlp", 400),
    Case("cifar10-jpg", "vae-conv", 200),
)


def images(name: str) -> pi.data.Dataset:
    folder = machine.real_data()
    sources = {"fashion-mnist": folder / "fashion-mnist.npz", "cifar10-jpg": folder / name}
    return pi.dataset(sources.get(name, name))


def losses(case: Case, data: pi.data.Dataset, *, linear: bool) -> dict[str, Any]:
    """Held-out loss by step, and CPU seconds."""
    plan = pi.plan(data, recipe=case.recipe, linear=linear).plan
    stage = replace(plan.stages[0], steps=case.steps)
    model = replace(plan.model, components=0)  # fitting the mixture prior is not the question
    start = time.process_time()
    trainer = new_trainer(
        replace(plan, model=model, stages=(stage,)), data, seed=0, device="cpu", validations=LOOKS
    )
    looks = [step for step in trainer if "heldout_loss" in step.metrics]
    return {
        "steps": [step.step for step in looks],
        "heldout_loss": [step.metrics["heldout_loss"] for step in looks],
        "cpu_seconds": time.process_time() - start,
    }


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for case in CASES:
        data = images(case.data)
        row = {"data": case.data, "recipe": case.recipe}
        row |= {
            "with": losses(case, data, linear=True),
            "without": losses(case, data, linear=False),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    result = {"benchmark": "closed_form_start", "rows": rows, "seed": 0}
    print("written to", machine.write("closed_form_start", result))


if __name__ == "__main__":
    main()
