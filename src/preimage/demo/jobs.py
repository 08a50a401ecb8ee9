"""What the demo trains: four models, in about two minutes of one processor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preimage.api import basics
from preimage.nets import MLP
from preimage.runs.training import Training

FACES = "faces:8000:correlated"


@dataclass(frozen=True)
class Job:
    """One model to train; its run is the folder `runs/NAME`."""

    name: str
    title: str  # for people
    source: str
    recipe: str
    steps: int
    seconds: int  # its share of the time: measured, of one processor
    threads: int | None = None  # to compute with; all there are where None
    options: Mapping[str, Any] = field(default_factory=dict)

    def training(self, folder: Path, *, effort: float, **settings: Any) -> Training:
        """Set the run up; fewer steps for less effort."""
        steps = max(2, round(self.steps * effort))
        return basics.training(
            self.source,
            recipe=self.recipe,
            out=folder / self.name,
            steps=steps,
            **settings,
            **self.options,
        )


# Images of 8×8 pixels are too little work to share: threads would only wait for each other.
JOBS: tuple[Job, ...] = (
    Job("digits", "VAE on digits", "digits", "vae-gan", steps=700, seconds=16, threads=1),
    Job("digits-gan", "GAN on digits", "digits", "gan", steps=800, seconds=19, threads=1),
    Job(
        "digits-2d",
        "VAE of two numbers",
        "digits",
        "vae-2d",
        steps=2500,
        seconds=11,
        threads=1,
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
        steps=1400,
        seconds=70,
        options={
            "axes": 512,
            "latent": 32,  # eighteen factors, some of which take more than one number
            "sigma": 0.5,  # a coarse likelihood keeps the codes near their prior
            "components": 100,
            "batch_size": 256,
            "learning_rate": 3e-3,
            "start_rate": 0.3,
            "clip": 1000.0,
        },
    ),
)
