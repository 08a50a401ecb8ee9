"""Defects put into good images on purpose: what scores are chosen by, before any real one is seen.

A defect has a form (a spot, a scratch, a patch of clouds, or a large piece) and a filling (lighter
or darker, noise, or a turned piece of another good image), laid over the image at an opacity.
Zavrtanik, Kristan & Skočaj, "DRÆM", 2021, and Li et al., "CutPaste", 2021, train on such; here they
also say which scores are worth their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.inversion.operators import Blur

Generator = torch.Generator
MARKED = 0.3  # opacity above which a pixel counts as defective


def spot(side: tuple[int, int], g: Generator) -> Tensor:
    """An ellipse with an uneven edge: opacity (H, W) in [0, 1]."""
    H, W = side
    short = min(H, W)
    r = math.exp(_between(math.log(max(1.5, short / 48)), math.log(max(3.0, short / 7)), g))
    stretch, angle = math.exp(_between(-0.8, 0.8, g)), _between(0, math.pi, g)
    y, x = _grid(side, _between(0.1, 0.9, g) * H, _between(0.1, 0.9, g) * W)
    u = (x * math.cos(angle) + y * math.sin(angle)) / stretch**0.5
    v = (y * math.cos(angle) - x * math.sin(angle)) * stretch**0.5
    d = (u.square() + v.square()).sqrt() / r + clouds(side, 1.5, g) * _between(0, 0.35, g)
    return torch.sigmoid((1 - d) * r * _between(1, 3, g))


def scratch(side: tuple[int, int], g: Generator) -> Tensor:
    """A thin line that wanders."""
    H, W = side
    short = min(H, W)
    steps = int(_between(0.2, 1.2, g) * short)
    turn = 0.03 * torch.randn(1, generator=g) + 0.15 * torch.randn(steps, generator=g)
    angle = _between(0, 2 * math.pi, g) + turn.cumsum(0)
    y = _between(0.1, 0.9, g) * H + angle.sin().cumsum(0)
    x = _between(0.1, 0.9, g) * W + angle.cos().cumsum(0)
    inside = (y >= 0) & (y < H) & (x >= 0) & (x < W)
    mask = torch.zeros(H, W)
    mask[y[inside].long(), x[inside].long()] = 1
    width = math.exp(_between(math.log(0.7), math.log(max(0.9, short / 40)), g))
    mask = Blur(width)(mask[None, None])[0, 0]
    return (1.6 * mask / mask.max().clamp_min(1e-6)).clamp_max(1)


def patch_of_clouds(side: tuple[int, int], g: Generator) -> Tensor:
    """Where smooth noise is highest."""
    field = clouds(side, _between(1.3, 2.2, g), g)
    level = field.flatten().kthvalue(int(_between(0.85, 0.99, g) * field.numel())).values
    return torch.sigmoid(12 * (field - level))


def piece(side: tuple[int, int], g: Generator) -> Tensor:
    """A rectangle of up to half the image."""
    H, W = side
    h, w = (max(2, int(_between(0.15, 0.7, g) * length)) for length in side)
    y, x = (int(_between(0, length - part + 1, g)) for length, part in ((H, h), (W, w)))
    mask = torch.zeros(H, W)
    mask[y : y + h, x : x + w] = 1
    return mask


def crack(side: tuple[int, int], g: Generator) -> Tensor:
    """A thin line that wanders, branches and fades."""
    H, W = side
    mask, wander = torch.zeros(H, W), _between(0.05, 0.35, g)
    length = int(_between(0.2, 1.1, g) * min(H, W))
    start = _between(0.05, 0.95, g) * H, _between(0.05, 0.95, g) * W, _between(0, 2 * math.pi, g)
    branches = [(*start, length, 1.0)]
    for y0, x0, first, steps, depth in branches:
        angle = first + (wander * torch.randn(steps, generator=g)).cumsum(0)
        y, x = y0 + angle.sin().cumsum(0), x0 + angle.cos().cumsum(0)
        inside = ((y >= 0) & (y < H) & (x >= 0) & (x < W)).cumprod(0).bool()
        y, x, angle = y[inside], x[inside], angle[inside]
        along = torch.arange(len(y)) / _between(3, 12, g)
        drawn = depth * (1 - _between(0, 0.4, g) * along.sin().abs())
        at = y.long(), x.long()
        mask[at] = torch.maximum(mask[at], drawn)
        if len(y) > 6 and len(branches) < 4 and _between(0, 1, g) < 0.35:
            i = int(_between(0, len(y), g))
            turn = float(angle[i]) + _between(-1.3, 1.3, g)
            branches.append((float(y[i]), float(x[i]), turn, steps // 2, 0.8 * depth))
    mask = Blur(math.exp(_between(math.log(0.5), math.log(1.8), g)))(mask[None, None])[0, 0]
    return (1.3 * mask / mask.max().clamp_min(1e-6)).clamp_max(1)


def holes(side: tuple[int, int], g: Generator) -> Tensor:
    """One to three small spots close together."""
    H, W = side
    mask, short = torch.zeros(H, W), min(H, W)
    y0, x0 = _between(0.1, 0.9, g), _between(0.1, 0.9, g)
    for _ in range(int(_between(1, 4, g))):
        r = math.exp(_between(0, math.log(max(2.0, short / 14)), g))
        stretch, angle = math.exp(_between(-0.5, 0.5, g)), _between(0, math.pi, g)
        y, x = _grid(side, (y0 + _between(-0.15, 0.15, g)) * H, (x0 + _between(-0.15, 0.15, g)) * W)
        u = (x * math.cos(angle) + y * math.sin(angle)) / stretch
        v = (y * math.cos(angle) - x * math.sin(angle)) * stretch
        d = (u.square() + v.square()).sqrt() / r + clouds(side, 1.5, g) * _between(0, 0.25, g)
        mask = torch.maximum(mask, torch.sigmoid((1 - d) * r * _between(1, 2.5, g)))
    return mask


def fray(side: tuple[int, int], g: Generator) -> Tensor:
    """A place that is ragged at its edge."""
    H, W = side
    y, x = _grid(side, _between(0, 1, g) * H, _between(0, 1, g) * W)
    d = (y.square() + x.square()).sqrt() / (_between(0.08, 0.3, g) * min(H, W))
    ragged = clouds(side, _between(1.3, 1.9, g), g) * _between(0.1, 0.5, g)
    return torch.sigmoid(_between(3, 10, g) * (1 - d + ragged))


def wash(side: tuple[int, int], g: Generator) -> Tensor:
    """Large and soft, as where it was unevenly lit or coated."""
    field = clouds(side, _between(2.3, 3, g), g)
    level = field.flatten().kthvalue(int(_between(0.6, 0.95, g) * field.numel())).values
    return torch.sigmoid(_between(3, 8, g) * (field - level))


FORMS: dict[str, Callable[[tuple[int, int], Generator], Tensor]] = {
    "spot": spot,
    "scratch": scratch,
    "clouds": patch_of_clouds,
    "piece": piece,
}
# What nets are taught besides, and no weight is found with.
TAUGHT = {**FORMS, "crack": crack, "holes": holes, "fray": fray, "wash": wash}
LIKELY = (*TAUGHT, "crack", "holes")  # what is thin or small is hard, and taught twice as often


def shifted(x: Tensor, other: Tensor, g: Generator) -> Tensor:
    """Lighter or darker, with less of its own texture."""
    sign = 1.0 if _between(0, 1, g) < 0.5 else -1.0
    contrast = x.std().clamp_min(0.05)
    return x.mean() + (x - x.mean()) * _between(0, 1, g) + sign * contrast * _between(1.5, 4, g)


def noisy(x: Tensor, other: Tensor, g: Generator) -> Tensor:
    """Noise of the image's own contrast."""
    contrast = x.std().clamp_min(0.05)
    field = clouds((x.shape[-2], x.shape[-1]), _between(0, 1.5, g), g)
    shift = 1.5 * torch.randn(1, generator=g)
    return x.mean() + contrast * (field * _between(0.7, 2.5, g) + shift)


def another(x: Tensor, other: Tensor, g: Generator) -> Tensor:
    """Another good image, turned or mirrored."""
    turned = other.rot90(int(_between(1, 4, g)), (-2, -1)) if _between(0, 1, g) < 0.7 else other
    if _between(0, 1, g) < 0.5:
        turned = turned.flip(-1)
    if turned.shape != x.shape:
        turned = F.interpolate(turned[None], size=x.shape[-2:])[0]
    return turned


def shaded(x: Tensor, other: Tensor, g: Generator) -> Tensor:
    """Darker, more seldom lighter, with its own texture."""
    sign = 1.0 if _between(0, 1, g) < 0.3 else -1.0
    by = math.exp(_between(math.log(0.8), math.log(5), g))
    return x * _between(0.8, 1.1, g) + sign * x.std().clamp_min(0.05) * by


FILLINGS: dict[str, Callable[[Tensor, Tensor, Generator], Tensor]] = {
    "shifted": shifted,
    "noisy": noisy,
    "another": another,
}


def defective(x: Tensor, other: Tensor, g: Generator, *, form: str) -> tuple[Tensor, Tensor]:
    """An image (C, H, W) in [−1, 1] with one defect, and where it is: (H, W) bool.

    other: another good image, of which pieces are taken. form: of `FORMS`.
    """
    fill = list(FILLINGS)[int(_between(0, len(FILLINGS), g))]
    opacity = FORMS[form]((x.shape[-2], x.shape[-1]), g) * _between(0.35, 1, g)
    new = FILLINGS[fill](x, other, g).clamp(-1, 1)
    return x + opacity * (new - x), opacity > MARKED


def taught(x: Tensor, other: Tensor, g: Generator, *, limit: float) -> tuple[Tensor, Tensor]:
    """The same as a net is taught it, of a form of `TAUGHT`, values within ± `limit`.

    What is thin or small is mostly a shadow: with its own texture, and marked however faint.
    """
    form = LIKELY[int(_between(0, len(LIKELY), g))]
    fills = [*FILLINGS.values(), shaded, shaded]
    fill = fills[int(_between(0, len(fills), g))]
    if form in ("crack", "holes") and _between(0, 1, g) < 0.7:
        fill = shaded
    mask, most = TAUGHT[form]((x.shape[-2], x.shape[-1]), g), _between(0.35, 1, g)
    new = fill(x, other, g).clamp(-limit, limit)
    return x + most * mask * (new - x), mask > MARKED


def warped(x: Tensor, other: Tensor, g: Generator) -> Tensor:
    """Bent: every pixel is taken from up to a fifth of the image away, neighbours from nearby."""
    side = (x.shape[-2], x.shape[-1])
    reach = _between(0.05, 0.2, g)
    fields = [clouds(side, _between(2, 3, g), g) for _ in range(2)]
    shift = torch.stack([field / field.abs().max() * 2 * reach for field in fields], -1)
    upright = F.affine_grid(torch.eye(2, 3)[None], [1, 1, *side], align_corners=False)
    return F.grid_sample(x[None], upright + shift, padding_mode="border", align_corners=False)[0]


def turned(x: Tensor, other: Tensor, g: Generator) -> Tensor:
    """Turned by half a turn, or upside down, or by a quarter where it is square."""
    ways = [x.rot90(2, (-2, -1)), x.flip(-2)]
    if x.shape[-1] == x.shape[-2]:
        ways += [x.rot90(1, (-2, -1)), x.rot90(3, (-2, -1))]
    return ways[int(_between(0, len(ways), g))]


def halved(x: Tensor, other: Tensor, g: Generator) -> Tensor:
    """One half its own, the other another image's."""
    if other.shape != x.shape:
        other = F.interpolate(other[None], size=x.shape[-2:])[0]
    axis = 1 + int(_between(0, 2, g))
    place = torch.arange(x.shape[axis]) < x.shape[axis] / 2
    return torch.where(place[:, None] if axis == 1 else place, x, other)


# What makes another thing of the whole, in images where things have their place.
WHOLE: dict[str, Callable[[Tensor, Tensor, Generator], Tensor]] = {
    "warped": warped,
    "turned": turned,
    "halved": halved,
}


def clouds(side: tuple[int, int], smoothness: float, g: Generator) -> Tensor:
    """Noise with a spectrum of f^−smoothness: (H, W), of mean 0 and spread 1."""
    H, W = side
    fy, fx = torch.fft.fftfreq(H)[:, None], torch.fft.rfftfreq(W)[None]
    f = (fx.square() * _between(0.3, 3, g) + fy.square()).sqrt() + 1 / max(H, W)
    z = torch.randn(2, *f.shape, generator=g)
    field = torch.fft.irfft2(torch.complex(z[0], z[1]) * f**-smoothness, s=side)
    return (field - field.mean()) / field.std().clamp_min(1e-6)


def _grid(side: tuple[int, int], y: float, x: float) -> tuple[Tensor, Tensor]:
    return torch.arange(side[0])[:, None] - y, torch.arange(side[1])[None] - x


def _between(low: float, high: float, g: Generator) -> float:
    return low + (high - low) * torch.rand(1, generator=g).item()
