"""The operators of restoration: all linear, so that A maps tangents as it maps images."""

from __future__ import annotations

import math
from copy import copy
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.inversion.operators.base import ImageOperator, fitted

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
WIDEST = 1000  # standard deviation of a Gaussian kernel, in pixels, at most
TRUNCATE = 4.0  # standard deviations at which a Gaussian kernel ends


class Identity(ImageOperator):
    """The image itself: y = x."""

    name = "identity"

    def __call__(self, x: Tensor) -> Tensor:
        return x

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name}

    def __str__(self) -> str:
        return "the image as it is"


class Noise(ImageOperator):
    """y = x + σε: as a map the identity; it tells the posterior and the stopping rule σ."""

    name = "noise"

    def __init__(self, sigma: float):
        """sigma: standard deviation, in units of images in [−1, 1]; above 0."""
        if not (sigma > 0 and math.isfinite(sigma)):
            raise InputError(f"a noise level of {sigma:g}; give a standard deviation above 0")
        self.noise = float(sigma)

    def __call__(self, x: Tensor) -> Tensor:
        return x

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name, "sigma": self.noise}

    def __str__(self) -> str:
        return f"noise of σ {self.noise:g}"


class Mask(ImageOperator):
    """Only some values are seen; those that are not become 0, in y as in A(x).

    A mask's edges may be soft: a value between 0 and 1 is seen, and counts so much in the losses,
    which are weighted means over what was seen.
    """

    name = "mask"

    def __init__(self, mask: Tensor):
        """mask: (H, W), (C, H, W) or, for a mask an image, (B, 1, H, W) or (B, C, H, W); 1 is
        seen, 0 is not.

        Raises InputError where values are outside [0, 1], or all of an image is covered.
        """
        mask = torch.as_tensor(mask)
        if mask.dim() not in (2, 3, 4):
            raise InputError(f"a mask of shape {tuple(mask.shape)}; give one that is (H, W)")
        mask = mask.float() if not mask.is_floating_point() else mask
        if not ((mask >= 0) & (mask <= 1)).all():
            low, high = mask.min().item(), mask.max().item()
            raise InputError(
                f"the mask's values go from {low:g} to {high:g}; give 1 for seen, 0 for not"
            )
        self.mask = mask.reshape(*[1] * (4 - mask.dim()), *mask.shape)
        self.support = (self.mask > 0).to(mask)
        covered = (~self.support.flatten(1).bool().any(1)).nonzero()[:, 0].tolist()
        if covered:
            whole = "" if len(self.mask) == 1 else f" of image {covered[0]}"
            raise InputError(f"the mask covers everything{whole}; 1 marks the values that are seen")

    def __call__(self, x: Tensor) -> Tensor:
        return x * fitted(self.support, x, self.name)

    def select(self, rows: Tensor) -> Mask:
        if len(self.mask) == 1:
            return self
        if len(rows) and int(rows.max()) >= len(self.mask):
            raise InputError(
                f"there are {len(self.mask)} masks for at least {int(rows.max()) + 1} images; "
                "give one for all, or one for each"
            )
        some, rows = copy(self), rows.to(self.mask.device)  # it need not be checked again
        some.mask, some.support = self.mask[rows], self.support[rows]
        return some

    def carry(self, seen: Tensor | None) -> Tensor:
        return self.mask if seen is None else fitted(self.mask, seen, self.name) * seen

    def to_json(self) -> dict[str, Any]:
        share = round(self.mask.mean().item(), 6)
        return {"type": self.name, "shape": list(self.mask.shape), "seen": share}

    def __str__(self) -> str:
        return f"a mask through which {self.mask.mean().item():.0%} is seen"


class Grey(ImageOperator):
    """Luma, 0.299 R + 0.587 G + 0.114 B: (B, 3, H, W) → (B, 1, H, W). Grey images stay."""

    name = "grey"

    def __call__(self, x: Tensor) -> Tensor:
        """Raises InputError for images of neither one nor three channels."""
        if x.shape[1] == 1:
            return x
        if x.shape[1] != 3:
            raise InputError(f"images of {x.shape[1]} channels have no luma; leave Grey() out")
        return torch.einsum("bchw,c->bhw", x, x.new_tensor(LUMA))[:, None]

    def carry(self, seen: Tensor | None) -> Tensor | None:
        return None if seen is None else self(seen)

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name}

    def __str__(self) -> str:
        return "shades of grey"


class Downsample(ImageOperator):
    """Fewer pixels, antialiased: (B, C, H, W) → (B, C, H // factor, W // factor)."""

    name = "downsample"

    def __init__(self, factor: int, *, filter: str = "area"):
        """
        factor: how many times smaller, a whole number of at least 2.
        filter: "area", the mean over each new pixel, or "bicubic", as image editors do.
        """
        if factor != int(factor) or factor < 2:
            raise InputError(f"downsampling by {factor:g}; give a whole number of at least 2")
        if filter not in FILTERS:
            raise InputError(f"no filter '{filter}'; {nearest_name(filter, FILTERS)}")
        self.factor, self.filter = int(factor), filter

    def __call__(self, x: Tensor) -> Tensor:
        """Raises InputError where nothing of an image would be left."""
        H, W = x.shape[2:]
        h, w = H // self.factor, W // self.factor
        if not (h and w):
            raise InputError(f"{H}×{W} images are too small to be downsampled by {self.factor}")
        rows, columns = (resampling(self.filter, *sizes).to(x) for sizes in ((H, h), (W, w)))
        return rows @ x @ columns.T

    def carry(self, seen: Tensor | None) -> Tensor | None:
        return None if seen is None else Downsample(self.factor)(seen).clamp(0, 1)

    def to_json(self) -> dict[str, Any]:
        return {"type": self.name, "factor": self.factor, "filter": self.filter}

    def __str__(self) -> str:
        return f"{self.factor} times smaller"


class Blur(ImageOperator):
    """Convolution with a kernel of sum 1; beyond its edge an image goes on as it ended."""

    name = "blur"

    def __init__(self, sigma: float | None = None, *, kernel: Tensor | None = None):
        """
        sigma: standard deviation in pixels of a Gaussian, above 0, at most 1000; or else
        kernel: (k, l), odd sizes, at least 0; it is divided by its sum.
        """
        if (sigma is None) == (kernel is None):
            raise InputError("Blur takes a sigma or a kernel, one of them, as in Blur(2.0)")
        self.sigma = None if sigma is None else float(sigma)
        if kernel is None:
            if self.sigma is None or not 0 < self.sigma <= WIDEST:
                raise InputError(
                    f"a blur of σ {sigma:g} pixels; give a number above 0, and at most {WIDEST}"
                )
            self.gaussian = gaussian_kernel(self.sigma, int(TRUNCATE * self.sigma + 0.5))
            return
        kernel = torch.as_tensor(kernel, dtype=torch.float64)
        if kernel.dim() != 2 or not all(size % 2 for size in kernel.shape):
            raise InputError(f"a kernel of shape {tuple(kernel.shape)}; give (k, l), both odd")
        if not (kernel >= 0).all() or not 0 < kernel.sum() < math.inf:
            raise InputError("a blur's kernel must be at least 0, finite and not 0 everywhere")
        self.kernel = kernel / kernel.sum()

    def __call__(self, x: Tensor) -> Tensor:
        return smoothed(x, self.gaussian) if self.sigma else convolved(x, self.kernel)

    def carry(self, seen: Tensor | None) -> Tensor | None:
        return None if seen is None else self(seen).clamp(0, 1)

    def to_json(self) -> dict[str, Any]:
        if self.sigma is not None:
            return {"type": self.name, "sigma": self.sigma}
        return {"type": self.name, "kernel": self.kernel.tolist()}

    def __str__(self) -> str:
        if self.sigma is not None:
            return f"a blur of σ {self.sigma:g} pixels"
        return f"a blur by a {'×'.join(map(str, self.kernel.shape))} kernel"


FILTERS = {"area": {}, "bicubic": {"antialias": True, "align_corners": False}}
"""Name of torch's resampling → its options."""


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must serve where gradients are wanted, too
def resampling(filter: str, size: int, new_size: int) -> Tensor:
    """The matrix (new_size, size), float64, that resamples a row of pixels.

    A matrix is exactly linear, has derivatives of every kind and costs no more than a layer.
    """
    eye = torch.eye(size, dtype=torch.float64)[None, None]
    return F.interpolate(eye, size=(new_size, size), mode=filter, **FILTERS[filter])[0, 0]


def gaussian_kernel(sigma: float, radius: int) -> tuple[float, ...]:
    """exp(−i²/2σ²), i = −radius … radius, of sum 1."""
    k = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    return tuple(value / sum(k) for value in k)


def smoothed(x: Tensor, kernel: tuple[float, ...]) -> Tensor:
    """Rows and columns of x (B, C, H, W) convolved with a symmetric kernel; edges repeat."""
    rows, columns = (smoothing(kernel, size).to(x) for size in x.shape[2:])
    return rows @ x @ columns.T


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must serve where gradients are wanted, too
def smoothing(kernel: tuple[float, ...], size: int) -> Tensor:
    """The matrix (size, size), float64, that convolves a row of pixels."""
    radius, eye = len(kernel) // 2, torch.eye(size, dtype=torch.float64)
    matrix, i = torch.zeros_like(eye), torch.arange(size)
    for j, k in enumerate(kernel):
        matrix += k * eye[(i + j - radius).clamp(0, size - 1)]
    return matrix


def convolved(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of x (B, C, H, W) convolved with a kernel (k, l) of odd sizes; edges repeat."""
    B, C, H, W = x.shape
    r, s = kernel.shape[0] // 2, kernel.shape[1] // 2
    x = x[:, :, torch.arange(-r, H + r, device=x.device).clamp(0, H - 1)]
    x = x[:, :, :, torch.arange(-s, W + s, device=x.device).clamp(0, W - 1)]
    flipped = kernel.flip(0, 1).to(x)[None, None]  # torch's conv2d is a correlation
    return F.conv2d(x.reshape(B * C, 1, *x.shape[2:]), flipped).reshape(B, C, H, W)
