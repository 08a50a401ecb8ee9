"""The textbook convolutional VAE, written plainly: what the speed of this library is measured by.

Convolutions 32–64–128 (4×4, stride 2, batch norm), dense 1024, 128 latents, mirrored decoder, tanh;
summed squared error on [−1, 1] plus KL; Adam 1e-4, batch 128, fp32. Kingma & Welling 2014 for the
method; the net and its settings are those of countless tutorials. Nothing of the library is used.

    python benchmarks/reference_vae.py ARRAYS.npz OUT EPOCHS    # trains it, and keeps its weights;
                                                                # asked for more epochs, goes on
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENTS, BATCH, RATE = 128, 128, 1e-4


class ReferenceVAE(nn.Module):
    """Images (B, 3, 32, 32) in [−1, 1]."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU()),
            *(nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(2048, 1024), nn.ReLU()),
        )
        self.mean = nn.Linear(1024, LATENTS)
        self.log_variance = nn.Linear(1024, LATENTS)
        self.decoder = nn.Sequential(
            *(nn.Linear(LATENTS, 1024), nn.ReLU(), nn.Linear(1024, 2048), nn.ReLU()),
            nn.Unflatten(1, (128, 4, 4)),
            *(nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU()),
            *(nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()),
        )

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x)
        return self.mean(h), self.log_variance(h)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.posterior(x)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


def loss(decoded: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Squared error + KL, summed over pixels and latents, a mean over the batch: ()."""
    kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
    return (F.mse_loss(decoded, x, reduction="sum") + kl) / len(x)


def optimizer(model: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), RATE)


def floats(images: np.ndarray) -> Tensor:
    """(B, 3, 32, 32) bytes → [−1, 1]."""
    return torch.from_numpy(images).float().div_(127.5).sub_(1)


def read(arrays: Path) -> tuple[np.ndarray, Tensor]:
    """Training images (N, 3, 32, 32) in bytes, and test images in [−1, 1]."""
    with np.load(arrays) as file:
        images, test = file["train_images"], file["test_images"]
    return np.ascontiguousarray(images), floats(test)


def epoch(
    model: nn.Module,
    adam: torch.optim.Adam,
    images: np.ndarray,  # (N, 3, 32, 32) bytes
) -> Iterator[float]:
    """One epoch; after each batch, the process CPU seconds it has taken so far."""
    seconds = 0.0
    for indices in torch.randperm(len(images)).split(BATCH):
        start = time.process_time()
        model.train()
        x = floats(images[indices.numpy()])
        decoded, mean, log_variance = model(x)
        batch_loss = loss(decoded, x, mean, log_variance)
        adam.zero_grad()
        batch_loss.backward()
        adam.step()
        seconds += time.process_time() - start
        yield seconds


@torch.no_grad()
def test_loss(
    reconstruct: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], images: Tensor
) -> float:
    """The loss on test images (N, 3, 32, 32), of the decoded sample clamped to [−1, 1], in fp32."""
    total = 0.0
    torch.manual_seed(0)
    for x in images.split(1000):
        decoded, mean, log_variance = reconstruct(x)
        total += loss(decoded.clamp(-1, 1), x, mean, log_variance).item() * len(x)
    return total / len(images)


def train(arrays: Path, out: Path, epochs: int) -> None:
    """Train to so many epochs, keeping the weights and a line of figures after each of them."""
    images, test = read(arrays)
    torch.manual_seed(0)
    model = ReferenceVAE()
    adam = optimizer(model)
    out.mkdir(parents=True, exist_ok=True)
    trace: list[dict[str, float]] = []
    if (out / "trace.json").exists():
        trace = json.loads((out / "trace.json").read_text())
        last = torch.load(out / "last.pt", weights_only=True)
        model.load_state_dict(last["model"])
        adam.load_state_dict(last["adam"])
        torch.set_rng_state(last["random"])
    total = trace[-1]["cpu_seconds"] if trace else 0.0
    for number in range(len(trace) + 1, epochs + 1):
        *_, seconds = epoch(model, adam, images)
        total += seconds
        model.eval()
        with torch.random.fork_rng():
            loss_now = test_loss(model, test)
        row = {"epoch": number, "cpu_seconds": total, "test_loss": loss_now}
        trace.append(row)
        print(row, flush=True)
        state = {"model": model.state_dict(), "adam": adam.state_dict()}
        torch.save(state | {"random": torch.get_rng_state()}, out / "last.pt")
        torch.save(model.state_dict(), out / f"epoch-{number:02d}.pt")
        (out / "trace.json").write_text(json.dumps(trace, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
