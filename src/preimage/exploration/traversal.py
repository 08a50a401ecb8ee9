"""What directions do to images: sheets of steps along them, how much moves, and which are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel
from preimage.exploration.decoding import check_room, decoded
from preimage.exploration.direction import Direction

STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Traversal:
    """Images along directions: a row for each direction, a column for each strength."""

    names: tuple[str, ...]  # of the R directions
    strengths: tuple[float, ...]  # S of them
    images: Tensor  # (B, R, S, C, H, W) in [−1, 1], of B starting points

    def rows(self, start: int = 0) -> Mapping[str, Tensor]:
        """Name of the direction → its images (S, C, H, W), from one starting point."""
        return dict(zip(self.names, self.images[start], strict=True))


@torch.no_grad()
def traverse(
    model: LatentModel,
    directions: Sequence[Direction],
    latents: Tensor,  # (B, *space.shape): where to begin
    *,
    labels: Tensor | None = None,  # (B,), of a conditional model
    strengths: Sequence[float] = STRENGTHS,
    batch_size: int = 1024,
) -> Traversal:
    """All images in one batched decode, or few.

    Raises InputError where directions belong to another model, and for more images than memory
    holds.
    """
    if not directions or not len(strengths):
        raise InputError("a traversal takes at least one direction and one strength")
    for direction in directions:
        direction.check(model)
    check_room(model, len(latents) * len(directions) * len(strengths))
    images = _walk(model, directions, latents, labels, strengths, batch_size)
    names = tuple(direction.name for direction in directions)
    return Traversal(names, tuple(map(float, strengths)), images)


@dataclass(frozen=True)
class Effects:
    """What a unit of each of R directions does to images, and to which part of them."""

    names: tuple[str, ...]
    change: Tensor  # (R,): mean squared change of a pixel, for one unit
    share: Tensor  # (R,): of the pixels that take part, 1/P where one does all and 1 for all alike
    maps: Tensor  # (R, H, W): root mean square change of each pixel; (R, *shape) of other data
    latent_cosine: Tensor  # (R, R): |cos| of the directions themselves
    image_cosine: Tensor  # (R, R): |cos| of the changes they make

    def alike(self, above: float = 0.8) -> list[tuple[str, str]]:
        """Pairs that change images alike, or opposite: the same direction twice."""
        pairs = (self.image_cosine > above).triu(1).nonzero().tolist()
        return [(self.names[i], self.names[j]) for i, j in pairs]


@torch.no_grad()
def effects(
    model: LatentModel,
    directions: Sequence[Direction],
    latents: Tensor,  # (B, *space.shape)
    *,
    labels: Tensor | None = None,
    batch_size: int = 1024,
) -> Effects:
    """Central differences over one unit, x(z + ½n) − x(z − ½n), means over the latents given.

    The share is the participation ratio (Σc)²/(P Σc²) of the pixels' squared changes c.
    """
    for direction in directions:
        direction.check(model)
    R = len(directions)
    energy, inner, parts = None, torch.zeros(R, R, dtype=torch.float64), 0
    for rows in torch.arange(len(latents)).split(max(1, batch_size // (2 * R))):
        y = None if labels is None else labels[rows]
        x = _walk(model, directions, latents[rows], y, (-0.5, 0.5), batch_size).double()
        Δ = x[:, :, 1] - x[:, :, 0]  # (b, R, *data)
        squares = Δ.square().sum(0)
        energy = squares if energy is None else energy + squares
        inner += torch.einsum("brp,bqp->rq", Δ.flatten(2), Δ.flatten(2))
        parts += len(rows)
    if energy is None:
        raise InputError("no latents to see the effects of directions at")
    energy = energy / parts  # (R, *data)
    pixels = energy.mean(1) if model.data.kind == "image" else energy  # (R, H, W)
    c = pixels.flatten(1)
    share = c.sum(1).square() / (c.shape[1] * c.square().sum(1)).clamp_min(1e-300)
    length = inner.diagonal().sqrt().clamp_min(1e-150)
    v = torch.stack([d.vector.double().flatten() for d in directions])
    v = v / v.norm(dim=1, keepdim=True).clamp_min(1e-150)
    return Effects(
        names=tuple(direction.name for direction in directions),
        change=c.mean(1).float(),
        share=share.float(),
        maps=pixels.sqrt().float(),
        latent_cosine=(v @ v.T).abs().float(),
        image_cosine=(inner / length[:, None] / length).abs().float(),
    )


def _walk(
    model: LatentModel,
    directions: Sequence[Direction],
    latents: Tensor,  # (B, *shape)
    labels: Tensor | None,
    strengths: Sequence[float],
    batch_size: int,
) -> Tensor:
    """Images (B, R, S, *data) of all latents moved along all directions, on the CPU."""
    spaces = {direction.space for direction in directions}
    if len(spaces) > 1:
        raise InputError("the directions are of different latent spaces; take each by itself")
    space = spaces.pop()
    s = torch.as_tensor(strengths, dtype=latents.dtype)
    starts, at = latents.repeat_interleave(len(s), 0), s.repeat(len(latents))
    moved = torch.stack([d.move(starts, at) for d in directions], 1)  # (B·S, R, *shape)
    moved = moved.unflatten(0, (len(latents), len(s))).transpose(1, 2)  # (B, R, S, *shape)
    grid = moved.shape[:3]
    y = None if labels is None else labels[:, None, None].expand(grid).flatten()
    images = decoded(model, moved.flatten(0, 2), y, space=space, batch_size=batch_size)
    return images.cpu().unflatten(0, grid)
