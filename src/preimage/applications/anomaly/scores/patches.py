"""How unusual each patch of an image is: the Mahalanobis distance of its pixels.

    m(p) = Σᵢ (vᵢᵀ p)² / (λᵢ + ε),    λ, v the eigenvalues and eigenvectors of good patches

Mahalanobis 1936. As a bank of convolutions vᵢ / √(λᵢ + ε) it costs no more than a layer. Good
patches of a surface are much alike, so a few images are enough.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.applications.anomaly.images import Images, batches
from preimage.applications.anomaly.normalise import normalised
from preimage.applications.anomaly.scores.score import Reading
from preimage.core import seeds
from preimage.inversion.operators import Blur

PATCHES = 60_000  # drawn to learn from
RIDGE = 0.05  # ε, of the mean eigenvalue


class Patches:
    """log m of the patch about every pixel, at a reduced size, with uneven light taken out."""

    def __init__(self, *, side: int = 8, reduce: int = 2, light: float = 12.0):
        """
        side: of a patch, in pixels of the reduced image.
        reduce: how many times smaller images are made first; 1 for small images.
        light: σ in pixels of what counts as uneven light; 0 leaves images as they are.
        """
        self.side, self.reduce, self.light = side, reduce, light
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        generator, p = seeds.generator(seed, "patches"), self.side
        each = -(-PATCHES // len(images))
        drawn = []
        for _, x in batches(images):
            u = self.prepared(x)
            n = (u.shape[2] - p + 1) * (u.shape[3] - p + 1)
            columns = F.unfold(u, p)  # (B, C p², n)
            some = torch.rand(len(u), n, generator=generator).argsort(1)[:, :each]
            index = some[:, None].expand(-1, columns.shape[1], -1)
            drawn.append(columns.gather(2, index).transpose(1, 2).flatten(0, 1))
        P = torch.cat(drawn).double()
        λ, V = torch.linalg.eigh(P.T.cov(correction=0))
        bank = V / (λ + RIDGE * λ.mean()).clamp_min(1e-12).sqrt()
        channels = bank.shape[0] // p**2
        self.state = {
            "bank": bank.T.reshape(-1, channels, p, p).float().contiguous(),
            "offset": (bank.T @ P.mean(0)).float(),
        }

    def prepared(self, x: Tensor) -> Tensor:
        """Images as the patches are cut from them."""
        if self.reduce > 1:
            x = F.avg_pool2d(x, self.reduce, ceil_mode=True, count_include_pad=False)
        return normalised(x, self.light / self.reduce) if self.light else x

    def read(self, x: Tensor) -> Reading:
        u, p = self.prepared(x), self.side
        u = F.pad(u, (p // 2, (p - 1) // 2, p // 2, (p - 1) // 2), mode="reflect")
        w = F.conv2d(u, self.state["bank"], -self.state["offset"])
        m = w.square().sum(1, keepdim=True).clamp_min(1e-6).log()
        return Reading(maps=Blur(1.0)(m)[:, 0])
