"""What restoration is measured against: methods of image processing, and the model without it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from skimage.restoration import denoise_nl_means, inpaint_biharmonic
from torch import Tensor

import preimage as pi

RADIUS = 3  # of OpenCV's inpainting, as its manual has it


def telea(x: Tensor, hole: Tensor) -> Tensor:
    return _each(x, hole, lambda u, m: cv2.inpaint(u, m, RADIUS, cv2.INPAINT_TELEA))


def navier_stokes(x: Tensor, hole: Tensor) -> Tensor:
    return _each(x, hole, lambda u, m: cv2.inpaint(u, m, RADIUS, cv2.INPAINT_NS))


def biharmonic(x: Tensor, hole: Tensor) -> Tensor:
    def fill(u: np.ndarray, m: np.ndarray) -> np.ndarray:
        planes = u if u.ndim == 3 else u[:, :, None]
        return inpaint_biharmonic(planes / 255, m > 0, channel_axis=2) * 255

    return _each(x, hole, fill)


def mean(x: Tensor, hole: Tensor) -> Tensor:
    known = (~hole).expand_as(x)
    mean = (x * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
    return torch.where(hole, mean, x)


@torch.no_grad()
def pasted(model: pi.LatentModel, x: Tensor, hole: Tensor) -> Tensor:
    """The model's plain reconstruction of the image as it is given, pasted into the hole."""
    z = model.encode(mean(x, hole)).mean
    return torch.where(hole, model.decode(z), x)


FILLERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "OpenCV Telea": telea,
    "OpenCV Navier–Stokes": navier_stokes,
    "scikit-image biharmonic": biharmonic,
    "mean": mean,
}


def bicubic(y: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(y, size, mode="bicubic", align_corners=False).clamp(-1, 1)


def non_local_means(y: Tensor, sigma: float) -> Tensor:
    """scikit-image's, with the noise level known and its manual's factors."""
    rows = []
    for image in y.permute(0, 2, 3, 1).double().numpy():
        grey = image.shape[2] == 1  # a single channel it takes for none
        cleaned = denoise_nl_means(
            image[:, :, 0] if grey else image, h=0.8 * sigma, sigma=sigma, fast_mode=True,
            patch_size=5, patch_distance=6, channel_axis=None if grey else 2,
        )  # fmt: skip
        rows.append(cleaned.reshape(image.shape))
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).to(y).clamp(-1, 1)


def _each(x: Tensor, hole: Tensor, fill: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Tensor:
    rows = []
    for image, missing in zip(x, hole.expand(len(x), -1, -1, -1), strict=True):
        pixels = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy().squeeze()
        filled = fill(np.ascontiguousarray(pixels), missing[0].numpy().astype(np.uint8) * 255)
        filled = filled if filled.ndim == 3 else filled[:, :, None]
        rows.append(torch.from_numpy(filled.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1)
    return torch.where(hole, torch.stack(rows), x)
