"""A better map than the first one, made beside the studio: `python -m preimage.studio.placing F`.

It takes a process of its own with low priority, so that no picture waits for it. It reads the
points that the studio has put into the folder, and leaves positions and how good they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from preimage.exploration.maps import latent_map
from preimage.runs.files import write_bytes, write_json
from preimage.studio.points import PLACED_BY, about_path, positions_path


def place(folder: Path, method: str) -> None:
    """Make the map of a folder's points, and write it there."""
    x = torch.from_numpy(np.load(folder / PLACED_BY))
    found = latent_map(x, method=method)
    write_bytes(positions_path(folder, method), found.positions.numpy().astype("<f4").tobytes())
    write_json(about_path(folder, method), found.to_json())


def main(arguments: list[str]) -> None:
    with contextlib.suppress(AttributeError, OSError):
        os.nice(15)
    torch.set_num_threads(1)
    place(Path(arguments[0]), arguments[1])
    print(json.dumps({"done": arguments[1]}))


if __name__ == "__main__":
    main(sys.argv[1:])
