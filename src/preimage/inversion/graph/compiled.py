"""Quicker ways to run a generator, each checked against the generator itself."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import jvp, vmap

from preimage.core import LatentModel
from preimage.inversion.graph.edit import images_at_once
from preimage.inversion.graph.fold import fold
from preimage.inversion.graph.link import LINKS, Link, split_link
from preimage.inversion.graph.tangents import Tangents
from preimage.inversion.graph.trace import SIZES, Untraceable, example, trace, unfused_attention
from preimage.training.precision import bfloat16

EXACT = 1e-4  # of the range of images: what folding in fp32 may change
ROUGH = 5e-2  # in bf16: the largest difference of images, of their range
SLANTED = 0.25  # in bf16: of tangents, relative in norm; a search that tests its steps bears it
BATCH_SIZES = 32  # that tangents are computed in: oneDNN compiles bf16 products anew for each


@dataclass
class Compiled:
    """A generator as a folded graph, a snapshot of its weights at that time.

    Where it could not be folded, `refusal` says why, and everything here runs the model as it is.
    """

    model: LatentModel
    link: Link  # the last nonlinearity; "identity" where none was recognised
    refusal: str | None = None
    bf16: bool = False  # whether this machine is quick in bfloat16, and images near enough
    bf16_tangents: bool = False  # likewise of derivatives
    _graph: fx.GraphModule | None = None  # (z, labels) → u
    _graph_bf16: fx.GraphModule | None = None
    _tangents: dict[torch.dtype, Tangents] = field(default_factory=dict)

    def decode(
        self, z: Tensor, labels: Tensor | None = None, *, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Latents (B, *shape) → images (B, C, H, W) float32; differentiable in z."""
        return self.link.images(self.unlinked(z, labels, dtype=dtype))

    def unlinked(
        self, z: Tensor, labels: Tensor | None = None, *, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """u (B, C, H, W) float32, of which the images are `link.images(u)`.

        dtype: torch.bfloat16 is quicker and errs in the third figure; it is taken for float32
        where `bf16` is false.
        """
        if self._graph is None:
            return self.model.decode(z, labels)
        rough = dtype == torch.bfloat16 and self._graph_bf16 is not None
        run = self._graph_bf16 if rough else self._graph
        assert run is not None
        n = images_at_once(self._graph, 8)
        inputs = [z.to(torch.bfloat16 if rough else torch.float32)]
        inputs += [] if labels is None else [labels]
        parts = [run(*rows) for rows in zip(*(x.split(n) for x in inputs), strict=True)]
        u = parts[0] if len(parts) == 1 else torch.cat(parts)
        return u.float().contiguous()

    def tangents(
        self, z: Tensor, labels: Tensor | None = None, *, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        """G(z) (B, C, H, W) and every dG/dzⱼ (B, d, C, H, W), both float32.

        dtype: in which tangents travel; by default bfloat16 where `bf16_tangents` says so.
            Values are always computed in float32.
        """
        u, slopes = self.unlinked_tangents(z, labels, dtype=dtype)
        if self.link.name != "identity":
            slopes *= self.link.derivative(u)[:, None]
        return self.link.images(u), slopes

    def unlinked_tangents(
        self, z: Tensor, labels: Tensor | None = None, *, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same of u: (B, C, H, W) and du/dzⱼ (B, d, C, H, W), both float32."""
        if dtype is None:
            dtype = torch.bfloat16 if self.bf16_tangents else torch.float32
        plan, z = self._plan(dtype), z.float()
        step = max(1, plan.images_at_once // BATCH_SIZES)

        def of(rows: Tensor) -> tuple[Tensor, ...]:
            n = min(plan.images_at_once, math.ceil(len(rows) / step) * step)
            wide = rows[torch.arange(n) % len(rows)]
            found = plan(z[wide], None if labels is None else labels[wide])
            return tuple(x[: len(rows)] for x in found)

        parts = torch.arange(len(z)).split(plan.images_at_once)
        if len(parts) == 1:  # Jacobians are large: they are copied where they must be
            u, slopes = (x.float().contiguous() for x in of(parts[0]))
            return u, slopes
        u = z.new_empty(len(z), *self.model.data.shape)
        slopes = z.new_empty(len(z), self.model.space.size, *self.model.data.shape)
        for rows in parts:
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            u[part], slopes[part] = of(rows)
        return u, slopes

    def _plan(self, dtype: torch.dtype) -> Tangents | PlainTangents:
        if self._graph is None:
            return PlainTangents(self.model)
        if dtype not in self._tangents:
            examples = (example(self.model, SIZES[0]), example(self.model, SIZES[1]))
            self._tangents[dtype] = Tangents(self._graph, examples, dtype=dtype)
        return self._tangents[dtype]


@dataclass(frozen=True)
class PlainTangents:
    """The same for a generator that is no graph: forward mode through the model itself."""

    model: LatentModel
    images_at_once: int = 4

    def __call__(self, z: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        directions = torch.eye(z[0].numel()).to(z).reshape(-1, 1, *z.shape[1:])

        def along(v: Tensor) -> Any:
            return jvp(lambda z: self.model.decode(z, labels), (z,), (v.expand_as(z),))

        with unfused_attention():
            x, slopes = vmap(along)(directions)
        return x[0], slopes.movedim(0, 1)


def compiled(model: LatentModel) -> Compiled:
    """The generator folded, if that changes nothing; else as it is, with the reason.

    Folded images may differ from the model's by 1e-4 of the range of images at most, tangents in
    float32 by 1e-3 of their norm; and no image may depend on the others of its batch. bfloat16 is
    used where the machine is quick at it: for images that differ by 5 % of the range at most, and
    for tangents that do by a quarter of their norm.
    """
    refused = Compiled(model, LINKS["identity"])
    try:
        graph = trace(model)
        fold(graph, example(model, SIZES[0]))
        link = split_link(graph, example(model, 16), model.data.shape)
        found = Compiled(model, link, _graph=graph)
        refusal = _difference(found)
    except Untraceable as error:
        return replace(refused, refusal=str(error))
    except Exception as error:  # a stranger's module may hold anything
        return replace(refused, refusal=f"it cannot be folded: {_line(error)}")
    return _with_bf16(found) if refusal is None else replace(refused, refusal=refusal)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@torch.no_grad()
def _difference(found: Compiled) -> str | None:
    """In what the folded graph differs from the model, or None."""
    z, *labels = example(found.model, 7, seed=1)
    few = z[:2], *(y[:2] for y in labels)
    x, folded = found.model.decode(z, *labels), found.decode(z, *labels)
    if not _near(folded, x, EXACT):
        return f"folded, its images differ by {float((folded - x).abs().max()):.1g}"
    if not _near(x[:2], found.model.decode(*few), EXACT):
        return "its images depend on the others of their batch"
    v = torch.randn(few[0].shape, generator=torch.Generator().manual_seed(2)).to(z)
    with unfused_attention():
        slope = jvp(lambda z: found.model.decode(z, *few[1:]), (few[0],), (v,))[1]
    slopes = found.tangents(*few, dtype=torch.float32)[1]
    off = torch.einsum("bd...,bd->b...", slopes, v.flatten(1)) - slope
    if not off.norm() <= 1e-3 * slope.norm():
        return f"folded, its derivatives differ by {float(off.norm() / slope.norm()):.1g}"
    return None


def _near(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 2 * tolerance)


@torch.no_grad()
def _with_bf16(found: Compiled) -> Compiled:
    """With bfloat16 where this machine is quick at it and the images bear it."""
    if found._graph is None or not bfloat16("auto", found.model.device):
        return found
    z, *labels = example(found.model, 7, seed=1)
    try:
        found._graph_bf16 = in_bfloat16(found._graph)
        found.bf16 = _near(
            found.decode(z, *labels, dtype=torch.bfloat16), found.decode(z, *labels), ROUGH
        )
        few = z[:2], *(y[:2] for y in labels)
        rough = found.tangents(*few, dtype=torch.bfloat16)[1]
        exact = found.tangents(*few, dtype=torch.float32)[1]
        found.bf16_tangents = bool((rough - exact).norm() <= SLANTED * exact.norm())
    except Exception:  # an operation without a bfloat16 form
        found.bf16 = found.bf16_tangents = False
    if not found.bf16:
        found._graph_bf16 = None
    return found


def in_bfloat16(graph: fx.GraphModule) -> fx.GraphModule:
    """A copy whose floating-point constants and casts are bfloat16."""
    graph = copy.deepcopy(graph)
    for tensor in [*graph.parameters(), *graph.buffers()]:
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(torch.bfloat16)
    for node in graph.graph.nodes:
        node.kwargs = {key: _rough(value) for key, value in node.kwargs.items()}
        node.args = tuple(_rough(arg) for arg in node.args)
    graph.recompile()
    return graph


def _rough(value: Any) -> Any:
    return torch.bfloat16 if value == torch.float32 else value


__all__ = ["LINKS", "Compiled", "Link", "compiled"]
