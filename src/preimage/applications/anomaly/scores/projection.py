"""What has to change in an image until the model takes it for good.

    E(x) = ‖x − x̂(x)‖² / 2σ² + KL(q(z|x) ‖ p) + λ ‖x − x₀‖₁
    x ← x − α ∇E(x) ⊙ (x − x̂(x))²

Dehaene et al., "Iterative energy-based projection on a normal data manifold for anomaly
localization", 2020, equations 4–7: the image itself descends, from x₀, and only where it is redrawn
badly. What a plain reconstruction blurs stays sharp; what had to go is the anomaly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from preimage.applications.anomaly.images import Images, batches
from preimage.applications.anomaly.scores.model import Redrawing
from preimage.applications.anomaly.scores.score import Reading
from preimage.core import Unsupported
from preimage.inversion.operators import Blur

STEPS = 15
RATE = 0.5  # α, in units in which a good image's squared residual is 1
SPARSE = 0.05  # λ, likewise


class Projection:
    """log of the squared change, its mean and as a map."""

    def __init__(self, redrawing: Redrawing):
        model = redrawing.model
        if not model.can("encode") or model.conditional:
            raise Unsupported(
                "the anomaly score 'projection' descends through an encoder that needs no class, "
                "and this model has none; leave it out"
            )
        self.model = model
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        """Learns σ², the mean squared residual of good images."""
        with torch.no_grad():
            errors = [self._residual(x).square().mean((1, 2, 3)) for _, x in batches(images)]
        self.state = {"variance": torch.cat(errors).mean().clamp_min(1e-8)}

    def read(self, x: Tensor) -> Reading:
        σ2, start, now = self.state["variance"], x, x.clone()
        for _ in range(STEPS):
            with torch.enable_grad():
                now = now.detach().requires_grad_(True)
                q = self.model.encode(now.to(self.model.device))
                residual = now - self.model.decode(q.mean).to(now)
                misfit = residual.square().sum() / (2 * σ2) + q.kl().sum().to(now)
                energy = misfit + SPARSE / σ2.sqrt() * (now - start).abs().sum()
                (slope,) = torch.autograd.grad(energy, now)
            share = residual.detach().square() / σ2
            change = RATE * σ2 * slope * share.clamp_max(1)
            now = (now.detach() - change).clamp(-1, 1)
        squared = (now - start).square().mean(1, keepdim=True)
        maps = (Blur(1.0)(squared)[:, 0] + 1e-5).log()
        return Reading(squared.mean((1, 2, 3)).clamp_min(1e-9).log(), maps)

    def _residual(self, x: Tensor) -> Tensor:
        mean = self.model.encode(x.to(self.model.device)).mean
        return x - self.model.decode(mean).to(x)
