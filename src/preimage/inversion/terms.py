"""Distances between what was observed, y, and what the generator shows, a = A(G(z)).

Each is a mean over the observed values, for each sample by itself:

    T(a, y) = Σᵢ wᵢ ρ(aᵢ − yᵢ) / Σᵢ wᵢ

with wᵢ = 1, or from 0 (not seen) to 1 behind a mask. A mean squared error of images in [−1, 1], not
half of it and not the sum. Where T is a sum of squares, the residual is its vector of roots.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from preimage.core import InputError, LatentModel, Unsupported
from preimage.core.errors import nearest_name
from preimage.inversion.operators.image import gaussian_kernel, smoothed

Features = Callable[[Tensor], Any]  # images → a tensor (B, …), or several: feature maps


def with_weights(y: Tensor, weights: Tensor | None) -> Tensor:
    """y (B, …) and its weights, of mean 1 for each sample, as one tensor (B, 2, …); y without."""
    if weights is None:
        return y
    mean = weights.flatten(1).mean(1).clamp_min(torch.finfo(weights.dtype).tiny)
    return torch.stack([y, (weights / mean.reshape(-1, *[1] * (y.dim() - 1))).to(y)], 1)


def error_and_weights(a: Tensor, prepared: Tensor) -> tuple[Tensor, Tensor | None]:
    """a − y and the weights, both of a's shape, from what `with_weights` gave.

    Raises InputError where a is no observation like y.
    """
    weighted = prepared.dim() == a.dim() + 1
    y, w = prepared.unbind(1) if weighted else (prepared, None)
    if a.shape != y.shape:
        raise InputError(
            f"the observations are {tuple(y.shape[1:])} and the generator's, through the "
            f"operator, {tuple(a.shape[1:])}; give observations of that shape"
        )
    return a - y, w


# --- value by value ---


class Pointwise(ABC):
    """A mean of ρ(a − y) over observed values."""

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> Tensor:
        return with_weights(y, weights)

    def loss(self, a: Tensor, prepared: Tensor) -> Tensor:
        e, w = error_and_weights(a, prepared)
        ρ = self.rho(e)
        ρ = ρ if w is None else w * ρ
        return ρ.flatten(1).sum(1) / ρ[0].numel()  # the gradient of a mean takes another pass

    def residual(self, a: Tensor, prepared: Tensor) -> Tensor | None:
        e, w = error_and_weights(a, prepared)
        root = self.root(e)
        if root is None:
            return None
        root = root if w is None else w.sqrt() * root
        return root.flatten(1) / math.sqrt(e[0].numel())

    @abstractmethod
    def rho(self, e: Tensor) -> Tensor:
        """ρ(e), at least 0."""

    @abstractmethod
    def root(self, e: Tensor) -> Tensor | None:
        """√ρ(e) with the sign of e, where it is differentiable."""


class L2(Pointwise):
    """ρ(e) = e²."""

    def rho(self, e: Tensor) -> Tensor:
        return e.square()

    def root(self, e: Tensor) -> Tensor:
        return e

    def push(self, da: Tensor, prepared: Tensor, *, spent: bool = False) -> Tensor:
        """The residual's tangents (B, k, m), of tangents da (B, k, …): it is linear in a.

        spent: da is wanted no more; its memory may hold the result.
        """
        scale = 1 / math.sqrt(da[0, 0].numel())
        scaled = da.flatten(2)
        scaled = scaled.mul_(scale) if spent and da.is_contiguous() else scaled * scale
        if prepared.dim() == da.dim() - 1:
            return scaled
        return scaled.mul_(prepared[:, 1].sqrt().flatten(1)[:, None])


class L1(Pointwise):
    """ρ(e) = |e|. √|e| has no derivative at 0, so there is no residual."""

    def rho(self, e: Tensor) -> Tensor:
        return e.abs()

    def root(self, e: Tensor) -> None:
        return


@dataclass(frozen=True)
class Huber(Pointwise):
    """ρ(e) = e² up to |e| = δ, and 2δ|e| − δ² beyond: a few wild values count less.

    Twice that of Huber, "Robust Estimation of a Location Parameter", 1964, so that small errors
    cost what they cost in L2. Its signed root is once continuously differentiable.
    """

    delta: float = 0.1  # δ, in units of images in [−1, 1]: a twentieth of their range

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise InputError(f"huber with delta {self.delta:g}; give one above 0")

    def rho(self, e: Tensor) -> Tensor:
        δ, size = self.delta, e.abs()
        return torch.where(size <= δ, e.square(), 2 * δ * size - δ**2)

    def root(self, e: Tensor) -> Tensor:
        δ, size = self.delta, e.abs()
        beyond = (2 * δ * size.clamp_min(δ) - δ**2).sqrt()  # clamped: the root of 0 has no slope
        return torch.where(size <= δ, e, e.sign() * beyond)


# --- images at several scales ---


@dataclass(frozen=True)
class Pyramid:
    """The mean of L2 at scales 1, ½, ¼, …: coarse errors count more than fine ones.

    Errors are averaged, or smoothed by [1 4 6 4 1]/16 and subsampled (Burt & Adelson, "The
    Laplacian Pyramid as a Compact Image Code", 1983); behind a mask, over what was seen. Images
    that are too small for all levels have fewer.
    """

    levels: int = 4  # scales, the full one included
    pool: str = "average"  # or "gaussian"

    def __post_init__(self) -> None:
        if self.levels < 1:
            raise InputError(f"a pyramid of {self.levels} levels; give at least 1")
        if self.pool not in POOLS:
            raise InputError(f"no pool '{self.pool}'; {nearest_name(self.pool, POOLS)}")

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> Tensor:
        """Raises InputError for observations that are no images."""
        if y.dim() != 4:
            raise InputError("the loss 'pyramid' is for images; use 'l2' with this operator")
        return with_weights(y, weights)

    def loss(self, a: Tensor, prepared: Tensor) -> Tensor:
        return self.residual(a, prepared).square().sum(1)

    def residual(self, a: Tensor, prepared: Tensor) -> Tensor:
        e, w = error_and_weights(a, prepared)
        halve = POOLS[self.pool]
        roots = []
        while True:
            N = e[0].numel()
            if w is None:
                roots.append(e.flatten(1) / math.sqrt(N))
            else:
                share = w.flatten(1)
                roots.append(e.flatten(1) * (share / share.sum(1, keepdim=True)).sqrt())
            if len(roots) == self.levels or min(e.shape[2:]) < 2:
                return torch.cat(roots, 1) / math.sqrt(len(roots))
            if w is None:
                e = halve(e)
            else:
                e, w = halve(w * e), halve(w)
                e = e / torch.where(w > 0, w, 1)


def average(x: Tensor) -> Tensor:
    """Means of 2×2 pixels: (B, C, H, W) → (B, C, H // 2, W // 2)."""
    return F.avg_pool2d(x, 2)


def binomial(x: Tensor) -> Tensor:
    """[1 4 6 4 1]/16 along rows and columns, then every second pixel."""
    return smoothed(x, (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16))[:, :, ::2, ::2]


POOLS = {"average": average, "gaussian": binomial}


@dataclass(frozen=True)
class SSIM:
    """1 − SSIM, the mean over pixels and channels: structure rather than brightness.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004,
    equation 13, with their Gaussian window of σ 1.5. What a mask hides is 0 in both images. There
    is no residual: its root has no derivative where the images agree.
    """

    sigma: float = 1.5  # pixels
    range: float = 2.0  # of images in [−1, 1]

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> Tensor:
        """Raises InputError for observations that are no images."""
        if y.dim() != 4:
            raise InputError("the loss 'ssim' is for images; use 'l2' with this operator")
        return y

    def loss(self, a: Tensor, prepared: Tensor) -> Tensor:
        y, k = prepared, gaussian_kernel(self.sigma, int(3.5 * self.sigma + 0.5))
        μa, μy, aa, yy, ay = (smoothed(x, k) for x in (a, y, a * a, y * y, a * y))
        C1, C2 = (0.01 * self.range) ** 2, (0.03 * self.range) ** 2
        means = (2 * μa * μy + C1) / (μa.square() + μy.square() + C1)
        variances = (aa - μa.square()) + (yy - μy.square())
        structure = (2 * (ay - μa * μy) + C2) / (variances + C2)
        return (1 - means * structure).flatten(1).mean(1)

    def residual(self, a: Tensor, prepared: Tensor) -> None:
        return


# --- networks ---


class FeatureDistance:
    """Σ_l ‖φ_l(a) − φ_l(y)‖² / ‖φ_l(y)‖² / L over a network's L feature maps.

    The relative squared error of the features, so that networks and layers of any scale count
    alike; each sample by its own scale. Where y was masked, the network sees 0 in both.
    """

    FLOOR = 1e-4  # of the mean square of a feature map: one that is all but 0 says little

    def __init__(self, features: Features):
        """features: images in [−1, 1] → a tensor (B, …), or a list or dict of them. A module is
        set to eval(), without which an image's features depend on its batch."""
        if isinstance(features, nn.Module):
            features.eval()
        self.features = features

    @classmethod
    def of(cls, model: LatentModel) -> FeatureDistance:
        """With the features of the model's own encoder or discriminator.

        Raises Unsupported where it has none.
        """
        if not model.can("features"):
            raise Unsupported(
                f"{type(model).__name__} has no features of its own for the loss 'features'; "
                "give feature_net="
            )
        return cls(model.features)

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> Tensor:
        """φ_l(y) / ‖φ_l(y)‖ of all maps, and the norms: (B, m + L).

        Raises InputError where the network does not take such observations.
        """
        try:
            with torch.no_grad():
                maps = self._maps(y)
        except Exception as error:  # a person's own network may raise anything
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"the feature net does not take observations {tuple(y.shape[1:])} ({reason}); "
                "use 'l2' with this operator"
            ) from error
        floors = [math.sqrt(self.FLOOR * φ.shape[1]) for φ in maps]
        norms = [φ.norm(dim=1, keepdim=True) + f for φ, f in zip(maps, floors, strict=True)]
        scaled = [φ / n for φ, n in zip(maps, norms, strict=True)]
        return torch.cat([*scaled, *norms], 1)

    def loss(self, a: Tensor, prepared: Tensor) -> Tensor:
        return self.residual(a, prepared).square().sum(1)

    def residual(self, a: Tensor, prepared: Tensor) -> Tensor:
        maps = self._maps(a)
        norms = prepared[:, -len(maps) :].unbind(1)
        scaled = [φ / n[:, None] for φ, n in zip(maps, norms, strict=True)]
        return (torch.cat(scaled, 1) - prepared[:, : -len(maps)]) / math.sqrt(len(maps))

    def _maps(self, x: Tensor) -> list[Tensor]:
        found = self.features(x)
        if isinstance(found, Mapping):
            found = list(found.values())
        maps = found if isinstance(found, list | tuple) else [found]
        return [φ.flatten(1) for φ in maps]


class Adversarial:
    """softplus(−D(a)): how far the critic is from taking the image for a real one.

    Of the observation as it is, so it is at its best where nothing was done to the image. There is
    one residual, √softplus(−D(a)).
    """

    FLAT = 30.0  # logits beyond which softplus(−c) = e^−c to float32's precision

    def __init__(self, critic: Callable[[Tensor], Tensor]):
        """critic: images in [−1, 1] → logits (B,), higher is more real."""
        self.critic = critic

    @classmethod
    def of(cls, model: LatentModel) -> Adversarial:
        """With the model's own critic. Raises Unsupported where it has none."""
        if not model.can("critic"):
            raise Unsupported(
                f"{type(model).__name__} has no critic for the loss 'adversarial'; leave it out"
            )
        return cls(model.critic)

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> Tensor:
        return y[:, :0]  # nothing of the target but how many there are

    def loss(self, a: Tensor, prepared: Tensor) -> Tensor:
        return F.softplus(-self.critic(a))

    def residual(self, a: Tensor, prepared: Tensor) -> Tensor:
        c = self.critic(a)
        near = F.softplus(-c.clamp_max(self.FLAT)).sqrt()  # its root underflows further out
        return torch.where(c < self.FLAT, near, torch.exp(-c / 2))[:, None]


class LPIPS:
    """Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018.

    With their calibrated networks, from the package `lpips`. It has no residual.
    """

    def __init__(self, net: str = "alex"):
        """net: "alex", "vgg" or "squeeze". Raises InputError where the package is missing."""
        try:
            import lpips
        except ImportError:
            raise InputError(
                "'lpips' needs an extra: pip install 'preimage[lpips]' (with torchvision)"
            ) from None
        self.net = lpips.LPIPS(net=net, verbose=False).eval().requires_grad_(False)

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> Tensor:
        """Raises InputError for observations that are no images in grey or colour."""
        if y.dim() != 4 or y.shape[1] not in (1, 3):
            raise InputError("'lpips' is for grey or colour images; use another distance here")
        self.net.to(y.device)
        return y

    def loss(self, a: Tensor, prepared: Tensor) -> Tensor:
        a, y = (x.expand(-1, 3, -1, -1).float() for x in (a, prepared))
        return self.net(a, y).flatten(1).mean(1)

    def residual(self, a: Tensor, prepared: Tensor) -> None:
        return
