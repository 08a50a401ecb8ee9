"""How long a direction takes from 10,000 labelled latents of 128 numbers, with its validation.

    python benchmarks/directions.py [--quick]

Latents are N(0, I) moved by attributes that go together, as in the tests; one thread. Every method
is timed from latents and labels in memory to a `Direction` with its report; the joint one gives
the directions of all its attributes at once.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

import machine
from preimage.exploration.attributes import Attribute, attribute
from preimage.exploration.joint import fit_jointly
from preimage.exploration.labelled import METHODS, fit
from preimage.exploration.unlabelled import pca
from tables import Target, table

N, D, ATTRIBUTES = 10_000, 128, 20
TARGET = 1.0  # seconds


def planted() -> tuple[torch.Tensor, dict[str, Attribute], torch.Tensor]:
    """Latents, attributes of two values, and what the latent does for each (ATTRIBUTES, D)."""
    g = torch.Generator().manual_seed(0)
    common = torch.randn(N, 1, generator=g)
    x = (torch.randn(N, ATTRIBUTES, generator=g) + 0.7 * common > 0.5).double()
    B = torch.randn(ATTRIBUTES, D, generator=g).double() / D**0.5
    z = 2 * x @ B + 0.3 * torch.randn(N, D, generator=g)
    return z.float(), {f"a{i}": attribute(f"a{i}", x[:, i]) for i in range(ATTRIBUTES)}, B


def seconds(work: Callable[[], object], times: int) -> float:
    """The median wall time, after one run that imports what there is to import."""
    work()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def main() -> None:
    torch.set_num_threads(1)
    times = 1 if "--quick" in sys.argv else 5
    z, known, B = planted()
    first = known["a0"]
    rows = []
    for method in METHODS:
        cosine = torch.cosine_similarity(
            fit(z, first, model="m", method=method).vector.double(), B[0], dim=0
        )
        taken = seconds(lambda method=method: fit(z, first, model="m", method=method), times)
        rows.append({"method": method, "seconds": taken, "cosine": cosine.item(), "directions": 1})
    joint = fit_jointly(z, known, model="m")["a0"].vector.double()
    rows.append(
        {
            "method": "joint",
            "seconds": seconds(lambda: fit_jointly(z, known, model="m"), times),
            "cosine": torch.cosine_similarity(joint, B[0], dim=0).item(),
            "directions": ATTRIBUTES,
        }
    )
    rows.append(
        {
            "method": "pca",
            "seconds": seconds(lambda: pca(z, count=8, model="m"), times),
            "cosine": None,
            "directions": 8,
        }
    )
    result = {"benchmark": "directions", "latents": N, "numbers": D, "target": TARGET, "rows": rows}
    print(
        table(
            ["method", "directions", "seconds", "cosine to what was planted"],
            [
                [
                    row["method"],
                    str(row["directions"]),
                    f"{row['seconds']:.3f}",
                    "–" if row["cosine"] is None else f"{row['cosine']:.3f}",
                ]
                for row in rows
            ],
        )
    )
    worst = max(row["seconds"] for row in rows if row["directions"] == 1)
    print(table(["figure", "value", "bound", "met"], [Target("slowest", worst, TARGET).row()]))
    if times > 1:
        print("written to", machine.write("directions", result, rooms=("exploration", "metrics")))


if __name__ == "__main__":
    main()
