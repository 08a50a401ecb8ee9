"""Kill training with SIGKILL at random moments, and see that nothing is lost.

For each recipe one run is left in peace. Others, with the same seed, are killed again and again, at
moments drawn uniformly from the time that one took, and resumed, until they end. After every kill
the run must open: its model loads, or one line says that it has no weights yet. At the end its
weights must equal those of the undisturbed run bit for bit. A run that ends before its moment comes
is counted too, and the next one is killed in its place.

    python benchmarks/kill.py --kills 24 --out benchmarks/results/kill.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPES = {"vae-mlp": 600, "vae-conv": 150, "gan": 60, "vae-gan": 100}  # name → steps
PREIMAGE = [sys.executable, "-m", "preimage"]


def train(*arguments: object, patience: float | None = None) -> bool:
    """Run `preimage train`; kill it after `patience` seconds. Whether it ended by itself."""
    command = [*PREIMAGE, "train", *map(str, arguments), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, complaint = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {complaint.decode()}")
    return True


def opens(run: Path) -> bool:
    """Whether the model loads, or one line says why it cannot yet."""
    if not run.exists():
        return True  # killed before there was a run: nothing half-made stands in its place
    done = subprocess.run([*PREIMAGE, "sample", run, "-n", "1"], capture_output=True, text=True)
    if done.returncode == 0:
        return True
    one_line = done.returncode == 2 and done.stderr.count("\n") == 1
    return one_line and "no weights yet" in done.stderr


def trial(recipe: str, folder: Path, *, kills: int, numbers: random.Random) -> dict[str, object]:
    """One undisturbed run, and runs that are killed `kills` times in all."""
    options = ("digits", "--recipe", recipe, "--steps", RECIPES[recipe], "--device", "cpu")
    options += ("--validations", 6)
    whole = folder / recipe
    began = time.perf_counter()
    train(*options, "--out", whole)
    seconds = time.perf_counter() - began
    expected = (whole / "weights.safetensors").read_bytes()
    done = opened = equal = runs = 0
    moments: list[float] = []
    while done < kills:
        run = folder / f"{recipe}-{runs}"
        while True:
            start = ("--resume", run) if run.exists() else (*options, "--out", run)
            patience = numbers.uniform(0.1, 1.0) * seconds if done < kills else None
            if train(*start, patience=patience):
                break
            done += 1
            moments.append(round(patience or 0, 2))
            opened += opens(run)
        runs += 1
        equal += (run / "weights.safetensors").read_bytes() == expected
    return {
        "recipe": recipe,
        "steps": RECIPES[recipe],
        "seconds_undisturbed": round(seconds, 2),
        "kills": done,
        "killed_after_seconds": moments,
        "opened_after_kill": opened,
        "runs": runs,
        "equal_bit_for_bit": equal,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=24, help="in all, shared among the recipes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/kill.json"))
    options = parser.parse_args()
    numbers = random.Random(options.seed)
    each = -(-options.kills // len(RECIPES))
    with tempfile.TemporaryDirectory() as folder:
        trials = []
        for recipe in RECIPES:
            trials.append(trial(recipe, Path(folder), kills=each, numbers=numbers))
            print(json.dumps(trials[-1]), flush=True)
    result = {
        "commit": os.environ.get("COMMIT") or commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python "
        f"{platform.python_version()}",
        "kills": sum(int(str(one["kills"])) for one in trials),
        "opened": sum(int(str(one["opened_after_kill"])) for one in trials),
        "runs": sum(int(str(one["runs"])) for one in trials),
        "equal": sum(int(str(one["equal_bit_for_bit"])) for one in trials),
        "trials": trials,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print({name: result[name] for name in ("kills", "opened", "runs", "equal")})


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
