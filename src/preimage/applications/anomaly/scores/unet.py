"""A U-Net that was shown planted defects, and marks what looks like one.

Zavrtanik, Kristan & Skočaj, "DRÆM", 2021, train the second half of their detector so; here the
first half, a reconstruction, is left out, and light is evened instead. What it has never been shown
it may miss, so it stands beside scores that know good images only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.applications.anomaly.defects import taught
from preimage.applications.anomaly.images import Images
from preimage.applications.anomaly.normalise import LARGEST, normalised
from preimage.applications.anomaly.scores.score import Reading
from preimage.core import seeds
from preimage.training.precision import bfloat16

CROP, BATCH = 96, 16
TOLD = 5  # steps between two reports
PLENTY = 0.3  # of crops stay good
GRAIN = 4  # sides are padded to a multiple of this many pixels of the halved image


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Twice: convolution, normalisation, ReLU."""
    layers: list[nn.Module] = []
    for i in (inputs, outputs):
        layers += [nn.Conv2d(i, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
        layers += [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """(B, C, H, W) → logits (B, 1, H/2, W/2) of a defect (Ronneberger et al., "U-Net", 2015)."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        w = width
        self.fine, self.middle, self.coarse = (
            block(4 * channels, w),
            block(w, 2 * w),
            block(2 * w, 4 * w),
        )
        self.up, self.top, self.out = block(6 * w, 2 * w), block(3 * w, w), nn.Conv2d(w, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.fine(F.pixel_unshuffle(x, 2))
        b = self.middle(F.max_pool2d(a, 2))
        c = self.coarse(F.max_pool2d(b, 2))
        b = self.up(torch.cat([b, F.interpolate(c, scale_factor=2)], 1))
        return self.out(self.top(torch.cat([a, F.interpolate(b, scale_factor=2)], 1)))


class PlantedDefects:
    """The logit of a defect, about every second pixel."""

    def __init__(self, *, steps: int = 1500, width: int = 24, light: float = 12.0):
        """light: σ in pixels of what counts as uneven light."""
        self.steps, self.width, self.light = steps, width, light
        self.state: dict[str, Tensor] = {}
        self._net: UNet | None = None

    def fit(self, images: Images, *, seed: int = 0) -> None:
        for _ in self.teach(images, seed=seed):
            pass

    def teach(self, images: Images, *, seed: int = 0) -> Iterator[int]:
        """`fit`, which takes minutes, and now and then says how many steps are done."""
        g = seeds.generator(seed, "planted defects")
        good = [normalised(x[None], self.light)[0] for x in images]
        crop = min(CROP, *(side // 8 * 8 for x in good for side in x.shape[1:]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(seed, "U-Net"))
            net = UNet(good[0].shape[0], self.width)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(net.parameters(), weight_decay=1e-3)
        net.train()
        quick = bfloat16("auto", torch.device("cpu"))
        for step in range(self.steps):
            warm, done = min(1.0, (step + 1) / 20), step / self.steps
            for group in optimiser.param_groups:
                group["lr"] = 3e-3 * warm * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-5
            x, marked = batch(good, crop, g)
            with torch.autocast("cpu", torch.bfloat16, enabled=quick):
                logits = net(x.contiguous(memory_format=torch.channels_last))
            loss = focal(logits.float(), F.avg_pool2d(marked, 2))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % TOLD == 0:
                yield step
        self.state = {k: v.detach().clone().contiguous() for k, v in net.state_dict().items()}
        self._net = None  # opened again from the state, so that both read alike to the last bit

    def read(self, x: Tensor) -> Reading:
        u, (H, W), grain = normalised(x, self.light), x.shape[2:], 2 * GRAIN
        u = F.pad(u, (0, -W % grain, 0, -H % grain), mode="replicate")
        with torch.no_grad():
            logits = self._opened(x.shape[1])(u)[:, 0]
        return Reading(maps=logits[:, : -(-H // 2), : -(-W // 2)])

    def _opened(self, channels: int) -> UNet:
        if self._net is None:
            self._net = UNet(channels, self.width).eval()
            self._net.load_state_dict(self.state)
        return self._net


def batch(good: list[Tensor], crop: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Crops (B, C, crop, crop) with up to two defects each, and where these are (B, 1, …)."""
    images, masks = [], []
    for _ in range(BATCH):
        x, mask = cut(good, crop, g), torch.zeros(crop, crop, dtype=torch.bool)
        if torch.rand(1, generator=g).item() > PLENTY:
            for _ in range(int(torch.randint(1, 3, (1,), generator=g))):
                x, where = taught(x, cut(good, crop, g), g, limit=LARGEST)
                mask |= where
        scale, shift = torch.randn(2, generator=g).tolist()
        images.append(x * math.exp(0.15 * scale) + 0.1 * shift)
        masks.append(mask[None].float())
    return torch.stack(images), torch.stack(masks)


def cut(good: list[Tensor], crop: int, g: torch.Generator) -> Tensor:
    """A piece (C, crop, crop) of a good image, perhaps mirrored."""
    x = good[int(torch.randint(len(good), (1,), generator=g))]
    draw = torch.rand(4, generator=g).tolist()
    # Drawn beyond the border and moved back in: borders are looked at as often as the middle.
    y, z = (
        min(max(round((side - crop) * (1.4 * u - 0.2)), 0), side - crop)
        for side, u in zip(x.shape[1:], draw[:2], strict=True)
    )
    x = x[:, y : y + crop, z : z + crop]
    x = x.flip(-1) if draw[2] < 0.5 else x
    return x.flip(-2) if draw[3] < 0.5 else x


def focal(logits: Tensor, marked: Tensor) -> Tensor:
    """(1 − p) −log p of what is right, defects counting four times (Lin et al., 2017)."""
    wanted = (marked > 0.4).float()
    surprise = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (surprise * -torch.expm1(-surprise) * (1 + 3 * wanted)).mean()
