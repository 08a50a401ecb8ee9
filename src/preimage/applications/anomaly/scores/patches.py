"""How unusual each patch of an image is: the Mahalanobis distance of its pixels.

    m(p) = Σᵢ (vᵢᵀ p)² / (λᵢ + ε),    λ, v the eigenvalues and eigenvectors of good patches

Mahalanobis 1936. As a bank of convolutions vᵢ / √(λᵢ + ε) it costs no more than a layer. Good
patches of a surface are much alike, so a few images are enough.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """log m of the patch about every pixel, the mean over scales, with uneven light taken out."""

    def __init__(self, *, side: int = 8, scales: Sequence[int] = (2, 4), light: float = 6.0):
        """
        side: of a patch, in pixels of the reduced image.
        scales: how many times smaller images are made first; 1 for small images.
        light: σ in pixels of what counts as uneven light; 0 leaves images as they are.
        """
        self.side, self.scales, self.light = side, tuple(scales), light
        self.state: dict[str, Tensor] = {}

    def fit(self, images: Images, *, seed: int = 0) -> None:
        self.state = {}
        for scale in self.scales:
            bank, offset = self._learnt(images, scale, seeds.generator(seed, "patches", scale))
            self.state |= {f"bank {scale}": bank, f"offset {scale}": offset}

    def _learnt(
        self, images: Images, scale: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The bank (C p², C, p, p) of one scale, and what it makes of the mean patch."""
        p, each = self.side, -(-PATCHES // len(images))
        drawn = []
        for _, x in batches(images):
            u = self.prepared(x, scale)
            n = (u.shape[2] - p + 1) * (u.shape[3] - p + 1)
            columns = F.unfold(u, p)  # (B, C p², n)
            some = torch.rand(len(u), n, generator=generator).argsort(1)[:, :each]
            index = some[:, None].expand(-1, columns.shape[1], -1)
            drawn.append(columns.gather(2, index).transpose(1, 2).flatten(0, 1))
        P = torch.cat(drawn).double()
        λ, V = torch.linalg.eigh(P.T.cov(correction=0))
        bank = V / (λ + RIDGE * λ.mean()).clamp_min(1e-12).sqrt()
        channels = bank.shape[0] // p**2
        kernels = bank.T.reshape(-1, channels, p, p).float().contiguous()
        return kernels, (bank.T @ P.mean(0)).float()

    def prepared(self, x: Tensor, scale: int) -> Tensor:
        """Images as the patches of a scale are cut from them."""
        if scale > 1:
            x = F.avg_pool2d(x, scale, ceil_mode=True, count_include_pad=False)
        return normalised(x, self.light / scale) if self.light else x

    def read(self, x: Tensor) -> Reading:
        maps = [self._of_scale(x, scale) for scale in self.scales]
        finest = max((m.shape[2:] for m in maps), key=lambda side: side[0])
        same = [F.interpolate(m, size=finest, mode="bilinear", align_corners=False) for m in maps]
        return Reading(maps=torch.stack(same).mean(0)[:, 0])

    def _of_scale(self, x: Tensor, scale: int) -> Tensor:
        u, p = self.prepared(x, scale), self.side
        u = F.pad(u, (p // 2, (p - 1) // 2, p // 2, (p - 1) // 2), mode="reflect")
        w = F.conv2d(u, self.state[f"bank {scale}"], -self.state[f"offset {scale}"])
        return Blur(1.0)(w.square().sum(1, keepdim=True).clamp_min(1e-6).log())
