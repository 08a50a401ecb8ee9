"""Hairstyles: what is seen behind the head, and what lies on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preimage.data.faces.canvas import Array, Canvas, Region, Rows, bump, ellipse, rounded_box
from preimage.data.faces.geometry import Face, mix, rgb, shadow

Painter = Callable[[Canvas, Face, Rows], None]


def _shaded(face: Face, region: Region, *, behind: bool = False) -> Array:
    """The colour of hair over a region: lit from above and from the light, dark at the nape."""
    shade = 0.5 + 0.45 * region.x * face.light - 0.5 * (region.y + 0.35)
    shine = bump(region.x - 0.25 * face.light, region.y + 0.52, 0.4, 0.12)
    nape = bump(region.x, region.y - 0.35, 0.42, 0.5) if behind else 0
    shade = np.clip(shade + 0.35 * shine - 0.6 * nape, 0, 1)
    dark, bright = face.hair * 0.72, mix(face.hair, rgb("#ffe9d0"), 0.2)
    return dark + shade[:, None] * (bright - dark)


def _skull(face: Face, region: Region, extra: float, lift: float = 0.0) -> Array:
    """The head's upper outline grown by `extra`, and a further `lift` at the top."""
    x = region.x - face.x + 0.03 * face.pose
    return ellipse(x, region.y - face.y + lift, face.width + extra, face.height + extra)


def _opening(face: Face, region: Region, *, top: float, azimuth: float = 1.1) -> Array:
    """The part of the face that the hair leaves free, from y = `top` down."""
    middle, half_width = face.span(azimuth)
    return rounded_box(region.x - middle, region.y - top - 1, half_width, 1.0, 0.26)


def _cap(face: Face, region: Region, skull: Array, opening: Array, end: float) -> None:
    """Short hair on the skull around the opening, which thins out at the sides above y = `end`."""
    fade = np.clip(9 * (end - region.y), 0, 1)
    _lay_on_head(face, region, np.maximum(skull, -opening), fade)


def _lay_on_head(face: Face, region: Region, hair: Array, opacity: Array | float = 1.0) -> None:
    """Hair over the face, with the soft shadow that it casts on the skin beside it."""
    near = np.clip(1 - hair / np.float32(0.09), 0, 1)
    skin = region.coverage(face.outline(*face.head(region.x, region.y)))
    region.lay(np.float32(0.6) * opacity * np.square(near) * skin, shadow(face.skin, 1.2))
    region.fill(hair, _shaded(face, region), opacity)


def _mane(face: Face, region: Region, *, bottom: float, flare: float = 0.0) -> Array:
    """The outline of hair that hangs down to y = `bottom` and widens on its way."""
    x = (region.x + 0.03 * face.pose) / (1 + flare * (region.y + 0.7))
    half_width = face.width + 0.12
    dome = ellipse(x, np.minimum(region.y + 0.1, 0), half_width, 0.58)  # upright below
    return np.maximum(dome, rounded_box(x, region.y - bottom + 1, half_width, 1.0, 0.16))


def _bald(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.4, -0.6, 0.4, -0.25, rows)
    x = region.x - 0.18 * face.light - face.x
    region.lay(0.35 * bump(x, region.y + 0.44, 0.22, 0.12), mix(face.skin, rgb("#ffffff"), 0.6))


def _short(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.65, -0.8, 0.65, 0.1, rows)
    skull = _skull(face, region, 0.045, 0.03)
    _cap(face, region, skull, _opening(face, region, top=-0.4), 0.06)


def _swept(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.7, -0.9, 0.7, 0.1, rows)
    x = region.x - face.x
    skull = np.minimum(
        _skull(face, region, 0.05, 0.03), ellipse(x + 0.1, region.y + 0.52, 0.42, 0.24)
    )
    middle, _ = face.place(0)
    opening = _opening(face, region, top=-0.44)
    fringe = ellipse(region.x - 0.6 * middle + 0.42, region.y + 0.62, 0.74, 0.34)
    _cap(face, region, skull, np.maximum(opening, -fringe), 0.06)


def _curls(face: Face, region: Region) -> Array:
    """A round mass of curls, its outline scalloped."""
    x, y = region.x + 0.04 * face.pose, region.y + 0.24
    angle = np.arctan2(x, -y)
    radius = np.sqrt(np.square(x / 1.04) + np.square(y))
    return radius - 0.58 - 0.05 * (face.width - 0.45) - 0.025 * np.cos(15 * angle)


def _curly_behind(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.7, -0.9, 0.7, 0.42, rows)
    region.fill(_curls(face, region), _shaded(face, region, behind=True))


def _curly(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.7, -0.9, 0.7, 0.2, rows)
    middle, _ = face.span(1.1)
    angle = np.arctan2(region.x - middle, 0.1 - region.y)
    opening = _opening(face, region, top=-0.36) + 0.02 * np.cos(11 * angle)
    _cap(face, region, _curls(face, region), opening, 0.1)


def _bob_behind(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.75, -0.75, 0.75, 0.55, rows)
    region.fill(_mane(face, region, bottom=0.46), _shaded(face, region, behind=True))


def _bob(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.75, -0.75, 0.75, 0.55, rows)
    opening = _opening(face, region, top=-0.5, azimuth=1.0)
    middle, _ = face.place(0)
    bangs = 0.05 * np.square((region.x - middle) / 0.3) - 0.27 - region.y
    hair = np.maximum(_mane(face, region, bottom=0.46), -np.maximum(opening, bangs))
    _lay_on_head(face, region, hair)


def _long_behind(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.85, -0.75, 0.85, 0.78, rows)
    region.fill(_mane(face, region, bottom=1.0, flare=0.1), _shaded(face, region, behind=True))


def _long(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.85, -0.75, 0.85, 0.78, rows)
    middle, half_width = face.span(1.15)
    side = np.abs(region.x - middle)
    parted = np.maximum(
        ellipse(side - 0.02, region.y - 0.2, 0.98 * half_width, 0.68),
        side - 0.9 * half_width,
    )
    below = np.maximum(side - 0.84 * half_width - 0.15 * (region.y - 0.2), 0.2 - region.y)
    hair = np.maximum(_mane(face, region, bottom=1.0, flare=0.1), -np.minimum(parted, below))
    _lay_on_head(face, region, hair)


def _bun_behind(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.35, -1, 0.35, -0.45, rows)
    x = region.x + 0.06 * face.pose
    region.fill(ellipse(x, region.y + 0.7, 0.21, 0.19), _shaded(face, region))
    region.fill(ellipse(x, region.y + 0.59, 0.14, 0.05), face.hair * 0.62, 0.6)


def _bun(canvas: Canvas, face: Face, rows: Rows) -> None:
    region = canvas.region(-0.65, -0.8, 0.65, 0.1, rows)
    skull = _skull(face, region, 0.035, 0.02)
    _cap(face, region, skull, _opening(face, region, top=-0.39, azimuth=1.2), 0.02)


# In the order of the factor's values: what is painted before the head, and after it.
STYLES: dict[str, tuple[Painter | None, Painter]] = {
    "bald": (None, _bald),
    "short": (None, _short),
    "swept": (None, _swept),
    "curly": (_curly_behind, _curly),
    "bob": (_bob_behind, _bob),
    "long": (_long_behind, _long),
    "bun": (_bun_behind, _bun),
}
