"""An independent judge of digits: a LeNet-5 that others trained on MNIST (98.7 % on test digits).

It sees 8-bit images at 32×32. Its 84 features (LeCun et al. 1998, layer F6) give the Fréchet
distance, its 10 classes give the shares and the certainty. On images that are no digits its
features are still a fixed description, the same for every model compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.metrics import Moments, frechet_distance


@dataclass(frozen=True)
class Verdict:
    """What the judge says of a set of images."""

    features: Tensor  # (N, 84)
    probabilities: Tensor  # (N, 10)

    @property
    def moments(self) -> Moments:
        return Moments(self.features)

    @property
    def classes(self) -> Tensor:
        """The likeliest class of each image: (N,)."""
        return self.probabilities.argmax(1)

    @property
    def certainty(self) -> float:
        """The mean probability of the likeliest class."""
        return self.probabilities.amax(1).mean().item()

    @property
    def shares(self) -> list[float]:
        """The share of images in each class."""
        return (torch.bincount(self.classes, minlength=10) / len(self.classes)).tolist()

    def distance(self, reference: Moments) -> float:
        """The Fréchet distance of the features to a reference's."""
        return frechet_distance(self.moments, reference)


class Judge:
    """LeNet-5 from the folder of its weights."""

    def __init__(self, folder: Path):
        file = next(iter(sorted(folder.glob("*.pth"))), None)
        if file is None:
            raise SystemExit(f"no LeNet weights (*.pth) in {folder}")
        self.weights = torch.load(file, map_location="cpu", weights_only=True)

    @torch.no_grad()
    def __call__(self, images: Tensor, *, batch_size: int = 1000) -> Verdict:
        """Grey images (N, 1, H, W) in [−1, 1]."""
        seen = [self._look(batch) for batch in images.split(batch_size)]
        features, probabilities = (torch.cat(parts) for parts in zip(*seen, strict=True))
        return Verdict(features, probabilities)

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = ((x.clamp(-1, 1) + 1) * 127.5).round() / 255  # as 8-bit files hold it, in [0, 1]
        h = F.interpolate(h, size=(32, 32), mode="bilinear", align_corners=False)
        h = F.max_pool2d(self._conv(h, "c1"), 2)
        h = F.max_pool2d(self._conv(h, "c3"), 2)
        h = self._conv(h, "c5").flatten(1)
        features = F.linear(h, self.weights["fc.f6.weight"], self.weights["fc.f6.bias"]).relu()
        logits = F.linear(features, self.weights["fc.f7.weight"], self.weights["fc.f7.bias"])
        return features, logits.softmax(1)

    def _conv(self, h: Tensor, name: str) -> Tensor:
        weight, bias = (self.weights[f"convnet.{name}.{part}"] for part in ("weight", "bias"))
        return F.conv2d(h, weight, bias).relu()
