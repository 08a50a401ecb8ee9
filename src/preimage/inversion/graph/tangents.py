"""A generator and all its derivatives in one pass: every direction of z travels as one batch.

Forward mode, node by node. A linear operation acts on tangents as on values, without its bias; so
B images' d tangents go through a convolution as B·d images do, in bf16 where that is quick. An
elementwise one multiplies them by its derivative, computed once for each image, in fp32. What
is neither (normalisation by an image's own statistics, attention) goes through `torch.func.jvp`,
that operation alone. As long as nothing nonlinear has been met the tangents of all images are the
same, and are kept from one call to the next.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import jvp, vmap

from preimage.inversion.graph.edit import Inputs, aten, infer_shapes, is_constant, is_pointwise

# what is linear in the tensors that depend on z, if the others are constants; additive terms,
# by their position, are dropped
LINEAR: dict[Any, int | None] = {
    aten.convolution.default: 2,
    aten.addmm.default: 0,
    **dict.fromkeys(
        (
            *(aten.mm.default, aten.bmm.default, aten.cat.default, aten.stack.default),
            *(aten.reshape.default, aten.view.default, aten.permute.default, aten.t.default),
            *(aten.transpose.int, aten.expand.default, aten.slice.Tensor, aten.select.int),
            *(aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default, aten.repeat.default),
            *(aten.split.Tensor, aten.split_with_sizes.default, aten.flip.default),
            *(aten.pixel_shuffle.default, aten.mean.dim, aten.sum.dim_IntList),
            *(aten.upsample_nearest2d.default, aten.upsample_nearest2d.vec),
            *(aten.upsample_bilinear2d.default, aten.upsample_bilinear2d.vec),
            *(aten.upsample_bicubic2d.default, aten.upsample_bicubic2d.vec),
            *(aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.default),
            *(aten.avg_pool2d.default, aten._adaptive_avg_pool2d.default),
            *(aten.reflection_pad2d.default, aten.replication_pad2d.default),
        )
    ),
}
CONSTANT = (aten.detach.default, aten.sign.default, aten.floor.default, aten.round.default)
MEMORY = 1 << 25  # bytes of the tangents of one operation: more images are taken in parts
SUMS = {aten.add.Tensor: 1, aten.sub.Tensor: -1}


class Tangents:
    """z → G(z) and all dG/dzⱼ, of a traced graph."""

    def __init__(
        self, graph: fx.GraphModule, examples: tuple[Inputs, Inputs], *, dtype: torch.dtype
    ):
        """examples: inputs at two batch sizes, by which to tell what depends on the batch.

        dtype: of the tangents; values are always as precise as z.
        """
        self.graph, self.dtype = graph, dtype
        self.shape = examples[0][0].shape[1:]
        self.batch_axis = _batch_axes(graph, examples)
        self.constants: dict[fx.Node, Tensor] = {}  # in the tangents' dtype
        self.shared: dict[fx.Node, Tensor] = {}  # tangents that no image changes: (d · m, …)
        self.d = self.shape.numel()
        numbers = [
            math.prod(n.meta["shape"][1:])
            for n in graph.graph.nodes
            if n.op == "call_function" and "shape" in n.meta
        ]
        self.images_at_once = max(1, MEMORY // (self.d * max(numbers) * dtype.itemsize))
        self.last_use = {n: node for node in graph.graph.nodes for n in node.all_input_nodes}

    @torch.no_grad()
    def __call__(self, z: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Latents (B, *shape) → values (B, C, H, W) and their tangents (B, d, C, H, W).

        The tangents are in this object's dtype.
        """
        run = _Run(self, z, labels)
        return run.walk()


class _Run:
    """One pass. A tangent's batch axis has n·d·m entries: n = B images or 1, d directions, and
    the m rows that an image has there (1 but for attention's heads and the like)."""

    def __init__(self, plan: Tangents, z: Tensor, labels: Tensor | None):
        self.plan, self.B = plan, len(z)
        self.inputs = [z] if labels is None else [z, labels]
        self.values: dict[fx.Node, Any] = {}
        self.tangents: dict[fx.Node, Any] = {}
        self.images: dict[fx.Node, int] = {}  # n of each tangent

    def walk(self) -> tuple[Tensor, Tensor]:
        plan = self.plan
        inputs = iter(self.inputs)
        for node in plan.graph.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = next(inputs)
                if not self.tangents:  # z comes first
                    directions = torch.eye(plan.d, dtype=plan.dtype, device=self.inputs[0].device)
                    self._put(node, directions.reshape(plan.d, *plan.shape), 0)
            elif node.op == "get_attr":
                self.values[node] = operator.attrgetter(str(node.target))(plan.graph)
            elif node.op == "output":
                return self._result(node.args[0])
            else:
                self._call(node)
            for n in node.all_input_nodes:
                if plan.last_use[n] is node and n.op == "call_function":
                    for kept in (self.values, self.tangents):
                        kept.pop(n, None)
        raise AssertionError("a graph ends with its output")

    def _result(self, node: fx.Node) -> tuple[Tensor, Tensor]:
        x = self.values[node]
        if node not in self.tangents:  # images that do not depend on z
            return x, x.new_zeros(self.B, self.plan.d, *x.shape[1:], dtype=self.plan.dtype)
        tangent = self.tangents[node].unflatten(0, (self.images[node], self.plan.d))
        return x, tangent.expand(self.B, *tangent.shape[1:])

    def _put(self, node: fx.Node, tangent: Any, n: int) -> None:
        """Keep a tangent of n images; of all alike where n is 0."""
        self.tangents[node], self.images[node] = tangent, n or 1
        if n == 0:
            self.plan.shared[node] = tangent

    def _call(self, node: fx.Node) -> None:
        active = [n for n in node.all_input_nodes if n in self.tangents]
        args, kwargs = fx.map_arg(  # type: ignore[attr-defined]
            (node.args, node.kwargs), self.values.__getitem__
        )
        value = self.values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
        smooth = not isinstance(value, Tensor) or value.is_floating_point()
        if not active or isinstance(value, int) or not smooth or node.target in CONSTANT:
            return
        if node in self.plan.shared:
            self._put(node, self.plan.shared[node], 0)
        elif node.target is operator.getitem:
            self._put(node, self.tangents[active[0]][node.args[1]], self._images_of(active))
        elif self._is_linear(node):
            self._linear(node, active)
        elif node.target in SUMS and not node.kwargs and len(active) == 2 and self._alike(node):
            self._sum(node, active)
        elif is_pointwise(node) and self._alike(node):
            self._pointwise(node, active)
        else:
            self._by_jvp(node, active)

    def _is_linear(self, node: fx.Node) -> bool:
        if node.target not in LINEAR:
            return node.target is aten.constant_pad_nd.default and not any(node.args[2:])
        if node.target in (aten.cat.default, aten.stack.default):
            return True
        dropped = LINEAR[node.target]
        others = [arg for i, arg in enumerate(node.args) if i != dropped]
        tensors = [n for n in others if isinstance(n, fx.Node)]
        return sum(n in self.tangents for n in tensors) == 1 and all(
            n in self.tangents or is_constant(n) for n in tensors
        )

    def _alike(self, node: fx.Node) -> bool:
        """Whether the inputs with tangents have the batch where the output has it."""
        dim, k = self.values[node].dim(), self.plan.batch_axis[node]
        return k is not None and all(
            self.values[n].dim() == dim and self.plan.batch_axis[n] == k
            for n in node.all_input_nodes
            if n in self.tangents
        )

    def _linear(self, node: fx.Node, active: list[fx.Node]) -> None:
        """The same operation on tangents as one batch, without bias."""
        together = self._images_of(active)
        n = together or 1

        def tangent(arg: fx.Node) -> Any:
            if arg in self.tangents:
                return self._spread(arg, n)
            if arg.op == "get_attr":
                return self._constant(arg)
            if isinstance(self.values[arg], int):
                return self._integer(arg, n * self.plan.d)
            x, k = self.values[arg], self.plan.batch_axis[arg]  # in a concatenation: no tangent
            size = list(x.shape)
            size[k] = size[k] // self.B * n * self.plan.d
            return x.new_zeros(size, dtype=self.plan.dtype)

        args, kwargs = fx.map_arg((node.args, node.kwargs), tangent)  # type: ignore[attr-defined]
        dropped = LINEAR.get(node.target)
        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        if target is aten.addmm.default:
            target, args = aten.mm.default, args[1:]
        elif dropped is not None:
            args = (*args[:dropped], None, *args[dropped + 1 :])
        self._put(node, target(*args, **kwargs), together)

    def _sum(self, node: fx.Node, active: list[fx.Node]) -> None:
        a, b = (self._split(arg) for arg in node.args)  # type: ignore[arg-type]
        k = self.plan.batch_axis[node]
        sum_ = torch.add(a, b, alpha=SUMS[node.target])
        self._put(node, sum_.flatten(k, k + 2), self._images_of(active))

    def _pointwise(self, node: fx.Node, active: list[fx.Node]) -> None:
        """Σ ∂f/∂aᵢ ȧᵢ; the derivatives of all elements at once, as the tangent of ones."""
        k = self.plan.batch_axis[node]
        total: Tensor | None = None
        for a in active:
            f = self._function(node, [a])
            _, slope = jvp(f, (self.values[a],), (torch.ones_like(self.values[a]),))
            slope = slope.to(self.plan.dtype)
            slope = slope.unflatten(k, (self.B, 1, slope.shape[k] // self.B))
            product = self._split(a) * slope
            total = product if total is None else total.add_(product)
        assert total is not None
        self._put(node, total.flatten(k, k + 2), self.B)

    def _by_jvp(self, node: fx.Node, active: list[fx.Node]) -> None:
        """Any other operation: its own forward-mode derivative, along each direction, in fp32."""
        primals = tuple(self.values[a] for a in active)
        directions = tuple(
            self._split(a)
            .expand(*[self.B if i == self.plan.batch_axis[a] else -1 for i in range(p.dim() + 2)])
            .movedim(self.plan.batch_axis[a] + 1, 0)
            .flatten(self.plan.batch_axis[a] + 1, self.plan.batch_axis[a] + 2)
            .to(p.dtype)
            for a, p in zip(active, primals, strict=True)
        )
        f = self._function(node, active)
        found = vmap(lambda *t: jvp(f, primals, t)[1])(*directions)
        axes = self.plan.batch_axis[node]
        if isinstance(found, tuple | list):
            parts = [self._join(t, k) for t, k in zip(found, axes, strict=True)]
            self._put(node, parts, self.B)
        else:
            self._put(node, self._join(found, axes), self.B)

    def _join(self, tangent: Tensor, k: int | None) -> Tensor | None:
        """(d, …, B·m, …) → (…, B·d·m, …), in the tangents' dtype."""
        if k is None:
            return None
        split = tangent.unflatten(k + 1, (self.B, -1)).movedim(0, k + 1)
        return split.flatten(k, k + 2).to(self.plan.dtype)

    def _function(self, node: fx.Node, active: list[fx.Node]) -> Callable[..., Any]:
        """The node as a function of some of its inputs, the others as they are."""

        def f(*primals: Tensor) -> Any:
            at = {**dict(zip(active, primals, strict=True))}
            args, kwargs = fx.map_arg(  # type: ignore[attr-defined]
                (node.args, node.kwargs), lambda n: at[n] if n in at else self.values[n]
            )
            return node.target(*args, **kwargs)  # type: ignore[operator]

        return f

    def _images_of(self, active: list[fx.Node]) -> int:
        return 0 if all(n in self.plan.shared for n in active) else self.B

    def _split(self, node: fx.Node) -> Tensor:
        """A tangent (…, n·d·m, …) as (…, n, d, m, …)."""
        k, n = self.plan.batch_axis[node], self.images[node]
        return self.tangents[node].unflatten(k, (n, self.plan.d, -1))

    def _spread(self, node: fx.Node, n: int) -> Any:
        """A tangent for n images."""
        if self.images[node] == n:
            return self.tangents[node]
        k = self.plan.batch_axis[node]
        split = self._split(node)
        return split.expand(*split.shape[:k], n, *split.shape[k + 1 :]).flatten(k, k + 2)

    def _constant(self, node: fx.Node) -> Any:
        """A constant in the tangents' dtype."""
        known = self.plan.constants
        if node not in known:
            x = self.values[node]
            known[node] = x.to(self.plan.dtype) if x.is_floating_point() else x
        return known[node]

    def _integer(self, node: fx.Node, batch: int) -> int:
        """A size that depends on the batch, at another batch size."""
        if node.target is aten.sym_size.int:
            at, axis = node.args
            size = self.values[node]
            return size // self.B * batch if self.plan.batch_axis[at] == axis else size
        a, b = (self._integer(x, batch) if isinstance(x, fx.Node) else x for x in node.args)
        return node.target(a, b)  # type: ignore[operator]


def _batch_axes(graph: fx.GraphModule, examples: tuple[Inputs, Inputs]) -> dict[fx.Node, Any]:
    """The axis of each tensor that grows with the batch, or None; for several tensors, a list."""
    shapes = []
    for inputs in examples:
        infer_shapes(graph, inputs)
        shapes.append({n: _shapes(n.meta.get("tensor_meta")) for n in graph.graph.nodes})

    def axis(a: Any, b: Any) -> Any:
        if isinstance(a, list):
            return [axis(x, y) for x, y in zip(a, b, strict=True)]
        grown = [i for i, (m, n) in enumerate(zip(a or (), b or (), strict=True)) if m != n]
        return grown[0] if len(grown) == 1 else None

    return {node: axis(shapes[0][node], shapes[1][node]) for node in graph.graph.nodes}


def _shapes(meta: Any) -> Any:
    if hasattr(meta, "shape"):
        return tuple(meta.shape)
    return [_shapes(m) for m in meta] if isinstance(meta, tuple | list) else None
