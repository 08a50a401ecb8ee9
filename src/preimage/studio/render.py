"""`render(workspace, args)`: from what is to be seen to the picture, for whoever asks.

The page, exports, the gallery and `preimage render` all show what comes from here, so that they
show the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError
from preimage.exploration.geodesic import geodesics
from preimage.exploration.interpolation import lerp, slerp
from preimage.studio.args import (
    Args,
    ArgsError,
    Arithmetic,
    Base,
    Blend,
    Item,
    Latent,
    Mean,
    Picture,
    Place,
    Sample,
)
from preimage.studio.workspace import Workspace, label_index

GEODESICS = 64  # that are remembered: a curve takes seconds, and is then slid along


@dataclass(frozen=True)
class Found:
    """A place in the latent space."""

    z: Tensor  # (1, *space.shape)
    label: str | None = None  # the class it is of, of a conditional model
    fade: float = 1.0  # towards 0 away from what the map knows


@dataclass(frozen=True)
class Rendered:
    """What is to be seen."""

    pixels: np.ndarray  # (H, W, C) uint8
    z: Tensor  # (1, *space.shape)
    label: str | None
    fade: float
    seconds: float  # that decoding took


def render(workspace: Workspace, args: Args, *, exact: bool = False) -> Rendered:
    """The picture of some arguments. Raises ArgsError, which says in which of them it is wrong.

    exact: by the model itself, for what is kept; the quicker form may differ by half a level.
    """
    found = find(workspace, args)
    label = _label(workspace, found.label)
    begun = time.perf_counter()
    image = (workspace.exact if exact else workspace.decode)(found.z, label)
    shown = to_pixels(image)
    return Rendered(shown, found.z, found.label, found.fade, time.perf_counter() - begun)


def render_several(workspace: Workspace, wanted: Sequence[Args]) -> list[Rendered]:
    """The pictures of some arguments, decoded together: less time for each. Raises ArgsError."""
    found = [find(workspace, args) for args in wanted]
    labels = [label for one in found if (label := _label(workspace, one.label)) is not None]
    begun = time.perf_counter()
    images = workspace.exact(
        torch.cat([one.z for one in found]), torch.cat(labels) if labels else None
    )
    shown = [to_pixels(image) for image in images.split(1)]
    each = (time.perf_counter() - begun) / len(found)
    return [
        Rendered(x, one.z, one.label, one.fade, each) for x, one in zip(shown, found, strict=True)
    ]


def to_pixels(images: Tensor) -> np.ndarray:
    """Images (1, C, H, W) in [−1, 1] → (H, W, C) uint8, rounded as every file of ours is."""
    with torch.inference_mode():
        levels = images[0].float().nan_to_num(0.0).add(1).mul(127.5).clamp(0, 255).add(0.5)
        return levels.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def find(workspace: Workspace, args: Args) -> Found:
    """The latent behind arguments. Raises ArgsError."""
    found = _base(workspace, args.base, "base")
    z = found.z
    if args.moves:
        known = workspace.directions()
        for name, strength in args.moves.items():
            if name not in known:
                raise ArgsError("there is no such direction (any more)", f"moves.{name[:40]}")
            z = known[name].move(z, strength)
    if args.dims:
        flat = z.flatten(1).clone()
        for index, amount in args.dims.items():
            if index >= flat.shape[1]:
                raise ArgsError(f"latents have {flat.shape[1]} numbers", f"dims.{index}")
            flat[0, index] += amount
        z = flat.reshape(z.shape)
    label = args.label if args.label is not None else found.label
    if label is not None or workspace.model.conditional:
        _label(workspace, label)
    return Found(z, label, found.fade)


def _label(workspace: Workspace, label: str | None) -> Tensor | None:
    """The class (1,); of a conditional model the first, where none is named."""
    try:
        return label_index(workspace, label)
    except InputError as error:
        raise ArgsError(str(error), "label") from None


def _base(workspace: Workspace, base: Base, where: str) -> Found:
    try:
        return _FINDERS[type(base)](workspace, base, where)
    except ArgsError:
        raise
    except InputError as error:
        raise ArgsError(str(error), where) from None


def _mean(workspace: Workspace, base: Mean, where: str) -> Found:
    space = workspace.model.space
    if not space.priors and workspace.latents is not None and len(workspace.latents):
        return Found(workspace.latents.mean(0, keepdim=True))
    return Found((space.mean() if space.priors else torch.zeros(space.shape))[None])


def _sample(workspace: Workspace, base: Sample, where: str) -> Found:
    model = workspace.model
    z = model.space.sample(1, seed=base.seed)
    label = model.classes[base.seed % len(model.classes)] if model.conditional else None
    return Found(z, label)


def _item(workspace: Workspace, base: Item, where: str) -> Found:
    points = workspace.points
    if points is None:
        raise ArgsError("the images are still being read", where)
    if base.index >= len(points):
        raise ArgsError(f"there are {len(points)} images, counted from 0", f"{where}.index")
    told = points.told
    label = None if told is None else workspace.model.classes[int(told[base.index])]
    return Found(points.latents[base.index][None], label)


def _picture(workspace: Workspace, base: Picture, where: str) -> Found:
    held = workspace.images[base.id]
    if held.latent is None:
        raise ArgsError("the latent of this image must be searched for first", where)
    return Found(held.latent, held.label)


def _place(workspace: Workspace, base: Place, where: str) -> Found:
    points = workspace.points
    chart = workspace.charts.get(base.on) if base.on else workspace.chart
    if points is None or chart is None:
        raise ArgsError("the map is still being made", where)
    if not len(points):
        raise ArgsError("there are no images to make a map of", where)
    z, fade, nearest = chart.latent(base.x, base.y, points.latents)
    told = points.told
    label = None if told is None else workspace.model.classes[int(told[nearest])]
    return Found(z, label, fade)


def _blend(workspace: Workspace, base: Blend, where: str) -> Found:
    a, b = _base(workspace, base.a, f"{where}.a"), _base(workspace, base.b, f"{where}.b")
    label = a.label if base.t < 0.5 else b.label
    fade = min(a.fade, b.fade)
    if base.path == "geodesic":
        curve = _geodesic(workspace, a.z, b.z, label)
        s = min(max(base.t, 0.0), 1.0) * (len(curve) - 1)
        i = min(int(s), len(curve) - 2)
        return Found(lerp(curve[i : i + 1], curve[i + 1 : i + 2], s - i), label, fade)
    between = slerp if base.path == "slerp" else lerp
    return Found(between(a.z, b.z, base.t), label, fade)


def _arithmetic(workspace: Workspace, base: Arithmetic, where: str) -> Found:
    a, b, c = (_base(workspace, getattr(base, n), f"{where}.{n}") for n in "abc")
    return Found(a.z - b.z + c.z, a.label, min(a.fade, b.fade, c.fade))


def _latent(workspace: Workspace, base: Latent, where: str) -> Found:
    return Found(*workspace.kept(base.id))


_FINDERS = {
    Mean: _mean,
    Sample: _sample,
    Item: _item,
    Picture: _picture,
    Place: _place,
    Blend: _blend,
    Arithmetic: _arithmetic,
    Latent: _latent,
}


def meanwhile(workspace: Workspace, args: Args) -> Args:
    """The same with an arc instead of a geodesic that is still being searched for.

    The search begins, and the page is told when it has ended: no picture is to wait for it.
    """
    base = args.base
    if not isinstance(base, Blend) or base.path != "geodesic":
        return args
    a, b = _base(workspace, base.a, "base.a"), _base(workspace, base.b, "base.b")
    found = _search(workspace, a.z, b.z, a.label if base.t < 0.5 else b.label)
    return args if found.done() else replace(args, base=replace(base, path="slerp"))


def _geodesic(workspace: Workspace, a: Tensor, b: Tensor, label: str | None) -> Tensor:
    """The nodes (n, *shape) of the shortest curve."""
    return _search(workspace, a, b, label).result()


def _search(workspace: Workspace, a: Tensor, b: Tensor, label: str | None) -> Future[Tensor]:
    """The search for a curve, which is made once for each pair, by a thread of its own."""
    key = (a.numpy().tobytes(), b.numpy().tobytes(), label)
    known, y = workspace.geodesics, _label(workspace, label)

    def nodes() -> Tensor:
        device = workspace.model.device
        made = geodesics(workspace.model, a.to(device), b.to(device), labels=y)
        return made.latents[0].cpu()

    with workspace.searching:
        if key not in known:
            if len(known) >= GEODESICS:
                known.pop(next(iter(known))).cancel()
            known[key] = workspace.curves.submit(nodes)
            known[key].add_done_callback(lambda _: workspace.publish({"geodesic": True}))
        return known[key]
