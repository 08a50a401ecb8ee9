"""How near do reconstructions come to their images?

A few numbers an image, so that the worst can be looked at: mean squared error; PSNR, the same in
decibels; SSIM, which compares means, contrasts and structure under a Gaussian window (Wang et al.,
"Image quality assessment: from error visibility to structural similarity", 2004, eq. 13); and the
distance of features, of whatever network, which forgives what the eye forgives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from preimage.core import InputError
from preimage.metrics.features import extract
from preimage.metrics.measure import Measure, of_mean

SPAN = 2.0  # of values in [−1, 1]
WINDOW, SIGMA = 11, 1.5  # of SSIM: Wang et al., §III-C
K1, K2 = 0.01, 0.03

Features = Callable[[Tensor], Tensor]  # images (B, C, H, W) → (B, F)
Distance = Callable[[Tensor, Tensor], Tensor]  # two batches of images → (B,)


@dataclass(frozen=True)
class Errors:
    """Means over images with their intervals, and the numbers of each image behind them.

    Estimands: the means over all images such as these.
    """

    mse: Measure  # of values in [−1, 1]
    psnr: Measure  # decibels; over the images that did not come back exactly
    ssim: Measure  # 1 is equal
    features: Measure | None  # Euclidean distance; None without a feature network
    perceptual: Measure | None  # any distance that was given, such as LPIPS
    each: Mapping[str, Tensor]  # the field's name → (N,)
    exact: int  # images that came back exactly, whose PSNR is infinite

    def order(self, by: str = "mse") -> Tensor:
        """Indices (N,) from the best to the worst reconstruction."""
        return self.each[by].argsort(descending=by in ("psnr", "ssim"), stable=True)


def reconstruction_errors(
    pairs: Iterable[tuple[Tensor, Tensor]],  # batches of images and of what came back
    *,
    features: Features | None = None,
    perceptual: Distance | None = None,
) -> Errors:
    """Images (B, C, H, W) in [−1, 1], a batch at a time; a few numbers an image are kept.

    Raises InputError where there is no pair, where shapes differ, and for values not finite.
    """
    found: dict[str, list[Tensor]] = {}
    for x, x̂ in pairs:
        _check(x, x̂)
        x, x̂ = x.cpu(), x̂.cpu()
        numbers = {"mse": mse(x, x̂), "psnr": psnr(x, x̂), "ssim": ssim(x, x̂)}
        if features is not None:
            numbers["features"] = feature_distance(x, x̂, features)
        if perceptual is not None:
            numbers["perceptual"] = perceptual(x, x̂).double()
        for name, values in numbers.items():
            found.setdefault(name, []).append(values)
    if not found:
        raise InputError("there are no images whose reconstructions could be measured")
    each = {name: torch.cat(values) for name, values in found.items()}
    finite = each["psnr"].isfinite()
    return Errors(
        mse=of_mean(each["mse"]).within(0, float("inf")),
        psnr=of_mean(each["psnr"][finite]) if finite.any() else _infinite(len(finite)),
        ssim=of_mean(each["ssim"]).within(-1, 1),
        features=of_mean(each["features"]).within(0, float("inf")) if features else None,
        perceptual=of_mean(each["perceptual"]).within(0, float("inf")) if perceptual else None,
        each=each,
        exact=int((~finite).sum()),
    )


def mse(x: Tensor, x̂: Tensor) -> Tensor:
    """Mean squared error of each image: (B, …) → (B,), float64."""
    return (x.double() - x̂.double()).square().flatten(1).mean(1)


def psnr(x: Tensor, x̂: Tensor) -> Tensor:
    """10 log₁₀(span² / MSE) of each image, in decibels: (B,), infinite where they are equal."""
    return 10 * torch.log10(SPAN**2 / mse(x, x̂))


def ssim(x: Tensor, x̂: Tensor) -> Tensor:
    """Structural similarity of each image (B, C, H, W), averaged over places and channels: (B,).

    The window lies wholly within the image. It is 11 pixels wide, or as wide as an odd number of
    pixels can be in a smaller image.
    """
    sides = [min(WINDOW, side - 1 + side % 2) for side in x.shape[-2:]]
    down, across = (_gaussian(side) for side in sides)

    def mean(u: Tensor) -> Tensor:
        rows = F.conv2d(u.flatten(0, 1)[:, None], down[None, None, :, None])
        return F.conv2d(rows, across[None, None, None]).unflatten(0, u.shape[:2]).squeeze(2)

    x, x̂ = x.double(), x̂.double()
    μ1, μ2 = mean(x), mean(x̂)
    σ11, σ22, σ12 = mean(x * x) - μ1**2, mean(x̂ * x̂) - μ2**2, mean(x * x̂) - μ1 * μ2
    C1, C2 = (K1 * SPAN) ** 2, (K2 * SPAN) ** 2
    # Equation 13.
    S = (2 * μ1 * μ2 + C1) * (2 * σ12 + C2) / ((μ1**2 + μ2**2 + C1) * (σ11 + σ22 + C2))
    return S.flatten(1).mean(1)


def feature_distance(x: Tensor, x̂: Tensor, features: Features) -> Tensor:
    """‖φ(x) − φ(x̂)‖ of each image: (B,)."""
    a, b = (extract(features, [images]).double() for images in (x, x̂))
    return (a - b).norm(dim=1)


def _gaussian(side: int) -> Tensor:
    offsets = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    weights = torch.exp(-0.5 * (offsets / SIGMA).square())
    return weights / weights.sum()


def _infinite(n: int) -> Measure:
    return Measure(float("inf"), float("inf"), float("inf"), n)


def _check(x: Tensor, x̂: Tensor) -> None:
    if x.shape != x̂.shape:
        raise InputError(
            f"images {tuple(x.shape)} came back as {tuple(x̂.shape)}; give equal shapes"
        )
    if not (x.isfinite().all() and x̂.isfinite().all()):
        raise InputError("images or reconstructions hold values that are not finite numbers")
