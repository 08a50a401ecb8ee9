"""The learned cascade: from an observation to a latent by two small nets.

In the features h of a cascade, of which the leading principal components are kept, one net is a
first guess and the other a step from there:

    ẑ₀ = f(h(y)),    ẑₖ = ẑₖ₋₁ + e W + ((e U) ∘ g(ẑₖ₋₁)) V,    e = h(y) − h(A(G(ẑₖ₋₁)))

The step is linear in e, as a ridge regression is, but it is another map in each region of the
latent space (Xiong & De la Torre, "Global Supervised Descent Method", 2015; there the regions are
given, here g learns them): it stands for the inverse of the Jacobian where z is. A few of these
steps come as near as many of one and the same map.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.inversion.cascade import ROUNDING, Features
from preimage.inversion.problem import Problem

HIDDEN = 256  # units in each layer of f
LAYERS = 3
GATES = 128  # units in each layer of g, and the rank of what the step's map changes by
GATE_LAYERS = 2
GUESSES = 3  # f's and two steps'; an image that is still far off after them will stay so


@dataclass(frozen=True)
class Components:
    """Features (B, m) → (B, p), the principal components of generated ones, of variance 1."""

    mean: Tensor  # (m,)
    basis: Tensor  # (m, p): orthogonal columns, each as long as 1 / its standard deviation

    def __call__(self, h: Tensor) -> Tensor:
        return self.of_difference(h - self.mean)

    def of_difference(self, e: Tensor) -> Tensor:
        """Of a difference of features (B, m): (B, p)."""
        return e @ self.basis


class Perceptron(nn.Module):
    """Layers of SiLU beside a linear map."""

    def __init__(self, inputs: int, outputs: int, *, hidden: int, layers: int):
        super().__init__()
        sizes = pairwise([inputs, *[hidden] * layers])
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in sizes)
        self.last = nn.Linear(hidden, outputs)
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for layer in self.layers:
            h = F.silu(layer(h))
        return self.linear(x) + self.last(h)


class Nets(nn.Module):
    """f and the step, which see latents in units of their standard deviation, about their mean."""

    centre: Tensor  # (d,)
    scale: Tensor  # (d,)

    def __init__(self, components: int, latent: int, classes: int):
        """classes: which both nets are told; 1 where there are none."""
        super().__init__()
        p, d, self.classes = components, latent, classes if classes > 1 else 0
        self.f = Perceptron(p + self.classes, d, hidden=HIDDEN, layers=LAYERS)
        self.g = Perceptron(d + self.classes, GATES, hidden=GATES, layers=GATE_LAYERS)
        self.W = nn.Parameter(torch.zeros(p, d))
        self.U = nn.Parameter(torch.randn(p, GATES) / math.sqrt(p))
        self.V = nn.Parameter(torch.zeros(GATES, d))
        self.register_buffer("centre", torch.zeros(d))
        self.register_buffer("scale", torch.ones(d))

    def first(self, h: Tensor, labels: Tensor | None) -> Tensor:
        """ẑ₀ (B, d) of components h (B, p)."""
        return self.centre + self.scale * self.f(self._told(h, labels))

    def step(self, z: Tensor, e: Tensor, labels: Tensor | None) -> Tensor:
        """What to add to latents z (B, d) that leave e (B, p)."""
        gates = self.g(self._told((z - self.centre) / self.scale, labels))
        return self.scale * (e @ self.W + ((e @ self.U) * gates) @ self.V)

    def _told(self, x: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None or not self.classes:
            return x
        return torch.cat([x, F.one_hot(labels, self.classes).to(x)], 1)


@dataclass(frozen=True)
class LearnedCascade:
    """Two nets for one generator seen through one operator; a `FixedPoint` of `anderson`."""

    features: Features
    components: Components
    nets: Nets
    errors: Tensor  # (GUESSES,): the median of ‖ẑ − z‖ / ‖z − z̄‖ after each, on fresh pairs
    noise: float = 0.0  # σ of the noise in the observations it was trained on

    @property
    def stages(self) -> int:
        """After how many guesses an image that is still far off will stay so."""
        return GUESSES

    @torch.no_grad()
    def start(self, problem: Problem) -> Tensor:
        """ẑ₀ of the problem's targets: (B, d)."""
        return self.nets.first(self.components(self.features(problem.target)), problem.labels)

    @torch.no_grad()
    def step(self, k: int, z: Tensor, e: Tensor, labels: Tensor | None) -> Tensor:
        """What to add to latents z (B, d) that leave e (B, m): the same map in every step k."""
        return self.nets.step(z, self.components.of_difference(e), labels)

    def noise_in(self, y: Tensor) -> Tensor:
        """σ of the noise, or at least the rounding, in features of observations y: (B, m)."""
        return self.features.slope(self.features(y)) * max(self.noise, ROUNDING)

    def to_tensors(self) -> dict[str, Tensor]:
        """All of it as named tensors, for a file of weights."""
        named = {"mean": self.components.mean, "basis": self.components.basis}
        nets = {f"nets.{name}": tensor for name, tensor in self.nets.state_dict().items()}
        return self.features.to_tensors(self.noise) | named | nets | {"errors": self.errors}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], *, latent: int, classes: int
    ) -> LearnedCascade:
        """What `to_tensors` gave, for latents of so many numbers; classes: 1 where there are none.

        Raises KeyError or ValueError where it is not that.
        """
        features, noise = Features.from_tensors(tensors)
        mean, basis, errors = (tensors[name] for name in ("mean", "basis", "errors"))
        m = features.values.numel()
        if mean.shape != (m,) or basis.dim() != 2 or len(basis) != m or errors.shape != (GUESSES,):
            raise ValueError("these are no components of such features")
        state = {n.removeprefix("nets."): t for n, t in tensors.items() if n.startswith("nets.")}
        for tensor in (mean, basis, errors, *state.values()):
            if tensor.dtype != torch.float32 or not tensor.isfinite().all():
                raise ValueError("these weights are not finite numbers")
        with torch.device("meta"):  # nothing is drawn, nor held, before it is known to fit
            nets = Nets(basis.shape[1], latent, classes)
        try:
            nets.load_state_dict(state, assign=True)
        except RuntimeError as e:  # of other shapes or names
            raise ValueError("these are no weights of such nets") from e
        return cls(features, Components(mean, basis), frozen(nets), errors, noise)


def frozen(nets: Nets) -> Nets:
    """The nets, none of their parameters asking for a gradient."""
    return nets.eval().requires_grad_(False)
