"""Latents that jobs have found: each has an id, which stands in the address of a page."""

from __future__ import annotations

import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

FILE = "latents.safetensors"
IDS = re.compile(r"[0-9a-f]{18}")  # a job's, and which of its latents


def latent_id(job: str, row: int) -> str:
    return f"{job}{row:02x}"


def latent(jobs: Path, id: str) -> Tensor | None:
    """The latent (*space.shape) of that id, of the jobs in a folder; None where there is none."""
    if not IDS.fullmatch(id):
        return None
    try:
        rows = load_file(jobs / id[:16] / FILE)["z"]
    except (OSError, SafetensorError, KeyError):
        return None
    row = int(id[16:], 16)
    return rows[row] if row < len(rows) else None
