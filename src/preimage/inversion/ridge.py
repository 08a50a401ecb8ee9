"""Where a learned encoder begins: the ridge regression of latents on images, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from preimage.core import LatentModel, seeds
from preimage.inversion.encoder import EncodedModel

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # to choose from, in mean variances of a pixel
BATCH = 256


@dataclass(frozen=True)
class Pairs:
    """Generated images, as the regression sees them, and the latents they were made from."""

    z: Tensor  # (N, *latent)
    labels: Tensor | None  # (N,)
    seen: Tensor  # (N, D): the image less the central one, reduced


@torch.no_grad()
def start_from_ridge(
    model: EncodedModel, judged: Tensor, labels: Tensor | None, *, pairs: int, seed: int
) -> None:
    """Set the linear part of the first pass, then that of those which follow.

    pairs: how many are generated for the regression.
    judged: images (M, C, H, W), and their labels, by which the strength of the ridge is chosen:
    what is best on generated images leaves too much noise on real ones.
    """
    encoder = model.encoder
    made = _pairs(model, pairs, seed=seed)
    u = (made.z.flatten(1) - encoder.centre) / encoder.scale
    for k, layer in enumerate((encoder.first, encoder.again), start=1):
        e, to_find = made.seen, u
        if k == 2:
            e, to_find = e - _decoded(model, made), u - encoder.first(e).float()
        maps = _ridge_maps(e, to_find)
        errors = []
        for weights in maps:
            _set(layer, weights)
            *_, z = model.passes(judged, labels, refinements=k)
            errors.append((model.decode(z, labels) - judged).square().mean())
        _set(layer, maps[int(torch.stack(errors).argmin())])


@torch.no_grad()
def centre(model: EncodedModel, *, seed: int, count: int = 4096) -> None:
    """Set the centre and the scale of the encoder's latents, and what the centre decodes to."""
    encoder, space = model.encoder, model.space
    z = space.draw(count, seeds.generator(seed, "scale")).flatten(1).to(encoder.centre.device)
    encoder.centre.copy_(space.mean().flatten())
    encoder.scale.copy_(z.std(0).clamp_min(1e-6))
    n = max(len(model.classes), 1)
    middle, _ = encoder.start(n, None)
    labels = torch.arange(n, device=z.device) if model.classes else None
    encoder.central.copy_(model.decode(middle, labels))


def drawn_labels(model: LatentModel, n: int) -> Tensor | None:
    """Random classes (n,) of a conditional model, by torch's current generator."""
    if not model.conditional:
        return None
    return torch.randint(len(model.classes), (n,)).to(model.device)


def _pairs(model: EncodedModel, n: int, *, seed: int) -> Pairs:
    z = model.space.draw(n, seeds.generator(seed, "pairs")).to(model.device)
    labels = None
    if model.classes:
        labels = torch.arange(n, device=model.device) % len(model.classes)
    return Pairs(z, labels, _decoded(model, Pairs(z, labels, z), z))


def _decoded(model: EncodedModel, pairs: Pairs, z: Tensor | None = None) -> Tensor:
    """G(z) less the central image, reduced: (N, D); unset, z is what the first pass finds."""
    encoder, rows = model.encoder, []
    for first in range(0, len(pairs.z), BATCH):
        part = slice(first, first + BATCH)
        labels = None if pairs.labels is None else pairs.labels[part]
        middle, x̂ = encoder.start(len(pairs.z[part]), labels)
        if z is None:
            Δ = encoder.first(pairs.seen[part]).float() * encoder.scale
            latents = middle + Δ.reshape(middle.shape)
        else:
            latents = z[part]
        rows.append(encoder.reduced(model.decode(latents, labels).float() - x̂))
    return torch.cat(rows)


def _ridge_maps(e: Tensor, u: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The weight (d, D) and bias (d,) of the regression of u (N, d) on e (N, D), for each ridge."""
    ē, ū = e.mean(0), u.mean(0)
    e = e - ē
    C, R = (e.T @ e).double(), (e.T @ (u - ū)).double()  # the smallest ridges need the digits
    mean = C.diagonal().mean() + 1e-12
    maps = []
    for ridge in RIDGES:
        L = torch.linalg.cholesky(C + ridge * mean * torch.eye(len(C), device=C.device))
        W = torch.cholesky_solve(R, L).T.float()
        maps.append((W, ū - W @ ē))
    return maps


def _set(layer: nn.Linear, weights: tuple[Tensor, Tensor]) -> None:
    layer.weight.copy_(weights[0])
    layer.bias.copy_(weights[1])
