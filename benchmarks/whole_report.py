"""How long a whole report takes: every score of 10,000 images of 32 × 32, on all processors.

    PREIMAGE_REAL_DATA=… python benchmarks/whole_report.py [--quick]

A `vae-conv` learns CIFAR-10 for a minute; then `evaluate` is timed on the 10,000 test images with
the model's own features, pictures and all, from opened data to the last score. Decoding the files
is not counted: it is done once for a data set. `--quick` takes 1,000 and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import preimage as pi
from preimage.api import basics
from preimage.core import Step
from preimage.runs.run import Run

RUN = Path(tempfile.gettempdir()) / "preimage-benchmarks" / "whole-report" / "cifar10"
IMAGES, MINUTES = 10_000, 1.0
ROOMS = ("core", "metrics", "evaluation", "api")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    data = machine.real_data() / "cifar10-jpg"
    if not (RUN / "weights.safetensors").exists():
        pi.train(data / "train", recipe="vae-conv", minutes=MINUTES, out=RUN, device="cpu")
    run = Run.open(RUN)
    basics.fitted(data / "test", run)
    basics.run_dataset(run)
    result = measured(data / "test", IMAGES // 10 if quick else IMAGES)
    print(result, file=sys.stderr)
    if not quick:
        machine.write("whole-report", {"benchmark": "whole-report", **result}, rooms=ROOMS)


def measured(images: Path, n: int) -> dict[str, Any]:
    """Seconds by the clock and of the processors, and the longest parts."""
    begun, cpu = time.perf_counter(), time.process_time()
    parts: dict[str, float] = {}
    last, stage = begun, "begin"

    def progress(step: Step) -> None:
        nonlocal last, stage
        now = time.perf_counter()
        parts[stage] = parts.get(stage, 0.0) + now - last
        last, stage = now, step.stage

    found = pi.evaluate(RUN, images, n=n, features="model", pictures=True, progress=progress)
    return {
        "n": n,
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - cpu,
        "scores": len(found.scores),
        "left_out": list(found.skipped),
        "parts": {name: seconds for name, seconds in parts.items() if seconds >= 1},
    }


if __name__ == "__main__":
    main()
