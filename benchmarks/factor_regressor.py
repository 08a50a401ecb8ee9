"""A judge of factors: a convolutional net that reads all of them from an image.

Of drawn faces it learns 18 from faces whose factors are independent, so that it can infer no
factor from another. Half of what it learns from is blurred and noisy, so that it bears
reconstructions. It has seen neither the model nor a method under test. Of a continuous factor it
gives the value, of a discrete one the probability of each class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import seeds
from preimage.data import faces
from preimage.data.faces import FACTORS, Factor, Factors

TRAINED_ON = 40_000
WIDTHS = (32, 64, 96, 128)

Readings = dict[str, Tensor]  # continuous (N,), in the factor's units; discrete (N, K)


def deviation(factor: Factor) -> float:
    """σ: of a uniform value, or of a one-hot class, whose variance is 1 − Σ p² in all."""
    if factor.kind == "continuous":
        return (factor.high - factor.low) / 12**0.5
    return float(1 - np.square(factor.probabilities).sum()) ** 0.5


class Regressor(nn.Module):
    """Images (B, 3, 64, 64) in [−1, 1] → one number or K logits for each factor."""

    def __init__(self, factors: Sequence[Factor] = FACTORS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(previous, width, 4, 2, 1), nn.BatchNorm2d(width), nn.ReLU()]
            if previous > 3:  # the first level has most pixels, and would take most of the time
                layers += [nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()]
            previous = width
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.1))
        self.dense = nn.Sequential(nn.Linear(16 * previous, 512), nn.ReLU())
        self.factors = tuple(factors)
        self.sizes = [max(1, len(factor.values)) for factor in factors]
        self.head = nn.Linear(512, sum(self.sizes))

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return self.head(self.dense(self.body(x))).float()

    @torch.no_grad()
    def read(self, images: Tensor, *, batch_size: int = 250) -> Readings:
        """What it sees in images (N, 3, 64, 64)."""
        self.eval()
        out = torch.cat([self(batch) for batch in images.split(batch_size)])
        return {
            factor.name: part.softmax(1) if factor.values else middle(factor) + part[:, 0]
            for factor, part in zip(self.factors, out.split(self.sizes, 1), strict=True)
        }

    def loss(self, x: Tensor, truth: Factors) -> Tensor:
        """Squared error in standard deviations, and cross-entropy, summed over factors."""
        with torch.autocast("cpu", torch.bfloat16):
            out = self(x)
        total = out.new_zeros(())
        for factor, part in zip(self.factors, out.split(self.sizes, 1), strict=True):
            values = torch.from_numpy(truth[factor.name])
            if factor.values:
                total = total + F.cross_entropy(part, values)
            else:
                error = (middle(factor) + part[:, 0] - values) / deviation(factor)
                total = total + 2 * error.square().mean()
        return total


def middle(factor: Factor) -> float:
    return (factor.low + factor.high) / 2


def tensor(images: np.ndarray) -> Tensor:
    """Pictures as bytes → [−1, 1]."""
    return torch.from_numpy(images).float() / 127.5 - 1


def of_faces(file: Path) -> Regressor:
    """The judge of drawn faces, trained once and kept in a file."""
    if file.exists():
        return _kept(file, FACTORS)
    factors = faces.sample(TRAINED_ON, seed=seeds.derive(0, "judge"))
    return trained(file, faces.render(factors), factors, FACTORS)


def trained(
    file: Path,
    images: np.ndarray,  # (N, 3, 64, 64) uint8
    truth: Factors,
    factors: Sequence[Factor],
    *,
    epochs: int = 8,
    batch_size: int = 128,
) -> Regressor:
    """A judge trained on these images, kept in a file."""
    if file.exists():
        return _kept(file, factors)
    torch.manual_seed(0)
    net = Regressor(factors).to(memory_format=torch.channels_last)
    steps = epochs * (len(images) // batch_size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step, rows in enumerate(_batches(steps, batch_size, len(images))):
        x = _spoilt(tensor(images[rows]))
        loss = net.loss(x, {name: values[rows] for name, values in truth.items()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"  judge: {step}/{steps}, loss {loss.item():.3f}", flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), file)
    return net.eval()


def _kept(file: Path, factors: Sequence[Factor]) -> Regressor:
    net = Regressor(factors).to(memory_format=torch.channels_last)
    net.load_state_dict(torch.load(file, weights_only=True))
    return net.eval()


def _batches(steps: int, size: int, n: int) -> Iterator[np.ndarray]:
    rng, order = np.random.default_rng(0), np.empty(0, np.int64)
    for _ in range(steps):
        if len(order) < size:
            order = rng.permutation(n)
        rows, order = order[:size], order[size:]
        yield rows


def _spoilt(x: Tensor) -> Tensor:
    """Half of a batch softened a little and made a little noisy."""
    half = len(x) // 2
    kernel = torch.tensor([0.25, 0.5, 0.25])
    weight = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    soft = F.conv2d(F.pad(x[:half], (1, 1, 1, 1), mode="replicate"), weight, groups=3)
    amount = torch.rand(half, 1, 1, 1)
    soft = x[:half] + amount * (soft - x[:half])
    noise = 0.08 * torch.rand(half, 1, 1, 1) * torch.randn_like(soft)
    return torch.cat([soft + noise, x[half:]])


def ceiling(readings: Readings, truth: Factors, factors: Sequence[Factor]) -> dict[str, float]:
    """How well factors are read: R² of a continuous one, the share right of a discrete one."""
    figures = {}
    for factor in factors:
        seen, true = readings[factor.name], torch.from_numpy(truth[factor.name])
        if factor.values:
            figures[factor.name] = (seen.argmax(1) == true).float().mean().item()
        else:
            unexplained = (seen - true).square().mean() / true.var()
            figures[factor.name] = 1 - unexplained.item()
    return figures
