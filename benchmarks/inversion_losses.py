"""What each loss is good and bad at, and what a search adds to an encoder.

    python benchmarks/inversion_losses.py

The demo's VAE of the built-in faces, and faces it was not trained on: as they are, with a tenth of
their pixels black or white, noisy, and half in shadow. Every loss looks for the latent of what it
is shown, and is judged by the face as it was. Everything is drawn by this package, so no other
data are needed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import machine
import preimage as pi
from preimage.demo.jobs import FACES, JOBS
from preimage.inversion.terms import SSIM
from preimage.pictures import pairs, png

N, SHOWN = 24, 8
WORK = Path(tempfile.gettempdir()) / "preimage-benchmarks" / "losses"

LOSSES: dict[str, dict[str, Any]] = {
    "l2": {"loss": "l2"},
    "l2, with prior": {"loss": "l2", "prior": {"density": 0.02}},
    "l1": {"loss": "l1"},
    "huber": {"loss": "huber"},
    "pyramid": {"loss": "pyramid"},
    "ssim": {"loss": "ssim"},
    "features": {"loss": "features"},
    "l2 + features": {"loss": {"l2": 1.0, "features": 0.1}},
}


def outliers(x: Tensor, random: torch.Generator) -> Tensor:
    u = torch.rand(len(x), 1, *x.shape[2:], generator=random)
    return torch.where(u < 0.05, -1.0, torch.where(u > 0.95, 1.0, x))


def noisy(x: Tensor, random: torch.Generator) -> Tensor:
    return x + 0.3 * torch.randn(x.shape, generator=random)


def shadowed(x: Tensor, random: torch.Generator) -> Tensor:
    dark = torch.ones(x.shape[2:])
    dark[:, : x.shape[3] // 2] = 0.6
    return (x + 1) * dark - 1


SHOWN_AS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "as it is": lambda x, random: x,
    "outliers": outliers,
    "noise": noisy,
    "shadow": shadowed,
}

SEARCHES: dict[str, dict[str, Any]] = {
    "encoder alone": {"method": "encoder"},
    "encoder, then search": {"start": "encoder"},
    "search from the cascade": {},
    "Adam from the encoder": {"method": "adam", "start": "encoder", "steps": 300},
    "Adam from the mean": {"method": "adam", "start": "mean", "steps": 300},
}


def similarity(a: Tensor, b: Tensor) -> float:
    """Mean structural similarity of images, 1 for equal ones."""
    term = SSIM()
    return float(1 - term.loss(a, term.prepare(b)).mean())


def root_mean_square(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().flatten(1).mean(1).sqrt().mean())


def measured(found: pi.Inversion, truth: Tensor, seconds: float) -> dict[str, float]:
    return {
        "rms": root_mean_square(found.images, truth),
        "ssim": similarity(found.images, truth),
        "latent_norm": float(found.z.norm(dim=1).mean()),
        "images_a_second": len(truth) / seconds,
    }


def timed(ready: pi.Inverter, x: Tensor, **options: Any) -> tuple[pi.Inversion, float]:
    for _ in ready.prepare(pi.Settings.of(**options)):
        pass
    start = time.process_time()
    found = pi.invert(ready, x, batch_size=N, **options)
    return found, time.process_time() - start


def model_of_faces() -> tuple[Path, Tensor]:
    """The demo's run, trained once, and faces that it was not trained on."""
    job = next(job for job in JOBS if job.name == "faces")
    if not (WORK / "faces" / "weights.safetensors").exists():
        for _ in job.training(WORK, effort=1, seed=0, device="cpu"):
            pass
    data = pi.dataset(FACES)
    return WORK / "faces", data.batch(data.heldout[:N])


def main() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    run, faces = model_of_faces()
    ready = pi.inverter(run)
    losses: dict[str, dict[str, dict[str, float]]] = {}
    pictures: dict[str, dict[str, Tensor]] = {}
    for spoilt, spoil in SHOWN_AS.items():
        x = spoil(faces, torch.Generator().manual_seed(0)).clamp(-1, 1)
        pictures[spoilt] = {"face": faces[:SHOWN], "shown": x[:SHOWN]}
        for name, options in LOSSES.items():
            found, seconds = timed(ready, x, start="encoder", **options)
            losses.setdefault(name, {})[spoilt] = measured(found, faces, seconds)
            pictures[spoilt][name] = found.images[:SHOWN]
            print(spoilt, name, losses[name][spoilt], flush=True)
    searches = {}
    for name, options in SEARCHES.items():
        found, seconds = timed(ready, faces, **options)
        searches[name] = measured(found, faces, seconds)
        print(name, searches[name], flush=True)
    for spoilt in ("outliers", "shadow"):
        drawn = png(pairs(pictures[spoilt], scale=2))
        (machine.RESULTS / f"inversion_losses-{spoilt}.png").write_bytes(drawn)
    machine.write(
        "inversion_losses",
        {
            "benchmark": "inversion_losses",
            "n": N,
            "seeds": {"spoiling": 0, "training": 0},
            "losses": losses,
            "searches": searches,
        },
        rooms=(*machine.DECIDING, "inversion"),
    )


if __name__ == "__main__":
    main()
