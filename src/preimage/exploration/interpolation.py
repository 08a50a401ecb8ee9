"""Between two latents: along the straight line, or along the sphere.

Under N(0, I) in d dimensions almost everything lies near the sphere of radius √d, but the middle
of a straight line between two samples does not. Spherical interpolation does (White, "Sampling
Generative Networks", 2016, §2.1, after Shoemake, "Animating rotation with quaternion curves"):

    slerp(a, b; t) = sin((1 − t) ω)/sin ω a + sin(t ω)/sin ω b,    ω the angle between a and b,

which is for a and b of one length. Here directions go so, and lengths go straight from ‖a‖ to ‖b‖.
"""

from __future__ import annotations

import torch
from torch import Tensor

ALIGNED = 1e-6  # the sine of an angle below which two directions span no plane


def lerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """(1 − t) a + t b, of latents (B, *shape) or one of them (1, *shape).

    t: one number, or one of each, (B,).
    """
    return torch.lerp(a, b, _of_each(t, a))


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """The same along the great circle, of each pair by itself; ‖·‖ goes straight from ‖a‖ to ‖b‖.

    Where a and b point the same way, this is the straight line. Where they are opposite, every
    great circle leads there, and one is chosen that depends on a alone. A latent of length 0 has
    no direction, and takes the other's.
    """
    a, b = torch.broadcast_tensors(a, b)
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    t = _of_each(t, flat_a)
    length_a, length_b = flat_a.norm(dim=1, keepdim=True), flat_b.norm(dim=1, keepdim=True)
    u = torch.where(length_a > 0, flat_a / length_a, flat_b / length_b).nan_to_num()
    v = torch.where(length_b > 0, flat_b / length_b, u)
    cos = (u * v).sum(1, keepdim=True)
    across = v - cos * u  # in the plane of both, perpendicular to u
    sin = across.norm(dim=1, keepdim=True)
    opposite = (sin < ALIGNED) & (cos < 0)
    w = torch.where(opposite, _perpendicular(u), across / sin.clamp_min(ALIGNED))
    ω = torch.atan2(sin, cos)
    length = torch.lerp(length_a, length_b, t)
    z = length * ((t * ω).cos() * u + (t * ω).sin() * w)
    return z.reshape(len(z), *a.shape[1:])


def _perpendicular(u: Tensor) -> Tensor:
    """A unit vector perpendicular to each row (B, d): the axis that u has least of, made so.

    In one dimension there is none, and 0 leads straight through the middle.
    """
    axis = torch.nn.functional.one_hot(u.abs().argmin(1), u.shape[1]).to(u)
    w = axis - (axis * u).sum(1, keepdim=True) * u
    return w / w.norm(dim=1, keepdim=True).clamp_min(ALIGNED)


def _of_each(t: Tensor | float, z: Tensor) -> Tensor:
    """t as (B, 1, …), or a number, to go with latents (B, *shape)."""
    t = torch.as_tensor(t, dtype=z.dtype, device=z.device)
    return t.view(-1, *[1] * (z.ndim - 1))
