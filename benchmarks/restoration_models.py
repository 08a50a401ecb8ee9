"""The models that restoration is measured with, and the images that they are measured on.

Ours are trained here, on training images alone, for a minute or so each, and kept. Of ORL, people 1
to 30 are for training and 31 to 40 for testing; of the drawn faces the testing ones are drawn anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import generators
import machine
import preimage as pi
from preimage.api.restorations import restorer
from preimage.applications.restoration import Restorer
from preimage.data import faces

WORK = Path(tempfile.gettempdir()) / "preimage-benchmarks" / "restoration"
SKIPPED = 500  # first held-out images, by which bands may be calibrated
PEOPLE = 30  # of ORL's 40 that are trained on
FACES_SEED = 31  # of drawn faces that no training set holds


@dataclass(frozen=True)
class Subject:
    """A model made ready, and images that nothing was chosen on."""

    name: str
    what: str
    worker: Restorer
    images: Tensor  # (N, C, H, W) in [−1, 1], of 8 bits
    identity: bool = False  # whether the judge of digits has a word


def subject(name: str, n: int) -> Subject:
    return SUBJECTS[name](name, n)


def digits(name: str, n: int, *, latent: int = 24, steps: int = 2500) -> Subject:
    """`vae-mlp` on MNIST or Fashion-MNIST; tested on test images."""
    source = str(machine.real_data() / f"{name}.npz")
    run = trained(f"{name}-{steps}", source, recipe="vae-mlp", latent=latent, steps=steps)
    x = generators.digits(name, SKIPPED + n)[SKIPPED:]
    what = f"`vae-mlp`, {latent} latents, {steps} steps; test images"
    return Subject(name, what, restorer(run), x, identity=name == "mnist")


def orl(name: str, n: int) -> Subject:
    """`vae-pca` on 300 photographs of 30 people; tested on the other ten."""
    folder = machine.real_data() / "orl-faces"
    source = WORK / "orl-people"
    for i in range(1, PEOPLE + 1):
        if not (source / f"s{i}").exists():
            (source / f"s{i}").parent.mkdir(parents=True, exist_ok=True)
            (source / f"s{i}").symlink_to(folder / f"s{i}")
    options = {"data": {"size": 64, "channels": 1}, "latent": 32, "steps": 400}
    run = trained("orl-400", str(source), recipe="vae-pca", **options)
    others = [pi.images(folder / f"s{i}", pi.load(run).data) for i in range(PEOPLE + 1, 41)]
    x = torch.stack(others, 1).flatten(0, 1)[:n]  # a picture of each, another of each, …
    return Subject(name, "`vae-pca`, 32 latents, 400 steps, people 1–30; people 31–40",
                   restorer(run), x)  # fmt: skip


def drawn(name: str, n: int) -> Subject:
    """`vae-pca` on drawn faces; tested on others."""
    options = {"latent": 40, "axes": 384, "steps": 900, "flip": False}
    run = trained("faces-900", "faces:4000:correlated", recipe="vae-pca", **options)
    pixels = faces.render(faces.sample(n, seed=FACES_SEED, correlated=True))
    x = torch.from_numpy(pixels).float() / 127.5 - 1
    return Subject(name, "`vae-pca`, 40 latents, 900 steps; faces drawn anew",
                   restorer(run, starts=4, samples=32), x)  # fmt: skip


def others(name: str, n: int, *, generator: str, what: str) -> Subject:
    """A model that others trained, on images of its own, since it has no discrepancy there."""
    found = generators.generator(generator)
    x = found.model.sample(n, seed=generators.TARGETS)
    x = ((x + 1) * 127.5).round() / 127.5 - 1
    return Subject(name, what, restorer(found.model, starts=12), x, identity="mnist" in generator)


def trained(name: str, source: str, **options: object) -> Path:
    """The folder of a run, trained if it was not."""
    run = WORK / name
    if not (run / "weights.safetensors").exists():
        pi.train(source, out=run, seed=0, device="cpu", validations=1, **options)
    return run


SUBJECTS: dict[str, Callable[[str, int], Subject]] = {
    "mnist": digits,
    "fashion-mnist": digits,
    "faces": drawn,
    "orl": orl,
    "other-celeba": partial(
        others, generator="other-celeba-vae", what="others' VAE of CelebA, 10 latents; its samples"
    ),
    "other-mnist": partial(
        others, generator="other-mnist-vae", what="others' VAE of MNIST, 20 latents; its samples"
    ),
}
