"""Strided convolutions: DCGAN's nets and the textbook's (Radford et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor, nn

from preimage.core import DataSpec, InputError
from preimage.nets.blocks import SLOPE, NoiseInjection
from preimage.nets.pyramid import pyramid


@dataclass(frozen=True)
class Conv:
    """4×4 convolutions of stride 2, channels doubling inwards.

    `channels` names them instead, from the image inwards, with `strides` one each and 3×3 kernels.
    """

    width: int = 32  # channels after the first convolution
    widest: int = 512  # channels are capped here
    norm: bool = True  # batch normalisation, everywhere but next to the image
    dense: int = 0  # width of a fully connected layer next to the latents; none where 0
    channels: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    noise: bool = False  # noise of a learned strength after each decoder layer
    initial_std: float = 0.0  # of the weights: 0.02 in Radford et al., §4; torch's own where 0

    def encoder(self, data: DataSpec) -> nn.Module:
        return ConvEncoder(self, data)

    def decoder(self, data: DataSpec, inputs: int) -> nn.Module:
        return ConvDecoder(self, data, inputs)

    def layers(self, data: DataSpec) -> tuple[list[tuple[int, int]], tuple[int, int, int]]:
        """(channels, stride) of each layer from the image inwards, and the innermost shape."""
        if self.channels:
            return self._named_layers(data)
        shape = pyramid(data)
        widths = [min(self.width * 2**level, self.widest) for level in range(shape.levels)]
        return [(w, 2) for w in widths], (widths[-1], shape.base_height, shape.base_width)

    def _named_layers(self, data: DataSpec) -> tuple[list[tuple[int, int]], tuple[int, int, int]]:
        strides = self.strides or (2,) * len(self.channels)
        if len(strides) != len(self.channels):
            raise InputError(f"{len(self.channels)} channels need as many strides, not {strides}")
        shrink = prod(strides)
        if data.kind != "image" or data.height % shrink or data.width % shrink:
            raise InputError(
                f"this net divides both sides of an image by {shrink}, which {data} does not "
                f"allow; set the size to a multiple of {shrink}, or use an mlp recipe"
            )
        inner = (self.channels[-1], data.height // shrink, data.width // shrink)
        return list(zip(self.channels, strides, strict=True)), inner


def _activation(channels: int, norm: bool) -> list[nn.Module]:
    return [*([nn.BatchNorm2d(channels)] if norm else []), nn.LeakyReLU(SLOPE)]


def _initialise(layers: nn.Sequential, std: float) -> None:
    """Weights from N(0, std²), scales of the normalisation from N(1, std²)."""
    if not std:
        return
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, std)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, std)


class ConvEncoder(nn.Module):
    """(B, C, H, W) → features (B, F)."""

    def __init__(self, net: Conv, data: DataSpec):
        super().__init__()
        plan, inner = net.layers(data)
        layers: list[nn.Module] = []
        previous = data.channels
        for i, (channels, stride) in enumerate(plan):
            kernel = 3 if net.channels else 4
            layers.append(nn.Conv2d(previous, channels, kernel, stride, 1))
            layers += _activation(channels, net.norm and i > 0)
            previous = channels
        layers.append(nn.Flatten())
        self.features = prod(inner)
        if net.dense:
            layers += [nn.Linear(self.features, net.dense), nn.LeakyReLU(SLOPE)]
            self.features = net.dense
        self.layers = nn.Sequential(*layers)
        _initialise(self.layers, net.initial_std)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ConvDecoder(nn.Module):
    """(B, inputs) → (B, C, H, W), before any output nonlinearity."""

    def __init__(self, net: Conv, data: DataSpec, inputs: int):
        super().__init__()
        plan, inner = net.layers(data)
        layers: list[nn.Module] = []
        if net.dense:
            layers += [nn.Linear(inputs, net.dense), nn.LeakyReLU(SLOPE)]
            inputs = net.dense
        layers += [nn.Linear(inputs, prod(inner)), nn.Unflatten(1, inner)]
        layers += _activation(inner[0], net.norm)
        outwards = [data.channels, *(channels for channels, _ in plan)][-2::-1]
        previous, height, width = inner
        for i, (channels, (_, stride)) in enumerate(zip(outwards, reversed(plan), strict=True)):
            last = i == len(plan) - 1
            height, width = height * stride, width * stride
            layers.append(_grow(previous, channels, stride, kernel=3 if net.channels else 4))
            if not last:
                layers += [NoiseInjection(channels, height, width)] if net.noise else []
                layers += _activation(channels, net.norm)
            previous = channels
        self.layers = nn.Sequential(*layers)
        _initialise(self.layers, net.initial_std)

    @property
    def output(self) -> nn.Module:
        return self.layers[-1]

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


def _grow(inputs: int, outputs: int, stride: int, *, kernel: int) -> nn.ConvTranspose2d:
    """A transposed convolution that multiplies the size by exactly `stride`."""
    return nn.ConvTranspose2d(
        inputs, outputs, kernel, stride, 1, output_padding=stride - kernel + 2 if stride > 1 else 0
    )
