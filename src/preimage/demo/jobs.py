"""What the demo trains: four models, in about a minute and a half of two processors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preimage import api
from preimage.nets import MLP
from preimage.runs.training import Training

FACES = "faces:6000:correlated"


@dataclass(frozen=True)
class Job:
    """One model to train; its run is the folder `runs/NAME`."""

    name: str
    title: str  # for people
    source: str
    recipe: str
    steps: int
    seconds: int  # its share of the time, of one processor
    options: Mapping[str, Any] = field(default_factory=dict)

    def training(self, folder: Path, *, effort: float, **settings: Any) -> Training:
        """Set the run up; fewer steps for less effort."""
        steps = max(2, round(self.steps * effort))
        return api.training(
            self.source,
            recipe=self.recipe,
            out=folder / self.name,
            steps=steps,
            **settings,
            **self.options,
        )


# The drawn faces are all in one place, so nets along principal axes learn them quickly.
_FACES_NET = MLP((512,), blocks=2)

JOBS: tuple[Job, ...] = (
    Job("digits", "VAE on digits", "digits", "vae-gan", steps=700, seconds=14),
    Job("digits-gan", "GAN on digits", "digits", "gan", steps=800, seconds=18),
    Job(
        "digits-2d",
        "VAE of two numbers",
        "digits",
        "vae-2d",
        steps=3000,
        seconds=13,
        options={
            "net": MLP((256, 128)),
            "linear": False,  # a plane is too small for a linear map of the digits to help
            "batch_size": 64,
            "learning_rate": 3e-3,
        },
    ),
    Job(
        "faces",
        "VAE on faces",
        FACES,
        "vae-pca",
        steps=900,
        seconds=60,
        options={
            "net": _FACES_NET,
            "gated": False,
            "latent": 32,
            "axes": 512,
            "components": 100,
            "batch_size": 256,
            "learning_rate": 2e-3,
            "sigma": 0.2,
            "flip": False,
        },
    ),
)
