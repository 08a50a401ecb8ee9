"""What a latent model says of an image: what it cannot redraw, and how improbable its latent is.

Residuals of images and of features are those of Schlegl et al., "f-AnoGAN", 2019; the latent's
density is that of good images' latents, not the prior's, which a trained model does not keep to.
"""

from __future__ import annotations

import torch
from torch import Tensor

from preimage.applications.anomaly.images import Images, batches
from preimage.applications.anomaly.scores.score import Reading
from preimage.core import Gaussian, GaussianMixture, LatentModel, seeds
from preimage.inversion.inverter import Inverter
from preimage.inversion.operators import Blur


class Redrawing:
    """A model's latents and pictures of images, by its encoder or, without one, by inversion.

    The last batch is remembered, for several scores ask for the same one in turn.
    """

    def __init__(self, model: LatentModel):
        self.model = model.eval()
        self._inverter: Inverter | None = None
        self._last: tuple[Tensor, Gaussian, Tensor] | None = None

    @torch.no_grad()
    def __call__(self, x: Tensor) -> tuple[Gaussian, Tensor]:
        """Images (B, C, H, W) → the latents' Gaussian (B, d) and the model's pictures of them."""
        if self._last is None or self._last[0] is not x:
            self._last = (x, *self._redrawn(x))
        return self._last[1:]

    def _redrawn(self, x: Tensor) -> tuple[Gaussian, Tensor]:
        if self.model.can("encode") and not self.model.conditional:
            q = self.model.encode(x.to(self.model.device))
            flat = Gaussian(q.mean.flatten(1).cpu(), q.log_variance.flatten(1).cpu())
            return flat, self.model.decode(q.mean).float().cpu()
        with torch.enable_grad():
            self._inverter = self._inverter or Inverter(self.model)
            found = self._inverter.invert(x)
        z = found.z.flatten(1)
        return Gaussian(z, torch.full_like(z, -20.0)), found.images


class Reconstruction:
    """The squared residual: its mean, and log of it smoothed as a map."""

    def __init__(self, redrawing: Redrawing):
        self.redrawing = redrawing
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        """The model has learnt what there is to learn."""

    def read(self, x: Tensor) -> Reading:
        _, redrawn = self.redrawing(x)
        squared = (x - redrawn).square().mean(1, keepdim=True)
        maps = (Blur(1.0)(squared)[:, 0] + 1e-4).log()
        return Reading(squared.mean((1, 2, 3)).clamp_min(1e-9).log(), maps)


class FeatureResidual:
    """The squared distance of the model's own features of an image and of its picture of it."""

    def __init__(self, redrawing: Redrawing):
        self.redrawing = redrawing
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        """As above."""

    @torch.no_grad()
    def read(self, x: Tensor) -> Reading:
        _, redrawn = self.redrawing(x)
        model = self.redrawing.model
        f, g = (model.features(part.to(model.device)).cpu() for part in (x, redrawn))
        return Reading(scores=(f - g).flatten(1).square().mean(1).clamp_min(1e-9).log())


class Density:
    """−log p of the latent under a mixture fitted to good images' latents."""

    def __init__(self, redrawing: Redrawing):
        self.redrawing = redrawing
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        z = torch.cat([self.redrawing(x)[0].mean for _, x in batches(images)])
        d = z.shape[1]
        mixture = GaussianMixture(min(max(len(z) // (20 * d), 1), 8), d)
        mixture.fit(z, generator=seeds.generator(seed, "density"), ridge=1e-2)
        self.state = dict(mixture.state_dict())

    def read(self, x: Tensor) -> Reading:
        z = self.redrawing(x)[0].mean
        mixture = GaussianMixture(len(self.state["weights"]), z.shape[1])
        mixture.load_state_dict(self.state)
        return Reading(scores=-mixture.log_prob(z))
