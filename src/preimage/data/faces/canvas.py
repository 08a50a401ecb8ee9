"""Painting a batch of images with anti-aliased shapes.

A picture shows the same part of the plane whatever its size in pixels: x from −0.85 to 0.85
rightwards, y from −0.92 to 0.78 downwards, so that a head about the origin sits well in it.
A shape is a signed distance (negative inside), evaluated at pixel centres; a pixel's coverage is
a ramp one pixel wide across the edge, and shapes are laid over one another from back to front.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray  # float32 throughout
Rows = slice | np.ndarray  # which images of the batch

EVERY: Rows = slice(None)
_LEFT, _TOP, _SPAN = -0.85, -0.92, 1.70


class Canvas:
    """n colour images being painted: `pixels` (n, 3, size, size) float32 in [0, 1]."""

    def __init__(self, n: int, size: int) -> None:
        self.pixels = np.zeros((n, 3, size, size), np.float32)
        self.size = size

    def region(
        self, left: float, top: float, right: float, bottom: float, rows: Rows = EVERY
    ) -> Region:
        """The part of the picture a feature can reach, of the given rows of the batch."""
        columns, x = self._within(left - _LEFT, right - _LEFT)
        lines, y = self._within(top - _TOP, bottom - _TOP)
        return Region(self.pixels[:, :, lines, columns], rows, x + _LEFT, y + _TOP)

    def _within(self, low: float, high: float) -> tuple[slice, Array]:
        """The pixels of one axis from `low` to `high` and one more, and where their centres are."""
        scale = self.size / _SPAN
        first = max(0, int(np.floor(low * scale)) - 1)
        last = min(self.size, int(np.ceil(high * scale)) + 1)
        return slice(first, last), ((np.arange(first, last) + 0.5) / scale).astype(np.float32)


class Region:
    """A window on a canvas, with the coordinates of its pixels: x (1, 1, w) and y (1, h, 1)."""

    def __init__(self, view: Array, rows: Rows, x: Array, y: Array) -> None:
        self.view, self.rows = view, rows
        self.x, self.y = x[None, None, :], y[None, :, None]
        self.pixel = float(x[1] - x[0])  # the width of one pixel

    def coverage(self, distance: Array) -> Array:
        """How much of each pixel lies inside the shape, in [0, 1]."""
        inside = distance * np.float32(-1 / self.pixel)
        inside += np.float32(0.5)
        return np.clip(inside, 0, 1, out=inside)

    def fill(self, distance: Array, colour: Array, opacity: Array | float = 1.0) -> None:
        """Lay a shape of one colour, or of a colour for each pixel, over what is there."""
        self.lay(self.coverage(distance) * np.float32(opacity), colour)

    def lay(self, alpha: Array, colour: Array) -> None:
        """Blend towards `colour`, broadcastable to (n, 3, h, w), by `alpha` (n, h, w)."""
        below = self.view[self.rows]
        step = colour - below
        step *= alpha[:, None]
        if isinstance(self.rows, slice):
            below += step
        else:
            self.view[self.rows] = below + step


def ellipse(x: Array, y: Array, rx: Array | float, ry: Array | float) -> Array:
    """Signed distance to an axis-aligned ellipse at the origin, to first order at its edge."""
    u, v = x / rx, y / ry
    slope = np.sqrt(np.square(u / rx) + np.square(v / ry))
    return (np.square(u) + np.square(v) - 1) / (2 * slope + np.float32(1e-4))


def bump(x: Array, y: Array, rx: Array | float, ry: Array | float) -> Array:
    """A soft spot: 1 in the middle, falling smoothly to 0 at the ellipse's edge."""
    q = 1 - (np.square(x / rx) + np.square(y / ry))
    return np.square(np.maximum(q, 0))


def rounded_box(
    x: Array, y: Array, half_width: Array | float, half_height: Array | float, radius: float
) -> Array:
    """Signed distance to a rectangle at the origin with round corners."""
    u = np.abs(x) - (half_width - radius)
    v = np.abs(y) - (half_height - radius)
    outside = np.sqrt(np.square(np.maximum(u, 0)) + np.square(np.maximum(v, 0)))
    return outside + np.minimum(np.maximum(u, v), 0) - np.float32(radius)


def stroke(
    x: Array,
    y: Array,
    half_width: Array | float,
    bend: Array | float,
    thickness: Array | float,
    *,
    tilt: Array | float = 0.0,
    taper: float = 0.0,
) -> Array:
    """Signed distance to a line drawn along y = bend (x / w)² + tilt (x / w), |x| ≤ w.

    `thickness` is half the line's, in the middle; it loses the part `taper` of it at the ends.
    """
    along = np.clip(x, -half_width, half_width)
    t = along / half_width
    slope = (2 * bend * t + tilt) / half_width
    across = (y - (bend * t + tilt) * t) / np.sqrt(1 + np.square(slope))
    distance = np.sqrt(np.square(x - along) + np.square(across))
    return distance - thickness * (1 - taper * np.square(t))


def lens(
    x: Array, y: Array, half_width: Array | float, bend: Array | float, height: Array | float
) -> Array:
    """Signed distance to a lens of half-height `height` around y = bend (x / w)², |x| ≤ w."""
    t = x / half_width
    bulge = height * (1 - np.square(t))
    slope = 2 * t * (np.abs(bend) + height) / half_width
    return (np.abs(y - bend * np.square(t)) - bulge) / np.sqrt(1 + np.square(slope))
