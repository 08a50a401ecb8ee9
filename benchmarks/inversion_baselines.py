"""What others do to find the latent behind an image, written down as they write it down.

Each takes a generator and images (N, C, H, W) and gives latents (N, d) after a number of steps
that is fixed beforehand. None sees the true latents. The squared error over the pixels is what
all of them minimise, so that they can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import optimize
from torch import Tensor, nn
from torch.func import jvp, vmap

from preimage import LatentModel

Baseline = Callable[[LatentModel, Tensor], Tensor]

RATES = (0.01, 0.03, 0.1, 0.3)
SEED = 7  # of the starts; the targets have another


def textbook(model: LatentModel, x: Tensor, *, rate: float = 0.01, steps: int = 500) -> Tensor:
    """One image at a time, Adam from z ~ N(0, I), the last step's latent."""
    z = _starts(model, len(x))
    return torch.cat([_adam(model, x[i : i + 1], z[i : i + 1], rate, steps) for i in range(len(x))])


def batched_adam(model: LatentModel, x: Tensor, *, rate: float, steps: int = 500) -> Tensor:
    """The same for 32 images at a time; their losses are summed, so that none sees another."""
    z = _starts(model, len(x))
    pairs = zip(x.split(32), z.split(32), strict=True)
    return torch.cat([_adam(model, *pair, rate, steps) for pair in pairs])


def best_of_starts(
    model: LatentModel, x: Tensor, *, rate: float, starts: int = 8, steps: int = 2000
) -> Tensor:
    """Adam from so many starts on each image, the best kept; the rate falls to zero as a cosine."""
    z, y = _starts(model, len(x) * starts), x.repeat_interleave(starts, 0)
    parts = zip(y.split(32), z.split(32), strict=True)
    found = torch.cat([_adam(model, *part, rate, steps, decay=True) for part in parts])
    best = errors(model, found, y).reshape(len(x), starts).argmin(1)
    return found.reshape(len(x), starts, -1)[torch.arange(len(x)), best]


def projector(model: LatentModel, x: Tensor, *, steps: int = 1000) -> Tensor:
    """The StyleGAN2 projector's schedule (Karras et al. 2020, appendix D), in z; one at a time.

    From the mean latent, Adam with noise added to the latent and a learning rate that ramps up
    and, as a cosine, down. Its perceptual distance is replaced by the squared error.
    """
    known = model.space.sample(10_000, seed=SEED)
    mean = known.mean(0)
    deviation = (known - mean).square().sum(1).mean().sqrt().item()
    noise = torch.Generator().manual_seed(SEED)
    found = []
    for target in x.split(1):
        z = mean[None].clone().requires_grad_()
        adam = torch.optim.Adam([z], betas=(0.9, 0.999))
        for step in range(steps):
            t = step / steps
            strength = deviation * 0.05 * max(0, 1 - t / 0.75) ** 2
            ramp = min(1, t / 0.05) * (0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / 0.25)))
            adam.param_groups[0]["lr"] = 0.1 * ramp
            adam.zero_grad()
            noisy = z + strength * torch.randn(z.shape, generator=noise)
            (model.decode(noisy) - target).square().sum().backward()
            adam.step()
        found.append(z.detach())
    return torch.cat(found)


def scipy_lbfgs(model: LatentModel, x: Tensor, *, steps: int = 500) -> Tensor:
    """SciPy's L-BFGS-B on one image at a time, gradients by backpropagation."""

    def solved(target: Tensor, start: Tensor) -> Tensor:
        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            z = torch.from_numpy(flat).float()[None].requires_grad_()
            value = (model.decode(z) - target).square().sum()
            (gradient,) = torch.autograd.grad(value, z)
            return value.item(), gradient[0].double().numpy()

        options = {"maxiter": steps, "maxfun": 2 * steps, "ftol": 0, "gtol": 1e-8, "maxcor": 20}
        found = optimize.minimize(
            loss, start.double().numpy(), jac=True, method="L-BFGS-B", options=options
        )
        return torch.from_numpy(found.x).float()

    return torch.stack([solved(*pair) for pair in zip(x, _starts(model, len(x)), strict=True)])


def scipy_lm(model: LatentModel, x: Tensor, *, steps: int = 200) -> Tensor:
    """MINPACK's Levenberg–Marquardt on one image at a time, Jacobians by forward mode."""

    def solved(target: Tensor, start: Tensor) -> Tensor:
        def residual(flat: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                image = model.decode(torch.from_numpy(flat).float()[None])
            return (image[0] - target).flatten().double().numpy()

        def jacobian(flat: np.ndarray) -> np.ndarray:
            return jacobians(model, torch.from_numpy(flat).float()[None])[0].double().numpy()

        found = optimize.least_squares(
            residual, start.double().numpy(), jacobian, method="lm", max_nfev=steps
        )
        return torch.from_numpy(found.x).float()

    return torch.stack([solved(*pair) for pair in zip(x, _starts(model, len(x)), strict=True)])


def pypose_lm(model: LatentModel, x: Tensor, *, steps: int = 30) -> Tensor:
    """PyPose's Levenberg–Marquardt with its trust region, on one image at a time.

    Its Jacobian is by reverse mode, a row a pixel: too large for images much above 28×28.
    """
    from pypose.optim import LM
    from pypose.optim.strategy import TrustRegion

    class Residual(nn.Module):
        def __init__(self, target: Tensor, start: Tensor):
            super().__init__()
            self.target, self.z = target, nn.Parameter(start[None].clone())

        def forward(self, _: None) -> Tensor:
            return (model.decode(self.z) - self.target).flatten()

    def solved(target: Tensor, start: Tensor) -> Tensor:
        residual = Residual(target, start)
        solver = LM(residual, strategy=TrustRegion())
        for _ in range(steps):
            if solver.step(None) < 1e-9:
                break
        return residual.z.detach()[0]

    return torch.stack([solved(*pair) for pair in zip(x, _starts(model, len(x)), strict=True)])


def jacobians(model: LatentModel, z: Tensor) -> Tensor:
    """dG/dz of latents (B, d), by forward mode: (B, pixels, d)."""
    basis = torch.eye(z.shape[1])

    def tangent(v: Tensor) -> Tensor:
        return jvp(lambda z: model.decode(z).flatten(1), (z,), (v.expand_as(z),))[1]

    with torch.no_grad():
        return vmap(tangent, out_dims=2, chunk_size=16)(basis)


@torch.no_grad()
def errors(model: LatentModel, z: Tensor, x: Tensor) -> Tensor:
    """Squared error per pixel of each image, (N,), by the model as it is."""
    pairs = zip(z.split(64), x.split(64), strict=True)
    return torch.cat([(model.decode(a) - b).square().flatten(1).mean(1) for a, b in pairs])


def _starts(model: LatentModel, n: int) -> Tensor:
    return model.space.sample(n, seed=SEED, prior="normal")


def _adam(
    model: LatentModel, x: Tensor, z: Tensor, rate: float, steps: int, *, decay: bool = False
) -> Tensor:
    z = z.clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=rate)
    for step in range(steps):
        if decay:
            adam.param_groups[0]["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        adam.zero_grad()
        (model.decode(z) - x).square().sum().backward()
        adam.step()
    return z.detach()
