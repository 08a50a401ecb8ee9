"""Does a small step in latent space make a small step in the image, whichever way it goes?

Path length: Karras et al., "A style-based generator architecture", 2019, §4.1, with the squared
distance of pixels where they have one of a feature net; a `decode` that ends in one measures with
it. The Jacobian's singular values are how far the image moves along its principal directions
(Arvanitidis, Hansen & Hauberg, "Latent space oddity", 2018): their ratio is 1 where all directions
are worth the same, and large where some hardly show. Measures along paths take pairs of latents,
and a path between them that is straight unless another is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jvp

from preimage.core import InputError, Unsupported
from preimage.metrics.measure import Measure, of_mean, of_median

Decode = Callable[[Tensor], Tensor]  # latents (B, *latent shape) → images or features (B, …)
Path = Callable[[Tensor, Tensor, Tensor], Tensor]  # starts, ends, t in [0, 1] → latents


@torch.no_grad()
def path_length(
    decode: Decode,
    starts: Tensor,  # (N, *latent shape)
    ends: Tensor,  # (N, *latent shape)
    *,
    seed: int = 0,
    epsilon: float = 1e-3,
    path: Path = torch.lerp,
    batch_size: int = 128,
) -> Measure:
    """E ‖G(z_{t+ε}) − G(z_t)‖² / ε², t uniform on the path: small where images change smoothly.

    A linear G = A z between independent standard normal latents has 2 ‖A‖²_F, for any ε.
    """
    t = torch.rand(len(starts), generator=torch.Generator().manual_seed(seed)) * (1 - epsilon)
    t = t.to(starts).view(-1, *[1] * (starts.ndim - 1))
    lengths = []
    for a, b, s in zip(*(x.split(batch_size) for x in (starts, ends, t)), strict=True):
        change = decode(path(a, b, s + epsilon)) - decode(path(a, b, s))
        lengths.append(change.flatten(1).double().square().sum(1) / epsilon**2)
    return of_mean(torch.cat(lengths).cpu())


@torch.no_grad()
def largest_step(
    decode: Decode,
    starts: Tensor,  # (N, *latent shape)
    ends: Tensor,  # (N, *latent shape)
    *,
    frames: int = 16,
    path: Path = torch.lerp,
) -> Measure:
    """The largest step between frames over the mean step, per path, averaged over paths.

    1 where every path is walked evenly; frames − 1 where each path is one jump.
    """
    if frames < 3:
        raise ValueError(f"an interpolation needs at least 3 frames to compare, not {frames}")
    t = torch.linspace(0, 1, frames).to(starts).view(-1, *[1] * (starts.ndim - 1))
    ratios = []
    for a, b in zip(starts, ends, strict=True):
        images = decode(path(a[None], b[None], t)).flatten(1).double()
        steps = images.diff(dim=0).norm(dim=1)
        ratios.append(steps.max() / steps.mean().clamp_min(1e-12))
    return of_mean(torch.stack(ratios).cpu())


@dataclass(frozen=True)
class Spectrum:
    """Singular values of dG/dz at points of latent space.

    Estimands: medians (of the rank: mean) over all latents such as these.
    """

    values: Tensor  # (N, r) of each point, descending; r is the smaller of latents and pixels
    condition: Measure  # the largest over the smallest: 1 is the same in all directions
    rank: Measure  # (Σσ²)² / Σσ⁴: how many directions share the movement (participation ratio)
    largest: Measure
    smallest: Measure

    @property
    def profile(self) -> Tensor:
        """The median over points of the first, second, … singular value: (r,)."""
        return self.values.quantile(0.5, dim=0)


def jacobian_spectrum(
    decode: Decode,
    latents: Tensor,  # (N, *latent shape)
    *,
    batch_size: int = 64,  # directions that are pushed through the generator at a time
) -> Spectrum:
    """The singular values at every point; one d-th of a batch of latents has to fit in memory.

    They come as roots of the eigenvalues of JᵀJ in float64: those below 1e-7 of the largest, which
    the precision of a generator does not resolve, are noise.

    Raises Unsupported where the generator has an operation without a forward-mode derivative.
    """
    _check_latents(latents)
    values = torch.stack([_singular_values(decode, z, batch_size) for z in latents])
    energy = values.square()
    rank = energy.sum(1).square() / energy.square().sum(1).clamp_min(1e-300)
    infinity = float("inf")
    return Spectrum(
        values,
        of_median(_condition(values)).within(1, infinity),
        of_mean(rank).within(0, values.shape[1]),
        of_median(values[:, 0]).within(0, infinity),
        of_median(values[:, -1]).within(0, infinity),
    )


@dataclass(frozen=True)
class PathCondition:
    """Condition numbers of dG/dz along paths.

    Estimands: medians over all such paths, whose points are not independent but which are.
    """

    t: Tensor  # (frames,) in [0, 1]
    values: Tensor  # (N, frames)
    typical: Measure  # the median along a path
    worst: Measure  # the largest along a path


def path_condition(
    decode: Decode,
    starts: Tensor,  # (N, *latent shape)
    ends: Tensor,  # (N, *latent shape)
    *,
    frames: int = 9,
    path: Path = torch.lerp,
    batch_size: int = 64,
) -> PathCondition:
    """The condition number at evenly spaced points of each path, its ends among them."""
    if frames < 2:
        raise InputError(f"a path has at least 2 frames, its ends, not {frames}")
    _check_latents(starts)
    t = torch.linspace(0, 1, frames).to(starts)
    rows = []
    for a, b in zip(starts, ends, strict=True):
        z = path(a[None], b[None], t.view(-1, *[1] * (starts.ndim - 1)))
        rows.append(_condition(torch.stack([_singular_values(decode, p, batch_size) for p in z])))
    values = torch.stack(rows)
    infinity = float("inf")
    return PathCondition(
        t.cpu(),
        values,
        of_median(values.quantile(0.5, dim=1)).within(1, infinity),
        of_median(values.amax(1)).within(1, infinity),
    )


@torch.no_grad()
def _singular_values(decode: Decode, z: Tensor, batch_size: int) -> Tensor:
    """Of dG/dz at one latent (*latent shape): (r,), descending, float64 on the CPU.

    Copies of the latent go through as a batch, each with one direction: what `decode` makes of one
    must not depend on the others, as nothing in evaluation mode does.
    """
    d = z.numel()
    rows = []
    for part in torch.eye(d, dtype=z.dtype, device=z.device).split(batch_size):
        copies = z.repeat(len(part), *[1] * z.ndim)
        try:
            tangents = jvp(decode, (copies,), (part.view_as(copies),))[1]
        except NotImplementedError as error:
            line = str(error).splitlines()[0]
            raise Unsupported(f"the generator has no forward-mode derivative: {line}") from error
        rows.append(tangents.flatten(1).double().cpu())
    return singular_values(torch.cat(rows))


def singular_values(Jt: Tensor) -> Tensor:
    """Of a matrix (d, D): (min(d, D),), descending, as roots of the smaller Gram matrix's."""
    gram = Jt @ Jt.T if len(Jt) <= Jt.shape[1] else Jt.T @ Jt
    return torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().flip(0)


def _condition(values: Tensor) -> Tensor:
    """(N, r) → (N,): infinite where a direction moves nothing."""
    return values[:, 0] / values[:, -1]


def _check_latents(z: Tensor) -> None:
    if not len(z):
        raise InputError("there are no latents at which the Jacobian could be taken")
    if not z.isfinite().all():
        raise InputError("latents hold values that are not finite numbers")
