"""The manifold of a model, as a grid of images: two ways through its latent space, across and up.

Places on an axis are evenly spaced in probability, not in length: z = Φ⁻¹(q), with q from edge to
edge and Φ the normal distribution function (Kingma & Welling, "Auto-Encoding Variational Bayes",
appendix A). Of two latent numbers that is the whole space; of more it is a plane through a centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, LatentSpace, Uniform
from preimage.exploration.decoding import AT_ONCE, check_room, decoded
from preimage.exploration.direction import Direction

EDGES = (0.05, 0.95)  # quantiles from edge to edge
SIZE = 15  # places on an axis
TRIED = 1024  # numbers of a latent, at most, of which the liveliest are looked for


@dataclass(frozen=True)
class Manifold:
    """n × n latents and their images, row by row: the top row has the second axis's highest."""

    images: Tensor  # (n², C, H, W) in [−1, 1]
    latents: Tensor  # (n², *space.shape)
    across: Tensor  # (n,): the first axis's values, of columns from left to right
    up: Tensor  # (n,): the second axis's, of rows from bottom to top
    names: tuple[str, str]  # of the axes
    edges: tuple[float, float]
    label: int | None = None  # the class, of a conditional model

    @property
    def size(self) -> int:
        return len(self.across)


def quantiles(n: int, *, edges: tuple[float, float] = EDGES) -> Tensor:
    """Φ⁻¹ at n probabilities evenly spaced between the edges: (n,)."""
    low, high = edges
    if not 0 < low < high < 1:
        raise InputError(
            f"quantiles {low:g} to {high:g}; both lie between 0 and 1, the lower first"
        )
    if n < 2:
        raise InputError(f"a grid of {n} has no second place; give at least 2")
    return torch.special.ndtri(torch.linspace(low, high, n, dtype=torch.float64)).float()


@torch.no_grad()
def manifold(
    model: LatentModel,
    axes: Sequence[int | Direction] = (0, 1),
    *,
    centre: Tensor | None = None,  # (*space.shape); the mean of the space where None
    data: Tensor | None = None,  # (N, *space.shape) latents that set the axes' spread
    size: int = SIZE,
    edges: tuple[float, float] = EDGES,
    label: int | str | None = None,
) -> Manifold:
    """The grid in one batched decode, or few.

    axes: two of the latent's numbers, counted from 0 as they stand when it is flat, or Directions,
        or one of each. A number takes the quantiles of its prior, or of `data`; along a Direction
        they are strengths from the centre.

    Raises InputError for a dimension that the latent does not have, axes that are the same, edges
    that are no quantiles, a grid too large for memory, a centre of another shape, and a Direction
    of another model.
    """
    shape = model.space.shape
    first, second = _checked(axes, model)
    if centre is None:
        centre = _mean(model.space) if data is None else data.mean(0)
    if centre.shape != shape:
        raise InputError(f"centre of shape {tuple(centre.shape)}; the latents are {tuple(shape)}")
    check_room(model, size * size)
    u = quantiles(size, edges=edges)
    across, up = (_values(model.space, axis, u, data) for axis in (first, second))
    z = centre.detach().cpu().float().expand(size * size, *shape)
    z = _moved(z, first, across.repeat(size))
    z = _moved(z, second, up.flip(0).repeat_interleave(size))
    labels = model.labels_for(1, 0 if label is None and model.conditional else label)
    every = None if labels is None else labels.expand(len(z))
    images = decoded(model, z, every).cpu()
    return Manifold(
        images=images,
        latents=z,
        across=across,
        up=up,
        names=(_name(first), _name(second)),
        edges=edges,
        label=None if labels is None else int(labels),
    )


@torch.no_grad()
def liveliest(
    model: LatentModel, *, but: Sequence[int] = (), label: int | str | None = None
) -> list[int]:
    """The latent's numbers by how much of the image each moves, a step to either side of the mean.

    Many of a model's numbers may be dead: a plane of two of those is one image again and again. Of
    very large latents the first 1,024 are tried.
    """
    d = min(model.space.size, TRIED)
    steps = torch.eye(d, model.space.size).repeat(2, 1)
    steps[d:] *= -1
    z = _mean(model.space).cpu().float() + steps.reshape(-1, *model.space.shape)
    labels = model.labels_for(1, 0 if label is None and model.conditional else label)
    moved = []
    for rows in torch.arange(d).split(AT_ONCE):
        either = None if labels is None else labels.expand(len(rows))
        above, below = (decoded(model, z[i], either).cpu() for i in (rows, rows + d))
        moved.append((above - below).flatten(1).square().sum(1))
    order = torch.cat(moved).argsort(descending=True, stable=True).tolist()
    return [i for i in order if i not in but]


def _moved(z: Tensor, axis: int | Direction, values: Tensor) -> Tensor:
    """Latents (B, *shape) with each its own value (B,) on the axis."""
    if isinstance(axis, Direction):
        return axis.move(z, values)
    flat = z.flatten(1).clone()
    flat[:, axis] = values
    return flat.reshape(z.shape)


def _values(space: LatentSpace, axis: int | Direction, u: Tensor, data: Tensor | None) -> Tensor:
    """The axis's values (n,) at normal quantiles u (n,)."""
    if isinstance(axis, Direction):
        return u
    q = torch.special.ndtr(u)
    if data is not None:
        return torch.quantile(data.flatten(1)[:, axis].float(), q)
    return 2 * q - 1 if space.priors and isinstance(space.chosen(), Uniform) else u


def _mean(space: LatentSpace) -> Tensor:
    """The middle of N(0, I) where that is a prior, else of the default one."""
    if "normal" in space.priors or not space.priors:
        return torch.zeros(space.shape)
    return space.mean().cpu()


def _checked(axes: Sequence[int | Direction], model: LatentModel) -> tuple[int | Direction, ...]:
    if len(axes) != 2:
        raise InputError(f"a grid has two axes, not {len(axes)}; give two dimensions or directions")
    for axis in axes:
        if isinstance(axis, Direction):
            axis.check(model)
        elif not 0 <= axis < model.space.size:
            raise InputError(f"no dimension {axis}; the latents have 0 to {model.space.size - 1}")
    if _name(axes[0]) == _name(axes[1]):
        raise InputError(f"both axes are {_name(axes[0])}; give two different ones")
    return tuple(axes)


def _name(axis: int | Direction) -> str:
    return axis.name if isinstance(axis, Direction) else f"z{axis}"
