"""The generators that inversion is measured on: four of ours, and four that others trained.

Ours are trained here, for so many steps, and kept; others' come from the folder of real data. Each
stands beside real images of its domain that it was not trained on.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import machine
import preimage as pi

WORK = Path(tempfile.gettempdir()) / "preimage-benchmarks" / "generators"
MNIST = "MNIST test images"
TARGETS = 2026  # the seed of the latents that are looked for
ORL = "ORL face photographs, since no CelebA image is at hand"


@dataclass(frozen=True)
class Generator:
    """A generator in evaluation mode, and real images of its domain that it has not seen."""

    name: str
    what: str
    model: pi.LatentModel
    real: Tensor  # (N, C, H, W) in [−1, 1]
    domain: str  # what the real images are
    convolutional: bool
    run: Path | None = None  # where it is, if it is one of our runs
    cpu_minutes: float | None = None  # of training, where it was trained here

    @property
    def ours(self) -> bool:
        return self.run is not None

    @property
    def d(self) -> int:
        return self.model.space.size

    def targets(self, n: int, *, first: int = 0) -> tuple[Tensor, Tensor]:
        """Latents z ~ prior (n, d) and their images: samples first … of one seed."""
        z = self.model.space.sample(n, seed=TARGETS, first=first)
        return z, decoded(self.model, z)


@torch.no_grad()
def decoded(model: pi.LatentModel, z: Tensor, *, batch_size: int = 64) -> Tensor:
    """Images (N, C, H, W) of latents (N, d)."""
    return torch.cat([model.decode(part) for part in z.split(batch_size)])


def generator(name: str) -> Generator:
    """One of `GENERATORS`, trained if it was not."""
    made = GENERATORS[name](name)
    made.model.eval().requires_grad_(False)
    return made


def trained(name: str, *, recipe: str, source: str, steps: int) -> Generator:
    """One of our recipes after so many steps."""
    source = str(machine.real_data() / "mnist.npz") if source == "mnist" else source
    run, note = WORK / f"{name}-{steps}", WORK / f"{name}-{steps}.json"
    if not note.exists():
        pi.dataset(source)  # decoded before the clock starts
        start = time.process_time()
        pi.train(source, recipe=recipe, out=run, steps=steps, seed=0, device="cpu", validations=1)
        note.write_text(json.dumps({"cpu_minutes": (time.process_time() - start) / 60}))
    data = pi.dataset(source)
    return Generator(
        name,
        f"`{recipe}` on {data.name}, {steps} steps",
        pi.load(run),
        real=data.batch(data.heldout[:1024]),
        domain=f"held-out images of {data.name}",
        convolutional=recipe != "gan",
        run=run,
        **json.loads(note.read_text()),
    )


def mnist_gan(name: str) -> Generator:
    """Linear 64 → 256 → 256 → 784, ReLU between and tanh at the end."""
    net = nn.Sequential(
        *(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()),
        *(nn.Linear(256, 784), nn.Tanh()),
    )
    net.load_state_dict(_weights("csinva/mnist_gan_mlp/weights/G--300.ckpt"))
    model = pi.wrap(net, data=pi.ImageSpec(1, 28, 28), space=pi.LatentSpace((64,)))
    return _digits(name, "an MLP GAN of digits", model)


def mnist_vae(name: str) -> Generator:
    """784 → 400 → (20, 20), and 20 → 400 → 784 with a sigmoid."""
    w = _weights("csinva/mnist_vae/weights/vae_epoch_25.pth")
    decoder = nn.Sequential(_linear(w, "fc3"), nn.ReLU(), _linear(w, "fc4"), nn.Sigmoid())
    model = pi.wrap(
        decoder,
        data=pi.ImageSpec(1, 28, 28),
        space=pi.LatentSpace((20,)),
        range=(0, 1),
        encoder=DenseEncoder(w),
    )
    return _digits(name, "an MLP VAE of digits", model)


class DenseEncoder(nn.Module):
    """The MLP VAE's: mean and log-variance."""

    def __init__(self, w: dict[str, Tensor]):
        super().__init__()
        self.hidden = _linear(w, "fc1")
        self.mean, self.log_variance = _linear(w, "fc21"), _linear(w, "fc22")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(x.flatten(1)).relu()
        return self.mean(h), self.log_variance(h)


def disvae(name: str, *, folder: str) -> Generator:
    """Burgess et al. 2018's VAE at 64×64, with 10 latents."""
    w = _weights(f"disvae/{folder}/model.pt")
    model = pi.wrap(
        ConvDecoder(w),
        data=pi.ImageSpec(3, 64, 64),
        space=pi.LatentSpace((10,)),
        range=(0, 1),
        encoder=ConvEncoder(w),
    )
    return Generator(
        name,
        f"a VAE of CelebA (`{folder}`)",
        model,
        real=_orl_faces(),
        domain=ORL,
        convolutional=True,
    )


class ConvEncoder(nn.Module):
    """Four convolutions, two hidden layers; mean and log-variance interleaved."""

    def __init__(self, w: dict[str, Tensor]):
        super().__init__()
        names = [f"encoder.{name}" for name in ("conv1", "conv2", "conv3", "conv_64")]
        self.convolutions = nn.ModuleList(_convolution(w, name) for name in names)
        self.linear = nn.ModuleList(_linear(w, f"encoder.{name}") for name in ("lin1", "lin2"))
        self.head = _linear(w, "encoder.mu_logvar_gen")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.convolutions:
            x = layer(x).relu()
        h = x.flatten(1)
        for layer in self.linear:
            h = layer(h).relu()
        mean, log_variance = self.head(h).reshape(len(h), -1, 2).unbind(2)
        return mean, log_variance


class ConvDecoder(nn.Module):
    """Three hidden layers, four transposed convolutions, a sigmoid."""

    def __init__(self, w: dict[str, Tensor]):
        super().__init__()
        names = ("lin1", "lin2", "lin3")
        self.linear = nn.ModuleList(_linear(w, f"decoder.{name}") for name in names)
        names = ("convT_64", "convT1", "convT2", "convT3")
        self.convolutions = nn.ModuleList(
            _convolution(w, f"decoder.{name}", transposed=True) for name in names
        )

    def forward(self, z: Tensor) -> Tensor:
        for layer in self.linear:
            z = layer(z).relu()
        x = z.reshape(len(z), 32, 4, 4)
        for layer in self.convolutions[:-1]:
            x = layer(x).relu()
        return self.convolutions[-1](x).sigmoid()


def _digits(name: str, what: str, model: pi.LatentModel) -> Generator:
    return Generator(name, what, model, real=digits("mnist"), domain=MNIST, convolutional=False)


def digits(name: str, n: int = 1024) -> Tensor:
    """Test images of MNIST or Fashion-MNIST: (n, 1, 28, 28) in [−1, 1]."""
    with np.load(machine.real_data() / f"{name}.npz") as arrays:
        images = arrays["test_images"][:n]
    return torch.from_numpy(images).float()[:, None] / 127.5 - 1


def _orl_faces() -> Tensor:
    """400 grey photographs, cut square, closer than CelebA's are: (400, 3, 64, 64)."""
    data = pi.dataset(machine.real_data() / "orl-faces", size=64, channels=3)
    order = np.random.default_rng(0).permutation(len(data))
    return data.batch(torch.from_numpy(order))


def _weights(path: str) -> dict[str, Tensor]:
    return torch.load(machine.real_data() / path, map_location="cpu", weights_only=True)


def _linear(w: dict[str, Tensor], name: str) -> nn.Linear:
    outputs, inputs = w[f"{name}.weight"].shape
    return _filled(nn.Linear(inputs, outputs), w, name)


def _convolution(w: dict[str, Tensor], name: str, *, transposed: bool = False) -> nn.Module:
    first, second = w[f"{name}.weight"].shape[:2]
    if transposed:
        return _filled(nn.ConvTranspose2d(first, second, 4, stride=2, padding=1), w, name)
    return _filled(nn.Conv2d(second, first, 4, stride=2, padding=1), w, name)


def _filled(layer: nn.Module, w: dict[str, Tensor], name: str) -> nn.Module:
    layer.load_state_dict({part: w[f"{name}.{part}"] for part in ("weight", "bias")})
    return layer


GENERATORS: dict[str, Callable[[str], Generator]] = {
    "mnist-vae-conv": partial(trained, recipe="vae-conv", source="mnist", steps=450),
    "mnist-dcgan": partial(trained, recipe="dcgan", source="mnist", steps=800),
    "mnist-gan": partial(trained, recipe="gan", source="mnist", steps=1600),
    "faces-vae-conv": partial(trained, recipe="vae-conv", source="faces", steps=150),
    "other-mnist-gan": mnist_gan,
    "other-mnist-vae": mnist_vae,
    "other-celeba-vae": partial(disvae, folder="VAE_celeba"),
    "other-celeba-btcvae": partial(disvae, folder="btcvae_celeba"),
}
