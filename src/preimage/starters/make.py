"""Train the runs that ship: `python -m preimage.starters.make [--out FOLDER]`.

About twenty minutes of one processor. The faces are drawn with age, glasses and grey hair going
together, as they do in people; the directions are conditioned on each other, so that a slider
moves one thing.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import preimage as pi
from preimage.nets import MLP, Residual
from preimage.runs.files import write_json
from preimage.runs.run import Run
from preimage.starters import NAMES, SHIPPED

TRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "faces": (
        "faces:20000:correlated",
        {
            "recipe": "vae-conv",
            "net": Residual(24, widest=96, blocks=1, dense=128),
            "linear": True,  # the net begins where principal components end
            "latent": 40,
            "components": 100,
            "sigma": 0.1,
            "batch_size": 64,
            "learning_rate": 1.5e-3,
            "flip": False,
            "steps": 3200,
        },
    ),
    "digits": (
        "digits",
        {
            "recipe": "vae-2d",
            "net": MLP((256, 128)),
            "linear": False,
            "batch_size": 64,
            "learning_rate": 3e-3,
            "steps": 2500,
        },
    ),
}
SHOWN = {"faces": "faces:2000:correlated", "digits": "digits"}
"""What the map shows: fewer faces than were learned from, for they are drawn on opening."""
LABELLED = "faces:10000:correlated"  # what the directions are learned from


def make(name: str, out: Path) -> Path:
    """Train one run and keep what ships of it in `out/name`."""
    source, options = TRAINED[name]
    with tempfile.TemporaryDirectory() as scratch:
        run = pi.train(source, out=Path(scratch) / name, seed=0, device="cpu", **options)
        slim = slimmed(run, out / name, shown=SHOWN[name])
    if name == "faces":
        pi.save_directions(slim.path, list(pi.directions(slim.path, images=LABELLED).values()))
    return slim.path


def slimmed(run: Run, there: Path, *, shown: str) -> Run:
    """A run of `shown` with these weights in half precision, and nothing of its training."""
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir(parents=True)
    data = pi.dataset(shown)
    facts = run.config["data"] | {
        "source": shown,
        "fingerprint": data.fingerprint,
        "train": len(data.train),
        "heldout": len(data.heldout),
    }
    write_json(there / "config.json", run.config | {"data": facts})
    weights = load_file(run.weights)
    slim = Run.open(there)
    slim.save_weights({k: v.half() if v.is_floating_point() else v for k, v in weights.items()})
    return slim


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("names", nargs="*", default=NAMES)
    args = parser.parse_args()
    for name in args.names:
        torch.manual_seed(0)
        print(make(name, args.out), flush=True)


if __name__ == "__main__":
    main()
