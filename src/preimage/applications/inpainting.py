"""Inpainting: the part of an image that is missing, filled as the rest of it and the model suggest.

Yeh et al. 2017, "Semantic Image Inpainting with Deep Generative Models": the latent whose image is
nearest to the known pixels also draws the others. What is known may be weighted by how much of its
neighbourhood is missing (equation 3),

    W_i = Σ_{j ∈ N(i)} (1 − M_j) / |N(i)|,

so that what borders on the hole counts for more; and the filling is brought into line with what
surrounds it by Poisson blending (§3.4). Here the search is that of the whole posterior
(`restoration.py`), and what the generator leaves of the known pixels is continued into the hole as
the residuals of training images say. Known pixels come back as they were, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.applications.blending import continued, seamless
from preimage.applications.restoration import Restored, Restorer
from preimage.core import InputError, Step
from preimage.core.errors import nearest_name
from preimage.inversion.encoder import EncodedModel
from preimage.inversion.operators import Mask
from preimage.inversion.pivotal import PivotalTuning, applied

METHODS = ("model", "biharmonic", "harmonic", "mean")
BLENDS = ("poisson", "none")
FAR = 0.02  # weight of known pixels that border on nothing missing, where context is asked for
RATE = 5e-4  # of pivotal tuning


@dataclass(frozen=True)
class Inpainter:
    """How holes are filled."""

    restorer: Restorer
    blend: str = "poisson"
    context: int = 0  # pixels across the neighbourhood of Yeh et al.; 0 weighs all known alike
    tune: int = 0  # steps of pivotal tuning to the known pixels of each image

    def __post_init__(self) -> None:
        if self.blend not in BLENDS:
            raise InputError(f"no blend '{self.blend}'; {nearest_name(self.blend, BLENDS)}")
        if self.context < 0 or self.tune < 0:
            raise InputError("context= or tune= is below 0; give 0 or more")

    def inpaint(
        self,
        x: Tensor,  # (B, C, H, W) in [−1, 1]; what stands in the holes is not looked at
        hole: Tensor,  # (1 or B, 1, H, W) bool: what is missing
        labels: Tensor | None = None,  # (B,), of a conditional model
        *,
        n: int = 1,
        scale: float = 1.0,
        progress: Callable[[Step], None] | None = None,
    ) -> Restored:
        """n fillings of each image, the posterior's mean in the holes, and how sure that is."""
        hole = hole[:1] if (hole == hole[:1]).all() else hole  # one for all is quicker
        through = Mask(self.weights(hole))
        found = self.restorer.restore(
            torch.where(hole, 0, x), through, labels, n=n, scale=scale, progress=progress
        )
        if self.tune:
            found = self._tuned(found, x, hole, progress)
        many = hole.expand(len(x), -1, -1, -1)
        images = self.filled(found.images, x, many)
        fillings = torch.stack([self.filled(part, x, many) for part in found.fillings.unbind(1)], 1)
        return replace(
            found,
            given=x,
            images=images,
            fillings=fillings,
            uncertainty=found.uncertainty * many,
            low=torch.where(many, found.low, x),
            high=torch.where(many, found.high, x),
        )

    def scale(self, hole: Tensor, *, progress: Callable[[Step], None] | None = None) -> float:
        """By how much bands are to be widened in such holes (1 or B, 1, H, W)."""
        hole = hole[:1] if (hole == hole[:1]).all() else hole
        return self.restorer.scale(Mask(self.weights(hole)), progress=progress)

    def weights(self, hole: Tensor) -> Tensor:
        """How much each pixel counts in the search: (1 or B, 1, H, W) in [0, 1], 0 in holes."""
        known = (~hole).float()
        if not self.context:
            return known
        W = context_weights(hole, self.context)
        return known * (FAR + (1 - FAR) * W / W.amax((2, 3), keepdim=True).clamp_min(1e-12))

    def filled(self, filling: Tensor, x: Tensor, hole: Tensor) -> Tensor:
        """Images (B, C, H, W) with a filling in the holes (B, 1, H, W), blended."""
        if self.blend == "poisson":
            filling = torch.stack([
                _blended(*row) for row in zip(filling, x, hole[:, 0].cpu().numpy(), strict=True)
            ])  # fmt: skip
        return torch.where(hole, filling.clamp(-1, 1), x)

    def _tuned(
        self,
        found: Restored,
        x: Tensor,
        hole: Tensor,
        progress: Callable[[Step], None] | None,
    ) -> Restored:
        """The fillings of generators that were taught the known pixels, each its image's."""
        model = self.restorer.ready.model
        generator = model.generator if isinstance(model, EncodedModel) else model
        known = ~hole.expand(len(x), -1, -1, -1)
        fillings = []
        for i, z in enumerate(found.z):
            label = None if found.labels is None else found.labels[i : i + 1]
            tuning = PivotalTuning(
                generator, x[i : i + 1], z[:1], seen=known[i : i + 1], labels=label,
                steps=self.tune, learning_rate=RATE, features=0.0, seed=self.restorer.seed,
            )  # fmt: skip
            for step in tuning:
                if progress is not None:
                    progress(step)
            with applied(generator, tuning.difference()), torch.no_grad():
                y = None if label is None else label.expand(len(z)).to(generator.device)
                fillings.append(generator.decode(z.to(generator.device), y).float().cpu())
        filled = torch.stack(fillings)
        return replace(found, fillings=filled, images=filled[:, 0], drawn=filled[:, 0])


def context_weights(hole: Tensor, width: int) -> Tensor:
    """W of Yeh et al.: the share of the width × width around each known pixel that is missing.

    hole: (B, 1, H, W) bool → (B, 1, H, W); 0 in the hole. Beyond the image nothing is missing.
    """
    radius = width // 2
    size = 2 * radius + 1
    share = F.avg_pool2d(hole.float(), size, stride=1, padding=radius, count_include_pad=False)
    return share * ~hole


def classical(method: str, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """An image (H, W, C) with its hole (H, W) filled without a model: float64.

    method: "mean" of what is known; "harmonic", a membrane; "biharmonic", a thin plate.
    """
    if method == "mean":
        known = image[~hole].astype(np.float64).mean(0)
        return np.where(hole[..., None], known, image)
    filled = continued(image, hole, order=1 if method == "harmonic" else 2)
    known = image[~hole]
    return np.where(hole[..., None], filled.clip(known.min(0), known.max(0)), image)


def classically(method: str, x: Tensor, hole: Tensor) -> Tensor:
    """The same of images (B, C, H, W) in [−1, 1], with holes (1 or B, 1, H, W)."""
    rows = []
    for image, missing in zip(x, hole.expand(len(x), -1, -1, -1), strict=True):
        filled = classical(method, image.permute(1, 2, 0).numpy(), missing[0].numpy())
        rows.append(torch.from_numpy(filled).permute(2, 0, 1).to(x))
    return torch.where(hole, torch.stack(rows).clamp(-1, 1), x)


def _blended(filling: Tensor, x: Tensor, hole: np.ndarray) -> Tensor:
    g, image = (part.permute(1, 2, 0).numpy() for part in (filling, x))
    return torch.from_numpy(seamless(g, image, hole)).permute(2, 0, 1).to(x)
