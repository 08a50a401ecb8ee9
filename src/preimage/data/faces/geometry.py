"""From factors to lengths, places and colours: what the painting functions need of each face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from preimage.data.faces.canvas import Array

_TURN = 0.5  # radians of yaw at pose = ±1

_SKINS = ("#ffe2cf", "#f9cda8", "#e9b183", "#c98a5b", "#99613f", "#653f2a")
_HAIRS = ("#2f2833", "#6b4430", "#b84d2a", "#f0ca78", "#bcbcc6")
_IRISES = ("#6b4226", "#4d9455", "#3d86cf")
_SHIRTS = ("#ef7b6c", "#eab54a", "#3fa79b", "#40568f", "#8d5a94")
_BACKDROPS = ("#fbc6a0", "#f6e2bd", "#c6e2cc", "#a8d3e6", "#9db4ee")


@dataclass(frozen=True)
class Face:
    """A batch of faces. Numbers are (n, 1, 1) and colours (n, 3, 1, 1), float32.

    Lengths are in units of half the picture. The head is an ellipsoid about (x, y) that turns by
    `yaw`; its surface is addressed by azimuth, 0 in the middle of the face.
    """

    x: Array
    y: Array
    width: Array  # half the head's
    height: Array  # half the head's
    jaw: Array  # how much narrower the head is at the chin
    yaw: Array
    pose: Array
    light: Array
    age: Array
    brows: Array
    eye_size: Array
    gaze: Array
    nose: Array
    smile: Array
    mouth_open: Array
    skin: Array
    blush: Array
    hair: Array
    iris: Array
    shirt: Array
    backdrop: Array

    def at(self, rows: np.ndarray) -> Face:
        """Some of the faces."""
        return Face(**{name: value[rows] for name, value in vars(self).items()})

    def place(self, azimuth: float) -> tuple[Array, Array]:
        """Where a point of the face at this azimuth is seen: its x, and its foreshortening."""
        seen = self.x + 0.95 * self.width * np.sin(azimuth + self.yaw)
        return seen, np.cos(azimuth + self.yaw) / np.float32(np.cos(azimuth))

    def span(self, azimuth: float) -> tuple[Array, Array]:
        """The middle and half the width of what is seen of the face from −azimuth to azimuth."""
        left = np.sin(np.maximum(self.yaw - azimuth, -np.pi / 2))
        right = np.sin(np.minimum(self.yaw + azimuth, np.pi / 2))
        half = 0.475 * self.width
        return self.x + half * (left + right), half * (right - left)

    def head(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Coordinates in which the head is the unit disc: it tapers to a chin that turns along."""
        v = (y - self.y) / self.height
        u = (x - self.x - 0.05 * self.pose * v) / (self.width * (1 - self.jaw * v))
        return u, v

    def outline(self, u: Array, v: Array) -> Array:
        """Signed distance to the head's outline, which is a little fuller than an ellipse."""
        slope = np.sqrt(np.square(u / self.width) + np.square(v / self.height))
        q = np.square(u) + np.square(v) - 0.18 * np.square(u * v)
        return (q - 1) / (2 * slope + np.float32(1e-4))


def face(factors: Mapping[str, np.ndarray]) -> Face:
    """The geometry and the colours of faces with these factors."""
    f = {name: value.astype(np.float32)[:, None, None] for name, value in factors.items()}
    shape, skin = f["face_shape"], _blend(_SKINS, factors["skin"])
    return Face(
        x=0.02 * f["pose"],
        y=np.full_like(shape, -0.05),
        width=0.465 + 0.045 * shape,
        height=0.55 - 0.03 * shape,
        jaw=0.11 - 0.08 * shape,
        yaw=_TURN * f["pose"],
        pose=f["pose"],
        light=f["light"],
        age=f["age"],
        brows=f["brows"],
        eye_size=f["eye_size"],
        gaze=f["gaze"],
        nose=f["nose"],
        smile=f["smile"],
        mouth_open=f["mouth_open"],
        skin=skin,
        blush=mix(skin * rgb("#ffa3a0"), rgb("#f2706a"), 0.35),
        hair=_pick(_HAIRS, factors["hair_colour"]),
        iris=_pick(_IRISES, factors["eye_colour"]),
        shirt=_pick(_SHIRTS, factors["shirt"]),
        backdrop=_blend(_BACKDROPS, factors["background"]),
    )


def rgb(code: str) -> Array:
    """'#rrggbb' as a colour (3, 1, 1) in [0, 1]."""
    values = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.array(values, np.float32)[:, None, None]


def mix(a: Array, b: Array, share: float) -> Array:
    """`a` with this share of `b`."""
    return a + np.float32(share) * (b - a)


def shadow(skin: Array, depth: float = 1.0) -> Array:
    """A skin's colour in shadow, which is darker and warmer."""
    return mix(skin, skin * rgb("#c48f86"), depth)


def _pick(codes: tuple[str, ...], index: np.ndarray) -> Array:
    return np.stack([rgb(code) for code in codes])[index]


def _blend(codes: tuple[str, ...], position: np.ndarray) -> Array:
    """The colour at position −1 … 1 along a row of colours."""
    stops = np.stack([rgb(code) for code in codes])
    place = (position.astype(np.float32) + 1) / 2 * (len(codes) - 1)
    low = np.minimum(place.astype(np.int64), len(codes) - 2)
    share = (place - low).astype(np.float32)[:, None, None, None]
    return stops[low] + share * (stops[low + 1] - stops[low])
