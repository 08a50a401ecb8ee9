"""Walks from latent to latent: a chain of points, and frames along it at equal steps.

What is equal is chosen: steps of the latent, or of the image. The second walks the same curve at
another speed, since a decoder may do nothing for half the way and then everything at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Step
from preimage.core.errors import nearest_name
from preimage.core.words import counted
from preimage.exploration.decoding import check_room, decoded
from preimage.exploration.geodesic import Geodesics, geodesics
from preimage.exploration.interpolation import lerp, slerp

METHODS = ("slerp", "lerp", "geodesic")
FINE = 64  # places between two nodes at which a curve's length in latents is summed up
ROUNDS = 12  # of decoding that frames of equal image steps may take
EVEN = 0.02  # of the mean step: how unequal the steps of the image may stay


@dataclass(frozen=True)
class Curve:
    """Latents along a chain of nodes, each pair joined by the same kind of line."""

    nodes: Tensor  # (M, *shape)
    between: Callable[[Tensor, Tensor, Tensor], Tensor]  # lerp or slerp

    def at(self, s: Tensor) -> Tensor:
        """Latents (n, *shape) at s (n,) from 0 to M − 1, whole numbers being nodes."""
        i = s.long().clamp(0, len(self.nodes) - 2)
        return self.between(self.nodes[i], self.nodes[i + 1], (s - i).to(self.nodes.dtype))

    def evenly(self, n: int) -> Tensor:
        """s (n,) of equal steps of the latent, from the first node to the last."""
        M = len(self.nodes)
        s = torch.linspace(0, M - 1, FINE * (M - 1) + 1, dtype=torch.float64)
        steps = self.at(s).flatten(1).double().diff(dim=0).norm(dim=1)
        return equal_steps(s, steps, n)


def equal_steps(
    s: Tensor,  # (m,) ascending
    steps: Tensor,  # (m − 1,): how far it is from each s to the next
    n: int,
) -> Tensor:
    """Places (n,) from the first s to the last with the same distance from each to the next.

    Where there is no distance at all, the places are equal in s.
    """
    if not steps.sum() > 0:
        return torch.linspace(float(s[0]), float(s[-1]), n, dtype=torch.float64)
    far = torch.nn.functional.pad(steps.double().cumsum(0), (1, 0))
    wanted = torch.linspace(0, 1, n, dtype=torch.float64) * far[-1]
    right = torch.searchsorted(far, wanted).clamp(1, len(s) - 1)
    low, high = far[right - 1], far[right]
    share = ((wanted - low) / (high - low).clamp_min(1e-300)).clamp(0, 1)
    return torch.lerp(s[right - 1].double(), s[right].double(), share)


@dataclass(frozen=True)
class Walk:
    """Frames along a chain of latents."""

    latents: Tensor  # (n, *space.shape)
    images: Tensor  # (n, C, H, W) in [−1, 1]
    points: Tensor  # (P, *space.shape): what was joined
    method: str
    label: int | None = None  # the class, of a conditional model
    geodesics: Geodesics | None = None  # of the legs, where the method made any

    @cached_property
    def steps(self) -> Tensor:
        """Distances ‖ΔG‖ (n − 1,) of neighbouring frames."""
        return _steps(self.images)

    @property
    def unevenness(self) -> float:
        """The largest step of the image over the mean one: 1 is even."""
        mean = float(self.steps.mean())
        return float(self.steps.max()) / mean if mean > 0 else 1.0


@torch.no_grad()
def walk(
    model: LatentModel,
    points: Tensor,  # (P, *space.shape)
    *,
    frames: int = 60,
    method: str = "slerp",  # slerp, lerp or geodesic
    even: bool = False,  # equal steps of the image, not of the latent
    loop: bool = False,  # back to the first point, which is not shown twice
    label: int | str | None = None,  # the class, of a conditional model
    batch_size: int = 256,
    progress: Callable[[Step], None] | None = None,
) -> Walk:
    """Frames from the first point through the others, at equal steps along the whole chain.

    Points other than the first and the last are passed, not always met by a frame. A geodesic's
    steps are even in the image by themselves, nearly; `even` makes them so, at the cost of some
    more decoding.

    Raises InputError for an unknown method, fewer than two points, fewer frames than points,
    more frames than memory holds, latents that are not the model's, and a conditional model without
    a label.
    """
    check_method(method)
    _check_points(points, frames)
    check_room(model, frames)
    if tuple(points.shape[1:]) != model.space.shape:
        given, own = tuple(points.shape[1:]), tuple(model.space.shape)
        raise InputError(f"latents of shape {given}; this model's are {own}")
    if model.conditional and label is None:
        raise InputError("this model is told the class of each image; give a label")
    y = model.labels_for(1, label)
    points = points.detach().cpu().float()
    chain = torch.cat([points, points[:1]]) if loop else points
    found = None
    if method == "geodesic":
        legs = len(chain) - 1
        labels = None if y is None else y.expand(legs)
        found = geodesics(model, chain[:-1], chain[1:], labels=labels, progress=progress)
        inner = found.latents[:, :-1].flatten(0, 1)
        curve = Curve(torch.cat([inner, chain[-1:]]), lerp)
    else:
        curve = Curve(chain, lerp if method == "lerp" else slerp)

    def decode(z: Tensor) -> Tensor:
        labels = None if y is None else y.expand(len(z))
        return decoded(model, z, labels, batch_size=batch_size).cpu()

    n = frames + loop  # of a loop, the last frame is the first
    s = curve.evenly(n) if found is None else _along(found, n)
    made = _made(curve, s, decode)
    if even:
        made = _evened(curve, made, decode, progress)
    return Walk(
        latents=made.latents[:frames],
        images=made.images[:frames],
        points=points,
        method=method,
        label=None if y is None else int(y),
        geodesics=found,
    )


def check_method(method: str) -> None:
    """Raises InputError for one that is unknown."""
    if method not in METHODS:
        raise InputError(f"no method '{method}'; {nearest_name(method, METHODS)}")


def _check_points(points: Tensor, frames: int) -> None:
    if len(points) < 2:
        raise InputError(f"{counted(len(points), 'point')} to walk between; give at least 2")
    if frames < len(points):
        raise InputError(
            f"--frames {frames} cannot show {len(points)} points; give at least {len(points)}"
        )
    if not points.isfinite().all():
        raise InputError("a latent holds values that are not finite (NaN or ∞)")


def _along(legs: Geodesics, n: int) -> Tensor:
    """s (n,) of steps of the image that are as even as the legs' nodes are."""
    between = legs.latents.shape[1] - 1
    s = torch.arange(len(legs.length) * between + 1, dtype=torch.float64)
    return equal_steps(s, legs.length.double().repeat_interleave(between), n)


@dataclass(frozen=True)
class _Frames:
    s: Tensor  # (n,): places on the curve
    latents: Tensor  # (n, *shape)
    images: Tensor  # (n, C, H, W)

    @cached_property
    def steps(self) -> Tensor:
        return _steps(self.images)


def _steps(images: Tensor) -> Tensor:
    return images.flatten(1).diff(dim=0).norm(dim=1)


def _made(curve: Curve, s: Tensor, decode: Callable[[Tensor], Tensor]) -> _Frames:
    z = curve.at(s)
    return _Frames(s, z, decode(z))


def _evened(
    curve: Curve,
    frames: _Frames,
    decode: Callable[[Tensor], Tensor],
    progress: Callable[[Step], None] | None,
) -> _Frames:
    """Frames moved along the curve until their steps of the image are equal (de Boor, "Good
    approximation by splines with variable knots II", 1974: equidistribution, round by round).

    A round that makes them less equal is taken back, and the next goes half as far: at a bend of
    the curve frames would jump to and fro. Where the image jumps, no places make its steps equal.
    """
    share, unequal = 1.0, _unequal(frames.steps)
    for i in range(ROUNDS):
        if unequal <= EVEN:
            break
        if progress is not None:
            progress(Step(i, ROUNDS, stage="even steps"))
        there = equal_steps(frames.s, frames.steps, len(frames.s))
        trial = _made(curve, torch.lerp(frames.s, there, share), decode)
        if (now := _unequal(trial.steps)) < unequal:
            frames, unequal = trial, now
        else:
            share /= 2
    return frames


def _unequal(steps: Tensor) -> float:
    """How far the steps are from their mean, at most, as a share of it."""
    mean = steps.mean()
    return float((steps - mean).abs().max() / mean) if mean > 0 else 0.0
