"""What the sections of the demo's report are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from preimage.core import LatentModel
from preimage.data import Dataset
from preimage.runs.run import Run

SCALE = {"digits": 10, "faces": 2}  # of pixels, on the sheets


@dataclass(frozen=True)
class Material:
    """What the sections show."""

    data: Mapping[str, Dataset]  # "digits", "faces"
    models: Mapping[str, LatentModel]  # by the name of the job
    runs: Mapping[str, Run]
    seed: int
    effort: float = 1.0  # of which the length of training is scaled, and the number of examples

    def heldout(self, name: str, n: int) -> Tensor:
        """The first n held-out images (n, C, H, W) of a data set."""
        data = self.data[name]
        return data.batch(data.heldout[:n])
