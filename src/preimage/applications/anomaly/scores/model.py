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
from preimage.inversion.settings import Settings

ROUGHLY = Settings(start="mean", method="l-bfgs", steps=10)  # within some 3 % of the least error


class Redrawing:
    """A model's latents and pictures of images, by its encoder or, without one, by inversion.

    Of an image like none that it has learnt from, an encoder may say anything, and the picture of
    that is noise all over. So latents farther out than those of all good images are searched for.
    The last batch is remembered, for several scores ask for the same one in turn.
    """

    def __init__(self, model: LatentModel):
        self.model = model.eval()
        self.bound: dict[str, Tensor] = {}  # of good images' latents: their centre, and their reach
        self._inverter: Inverter | None = None
        self._encoded: tuple[Tensor, Gaussian] | None = None
        self._drawn: tuple[Tensor, Tensor] | None = None

    def learn(self, images: Images) -> None:
        """Find out how far good images' latents reach."""
        z = torch.cat([self.latents(x).mean for _, x in batches(images)])
        centre = z.mean(0)
        self.bound.update(centre=centre, reach=(z - centre).norm(dim=1).max())
        self._drawn = None

    @torch.no_grad()
    def latents(self, x: Tensor) -> Gaussian:
        """Images (B, C, H, W) → the Gaussian of their flat latents (B, d)."""
        if self._encoded is None or self._encoded[0] is not x:
            if self._encodes:
                q = self.model.encode(x.to(self.model.device))
                found = Gaussian(q.mean.flatten(1).cpu(), q.log_variance.flatten(1).cpu())
            else:
                z = self._searched(x, Settings())
                found = Gaussian(z, torch.full_like(z, -20.0))
            self._encoded = (x, found)
        return self._encoded[1]

    @torch.no_grad()
    def pictures(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) → the model's pictures of them, likewise."""
        if self._drawn is None or self._drawn[0] is not x:
            z = self.latents(x).mean.clone()
            far = self._strays(z) if self._encodes else z.new_zeros(len(z), dtype=torch.bool)
            if far.any():
                z[far] = self._searched(x[far], ROUGHLY)
            z = z.to(self.model.device).reshape(len(z), *self.model.space.shape)
            self._drawn = (x, self.model.decode(z).float().cpu())
        return self._drawn[1]

    @property
    def _encodes(self) -> bool:
        return self.model.can("encode") and not self.model.conditional

    def _strays(self, z: Tensor) -> Tensor:
        """Which latents (B, d) are farther out than those of all good images, or no numbers."""
        if not self.bound:
            return ~z.isfinite().all(1)
        return ~((z - self.bound["centre"]).norm(dim=1) <= self.bound["reach"])

    def _searched(self, x: Tensor, settings: Settings) -> Tensor:
        with torch.enable_grad():
            self._inverter = self._inverter or Inverter(self.model)
            return self._inverter.invert(x, settings=settings).z.flatten(1)


class Redrawn:
    """A score of the model's pictures, which knows how far good images' latents reach."""

    def __init__(self, redrawing: Redrawing):
        self.redrawing = redrawing
        self.state = redrawing.bound  # the very same: several such scores learn it together

    def fit(self, images: Images, *, seed: int = 0) -> None:
        """What there is to learn of images the model has learnt."""
        self.redrawing.learn(images)


class Reconstruction(Redrawn):
    """The squared residual: its mean, and log of it smoothed as a map."""

    def read(self, x: Tensor) -> Reading:
        squared = (x - self.redrawing.pictures(x)).square().mean(1, keepdim=True)
        maps = (Blur(1.0)(squared)[:, 0] + 1e-4).log()
        return Reading(squared.mean((1, 2, 3)).clamp_min(1e-9).log(), maps)


class FeatureResidual(Redrawn):
    """The squared distance of the model's own features of an image and of its picture of it."""

    @torch.no_grad()
    def read(self, x: Tensor) -> Reading:
        pictures, model = self.redrawing.pictures(x), self.redrawing.model
        f, g = (model.features(part.to(model.device)).cpu() for part in (x, pictures))
        return Reading(scores=(f - g).flatten(1).square().mean(1).clamp_min(1e-9).log())


class Density:
    """−log p of the latent under a mixture fitted to good images' latents."""

    def __init__(self, redrawing: Redrawing):
        self.redrawing = redrawing
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        z = torch.cat([self.redrawing.latents(x).mean for _, x in batches(images)])
        d = z.shape[1]
        mixture = GaussianMixture(min(max(len(z) // (20 * d), 1), 8), d)
        mixture.fit(z, generator=seeds.generator(seed, "density"), ridge=1e-2)
        self.state = dict(mixture.state_dict())

    def read(self, x: Tensor) -> Reading:
        z = self.redrawing.latents(x).mean
        mixture = GaussianMixture(len(self.state["weights"]), z.shape[1])
        mixture.load_state_dict(self.state)
        return Reading(scores=-mixture.log_prob(z))
