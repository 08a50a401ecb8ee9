"""The density ratio of a run's real images to its samples, kept in RUN/ratio.safetensors.

The file names the weights, the prior and the seed it was fitted for; for others, it is fitted anew.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from preimage.core import InputError
from preimage.exploration.ratio import FEATURES, Calibration, DensityRatio
from preimage.runs.files import write_bytes

FORMAT = 1
FILE = "ratio.safetensors"


def save_ratio(run: Path, ratio: DensityRatio, **belongs: str) -> None:
    """Keep a ratio, and what it belongs to; a folder that cannot be written is left alone."""
    facts = {
        "format": str(FORMAT),
        "kind": ratio.kind,
        "ridge": repr(ratio.ridge),
        "calibration": json.dumps(asdict(ratio.calibration)),
        "belongs": json.dumps(belongs, sort_keys=True),
    }
    tensors = {"weights": ratio.weights, "offset": ratio.offset, "sampled": ratio.sampled}
    content = save({k: t.cpu().contiguous() for k, t in tensors.items()}, metadata=facts)
    with contextlib.suppress(InputError):  # a run may be read from where nothing can be written
        write_bytes(run / FILE, content)


def load_ratio(run: Path, **belongs: str) -> DensityRatio | None:
    """What was kept for just this; None where there is nothing that fits, or it is broken."""
    path = run / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("format") != str(FORMAT) or json.loads(facts["belongs"]) != belongs:
                return None
            tensors = {name: file.get_tensor(name) for name in ("weights", "offset", "sampled")}
        report = Calibration(**json.loads(facts["calibration"]))
        found = DensityRatio(
            kind=facts["kind"], ridge=float(facts["ridge"]), calibration=report, **tensors
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
    sound = (
        found.kind in FEATURES
        and [t.ndim for t in tensors.values()] == [1, 0, 1]
        and all(t.numel() and torch.isfinite(t).all() for t in tensors.values())
    )
    return found if sound else None
