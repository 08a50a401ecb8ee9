"""What a figure was measured on, and when: shared by every benchmark."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
EXTENSIONS = ("avx512_f", "avx512_bf16", "amx_bf16")  # that one processor has and its like has not
DECIDING = ("core", "data", "nets", "models", "training")  # rooms a trained model depends on


def real_data() -> Path:
    """The folder of real data and third-party models that PREIMAGE_REAL_DATA names."""
    folder = os.environ.get("PREIMAGE_REAL_DATA")
    if not folder:
        raise SystemExit("set PREIMAGE_REAL_DATA to the folder of real data; see CONTRIBUTING.md")
    return Path(folder)


def commit(rooms: Sequence[str] = DECIDING) -> str:
    """The last commit that touched these rooms; "+" where files differ."""
    paths = [f"src/preimage/{room}" for room in rooms]
    name = _git("log", "-1", "--format=%h", "--", *paths)
    return name + ("+" if _git("status", "--porcelain", "--", *paths) else "")


def machine() -> dict[str, Any]:
    """Processor, which of `EXTENSIONS` it has, cores, threads and versions."""
    has = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "processor": _processor(),
        "extensions": [name for name in EXTENSIONS if has.get(name)],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write(name: str, result: dict[str, Any], *, rooms: Sequence[str] = DECIDING) -> Path:
    """Write one result to results/NAME.json, stamped with commit, machine and date."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    stamp = {"date": datetime.now(UTC).date().isoformat(), "commit": commit(rooms)}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**result, **stamp, "machine": machine()}, indent=1) + "\n")
    return path


def read(name: str) -> dict[str, Any] | None:
    """The result of that name, if there is one."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
