"""The parts of a portrait, each painted in its own region of the canvas."""

from __future__ import annotations

import numpy as np

from preimage.data.faces.canvas import (
    Array,
    Canvas,
    Region,
    Rows,
    bump,
    ellipse,
    lens,
    rounded_box,
    stroke,
)
from preimage.data.faces.geometry import Face, mix, rgb, shadow

EYE = 0.44  # azimuth of the eyes
EYE_Y = 0.0
MOUTH_Y = 0.275
_INK = rgb("#3a2b35")  # lashes and frames
_WHITE = rgb("#ffffff")


def paint_background(canvas: Canvas, face: Face) -> None:
    """A soft glow around the head, falling off to the corners."""
    region = canvas.region(-1, -1, 1, 1)
    glow = bump(region.x, region.y + 0.1, 1.5, 1.5)
    region.view[:] = face.backdrop * 0.93
    region.lay(0.55 * glow, mix(face.backdrop, _WHITE, 0.6))


def paint_body(canvas: Canvas, face: Face) -> None:
    """Shoulders, collar and neck, with the shadow of the chin."""
    region = canvas.region(-0.85, 0.5, 0.85, 0.78)
    x, y = region.x, region.y
    shade = np.clip(0.5 + 0.6 * x * face.light - 0.8 * (y - 0.66), 0, 1)
    dark, bright = face.shirt * 0.8, mix(face.shirt, _WHITE, 0.12)
    region.fill(ellipse(x, y - 1.02, 0.76, 0.46), dark + shade[:, None] * (bright - dark))

    region = canvas.region(-0.3, 0.25, 0.3, 0.75)
    x, y = region.x, region.y
    region.fill(ellipse(x, y - 0.595, 0.235, 0.1), face.shirt * 0.72)
    neck = np.minimum(rounded_box(x, y - 0.4, 0.175, 0.2, 0.02), ellipse(x, y - 0.59, 0.18, 0.065))
    region.fill(neck, shadow(face.skin, 0.4))
    chin = ellipse(x - 0.05 * face.pose, y - 0.3, 0.3, 0.27)
    region.lay(region.coverage(np.maximum(chin, neck)) * np.float32(0.7), shadow(face.skin, 1.1))


def paint_ears(canvas: Canvas, face: Face) -> None:
    """Ears, which stay behind as the face turns."""
    for side in (-1, 1):
        region = canvas.region(side * 0.48 - 0.2, -0.2, side * 0.48 + 0.2, 0.25)
        x = region.x - (side * (face.width + 0.015) - 0.06 * face.pose)
        y = region.y - 0.03
        region.fill(ellipse(x, y, 0.085, 0.125), shadow(face.skin, 0.15))
        region.fill(ellipse(x, y, 0.045, 0.075), shadow(face.skin, 0.75), 0.7)


def paint_head(canvas: Canvas, face: Face) -> None:
    """The head, shaded as a ball under the light, with blushing cheeks."""
    region = canvas.region(-0.6, -0.68, 0.6, 0.58)
    u, v = face.head(region.x, region.y)
    radius = np.square(u) + np.square(v)
    shade = np.clip(0.62 + 0.5 * u * face.light - 0.16 * v - 0.3 * np.square(radius), 0, 1)
    dark, bright = shadow(face.skin, 0.75), mix(face.skin, rgb("#fff4e6"), 0.22)
    region.fill(face.outline(u, v), dark + shade[:, None] * (bright - dark))
    for side in (-1, 1):
        cheek, narrow = face.place(side * 0.62)
        region = canvas.region(side * 0.24 - 0.4, 0.0, side * 0.24 + 0.4, 0.36)
        spot = bump(region.x - cheek, region.y - 0.17, 0.17 * narrow, 0.13)
        u, v = face.head(region.x, region.y)
        region.lay(0.42 * spot * region.coverage(face.outline(u, v)), face.blush)


def paint_age(canvas: Canvas, face: Face) -> None:
    """Lines on the forehead, from the nose to the mouth, below the eyes and beside them."""
    line, opacity = shadow(face.skin, 1.45), 0.9 * face.age
    _paint_forehead_lines(canvas, face, line, 0.75 * opacity)
    for side in (-1, 1):
        _paint_fold(canvas, face, side, line, 0.7 * opacity)
        _paint_eye_lines(canvas, face, side, line, opacity)


def _paint_forehead_lines(canvas: Canvas, face: Face, line: Array, opacity: Array) -> None:
    middle, narrow = face.place(0)
    region = canvas.region(-0.5, -0.42, 0.5, -0.22)
    x = region.x - middle
    for y, half_width in ((-0.365, 0.15), (-0.295, 0.19)):
        wave = stroke(x, region.y - y, half_width * narrow, 0.025, 0.017, taper=0.5)
        region.fill(wave, line, opacity)


def _paint_fold(canvas: Canvas, face: Face, side: int, line: Array, opacity: Array) -> None:
    """The fold from a wing of the nose to the corner of the mouth, drawn along y."""
    middle, _ = face.place(side * 0.41)
    region = canvas.region(side * 0.17 - 0.32, 0.06, side * 0.17 + 0.32, 0.34)
    slant = side * 0.045 * np.clip(1 - 0.5 * side * face.pose, 0, 1)
    x, y = region.x - middle, region.y - 0.22
    fold = stroke(y, x, 0.075, -0.02 * side, 0.02, tilt=slant, taper=0.5)
    region.fill(fold, line, opacity)


def _paint_eye_lines(canvas: Canvas, face: Face, side: int, line: Array, opacity: Array) -> None:
    """A bag below the eye, and two crow's feet."""
    middle, narrow = face.place(side * EYE)
    region = canvas.region(side * 0.19 - 0.32, 0.04, side * 0.19 + 0.32, 0.18)
    bag = stroke(region.x - middle, region.y - 0.135, 0.085 * narrow, -0.03, 0.016, taper=0.6)
    region.fill(bag, line, 0.7 * opacity)
    corner, narrow = face.place(side * 0.8)
    region = canvas.region(side * 0.33 - 0.25, -0.1, side * 0.33 + 0.25, 0.12)
    x, half_width = region.x - corner, 0.03 * np.maximum(narrow, 0.3)
    for y, tilt in ((-0.02, -0.018), (0.035, 0.018)):
        foot = stroke(x, region.y - EYE_Y - y, half_width, 0.0, 0.014, tilt=side * tilt)
        region.fill(foot, line, 0.55 * opacity)


def paint_eyes(canvas: Canvas, face: Face) -> None:
    """Eyes under a lash line, the iris moved by the gaze, and a catch-light."""
    scale = 1 + 0.26 * face.eye_size
    for side in (-1, 1):
        middle, narrow = face.place(side * EYE)
        region = canvas.region(side * 0.19 - 0.36, -0.16, side * 0.19 + 0.36, 0.16)
        x, y = region.x - middle, region.y - EYE_Y
        rx, ry = 0.1 * scale * narrow, 0.082 * scale
        white = ellipse(x, y, rx, ry)
        region.fill(white, rgb("#fbf8f6"))
        ball = x - 0.04 * scale * narrow * face.gaze
        iris = ellipse(ball, y, 0.07 * scale * np.sqrt(narrow), 0.075 * scale)
        region.fill(np.maximum(iris, white), face.iris)
        pupil = ellipse(ball, y, 0.038 * scale, 0.041 * scale)
        region.fill(np.maximum(pupil, white), rgb("#1d1720"))
        glint = ellipse(ball - 0.024 * scale * face.light, y + 0.026 * scale, 0.02, 0.02)
        region.fill(glint, _WHITE, 0.9)
        lash = stroke(x, y + 0.074 * scale, 0.104 * scale * narrow, 0.05 * scale, 0.02, taper=0.3)
        region.fill(lash, _INK, 0.95)


def paint_brows(canvas: Canvas, face: Face) -> None:
    """Brows, which lift, and fall towards the nose in a frown."""
    colour = face.hair * 0.78
    for side in (-1, 1):
        middle, narrow = face.place(side * (EYE + 0.03))
        region = canvas.region(side * 0.2 - 0.38, -0.32, side * 0.2 + 0.38, -0.06)
        x, y = region.x - middle, region.y + 0.185 + 0.045 * face.brows
        tilt = side * (0.026 * face.brows + 0.004)
        line = stroke(x, y, 0.105 * narrow, 0.03, 0.027, tilt=tilt, taper=0.35)
        region.fill(line, colour, 0.92)


def paint_nose(canvas: Canvas, face: Face) -> None:
    """A soft bridge and tip, the wings drawn below."""
    scale = 1 + 0.45 * face.nose
    tip = face.x + (0.95 * face.width + 0.05) * np.sin(face.yaw)
    region = canvas.region(-0.38, -0.08, 0.38, 0.24)
    x, y = region.x - tip, region.y - 0.13
    root = region.x - tip + 0.05 * np.sin(face.yaw) - 0.03 * face.light
    region.lay(0.3 * bump(root, y + 0.06, 0.08 * scale, 0.15), shadow(face.skin, 1.2))
    region.lay(0.5 * bump(x, y + 0.02, 0.07 * scale, 0.07), mix(face.skin, _WHITE, 0.35))
    wings = stroke(x, y - 0.025 * scale, 0.066 * scale, -0.03 * scale, 0.021 * scale, taper=0.3)
    region.fill(wings, shadow(face.skin, 1.35), 0.75)


def paint_mouth(canvas: Canvas, face: Face) -> None:
    """Lips along a curve that the smile bends, parted over teeth and tongue."""
    middle, narrow = face.place(0)
    region = canvas.region(-0.48, 0.16, 0.48, 0.46)
    x = region.x - middle
    half_width = (0.155 + 0.04 * face.smile) * narrow
    bend = -0.015 - 0.072 * face.smile
    y = region.y - MOUTH_Y - 0.035 * face.smile - 0.012
    opening = 0.012 + 0.066 * face.mouth_open
    lips = mix(face.skin * rgb("#dc8a85"), rgb("#c4555a"), 0.3)
    region.fill(lens(x, y - 0.6 * opening, half_width + 0.02, bend, opening + 0.027), lips)
    inside = lens(x, y - 0.6 * opening, half_width - 0.005, bend, opening)
    region.fill(inside, rgb("#5a1f2b"))
    curve = bend * np.square(x / half_width)
    parted = np.clip(3 * face.mouth_open, 0, 1)
    tongue = ellipse(x, y - 1.5 * opening - 0.01, 0.6 * half_width, 0.6 * opening)
    region.fill(np.maximum(tongue, inside), rgb("#d9656b"), parted)
    teeth = np.maximum(y - curve - 0.12 * opening, inside)
    region.fill(teeth, rgb("#fffaf5"), parted)


def paint_glasses(canvas: Canvas, face: Face, rows: Rows) -> None:
    """Round frames with a bridge, temples, and a little light in the lenses."""
    centres = []
    for side in (-1, 1):
        middle, narrow = face.place(side * EYE)
        region = canvas.region(side * 0.2 - 0.42, -0.19, side * 0.2 + 0.42, 0.21, rows)
        x, y = region.x - middle, region.y - 0.01
        rim = rounded_box(x, y, 0.158 * narrow, 0.14, 0.1)
        gleam = np.clip(0.5 + 2.2 * (face.light * x - y), 0.1, 0.8)
        region.lay(region.coverage(rim) * 0.28 * gleam, _WHITE)
        region.fill(np.abs(rim) - np.float32(0.021), _INK)
        outer = middle + side * 0.158 * narrow
        end = side * (face.width + 0.01) - 0.06 * face.pose
        half = np.maximum(np.abs(end - outer) / 2, 0.01)
        temple = rounded_box(region.x - (outer + end) / 2, region.y + 0.04, half, 0.018, 0.01)
        region.fill(temple, _INK, np.clip(8 * side * (end - outer), 0, 1))
        centres.append(middle - side * 0.158 * narrow)
    region = canvas.region(-0.4, -0.12, 0.4, 0.08, rows)
    half = np.maximum((centres[1] - centres[0]) / 2, 0.01)
    bridge = stroke(region.x - (centres[0] + centres[1]) / 2, region.y + 0.045, half, 0.02, 0.021)
    region.fill(bridge, _INK)


def paint_moustache(canvas: Canvas, face: Face, rows: Rows) -> None:
    """Two tapering wings above the lip."""
    middle, narrow = face.place(0)
    region = canvas.region(-0.5, 0.1, 0.5, 0.36, rows)
    for side in (-1, 1):
        x = region.x - middle - side * 0.075 * narrow
        wing = stroke(x, region.y - 0.225, 0.095 * narrow, 0.02, 0.042, tilt=side * 0.02, taper=0.7)
        region.fill(wing, _beard(face, region))


def paint_beard(canvas: Canvas, face: Face, rows: Rows) -> None:
    """A full beard along the jaw, up to the ears, with the moustache."""
    region = canvas.region(-0.6, -0.05, 0.6, 0.66, rows)
    u, v = face.head(region.x, region.y)
    jaw = face.outline(u / 1.03, v / 1.07)
    middle, _ = face.place(0)
    bare = ellipse(region.x - 0.75 * middle, region.y + 0.1, 0.9 * face.width, 0.335)
    fade = np.clip(6 * (region.y + 0.04), 0, 1)  # thins out towards the ears
    region.fill(np.maximum(jaw, -bare), _beard(face, region), fade)
    paint_moustache(canvas, face, rows)


def _beard(face: Face, region: Region) -> Array:
    """The colour of hair on the face, a little darker than on the head."""
    shade = np.clip(0.6 + 0.35 * region.x * face.light - 0.4 * (region.y - 0.3), 0, 1)
    dark, bright = face.hair * 0.72, face.hair * 0.98
    return dark + shade[:, None] * (bright - dark)
