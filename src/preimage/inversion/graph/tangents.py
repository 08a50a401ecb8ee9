"""A generator and all its derivatives in one pass: every direction of z travels as one batch.

Forward mode, node by node. Linear operations act as in `push.py`. An elementwise one multiplies
tangents by its derivative, computed once for each image, in fp32. What is neither (normalisation
by an image's own statistics, attention) goes through `torch.func.jvp`, that operation alone. Until
something nonlinear is met the tangents of all images are the same: these are kept for later calls.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import jvp, vmap

from preimage.inversion.graph.edit import (
    Inputs,
    arguments,
    aten,
    evaluate,
    images_at_once,
    is_pointwise,
)
from preimage.inversion.graph.push import Plan, Push

CONSTANT = (aten.detach.default, aten.sign.default, aten.floor.default, aten.round.default)


class Tangents(Plan):
    """z → G(z) and all dG/dzⱼ, of a traced graph."""

    def __init__(
        self, graph: fx.GraphModule, examples: tuple[Inputs, Inputs], *, dtype: torch.dtype
    ):
        super().__init__(graph, examples, dtype=dtype)
        self.d = self.shape.numel()
        self.images_at_once = images_at_once(graph, self.d * dtype.itemsize)
        self.shared: dict[fx.Node, Any] = {}  # tangents that are the same for any image

    @torch.no_grad()
    def __call__(self, z: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Latents (B, *shape) → values (B, C, H, W) and their tangents (B, d, C, H, W).

        The tangents are in this object's dtype, and in memory of their own.
        """
        run = _Run(self, len(z))
        inputs = iter([z] if labels is None else [z, labels])
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                run.values[node] = next(inputs)
                if not run.changes:  # z comes first
                    directions = torch.eye(self.d, dtype=self.dtype, device=z.device)
                    run.put(node, directions.reshape(self.d, *self.shape), 1)
                    self.shared[node] = run.changes[node]
            elif node.op == "get_attr":
                run.values[node] = operator.attrgetter(str(node.target))(self.graph)
            elif node.op == "output":
                return run.result(arguments(node)[0])
            else:
                run.call(node)
            for n in node.all_input_nodes:
                if self.last_use[n] is node:
                    run.values.pop(n)
                    run.changes.pop(n, None)
        raise AssertionError("a graph ends with its output")


class _Run(Push):
    plan: Tangents

    def __init__(self, plan: Tangents, B: int):
        super().__init__(plan, B, plan.d)

    def result(self, node: fx.Node) -> tuple[Tensor, Tensor]:
        x = self.values[node]
        if node not in self.changes:  # images that do not depend on z
            return x, x.new_zeros(self.B, self.d, *x.shape[1:], dtype=self.plan.dtype)
        tangent = self.changes[node].unflatten(0, (self.images[node], self.d))
        if node in self.plan.shared:  # a caller may write over what it is given
            tangent = tangent.expand(self.B, *tangent.shape[1:]).clone()
        return x, tangent

    def call(self, node: fx.Node) -> None:
        value = self.values[node] = evaluate(node, self.values.__getitem__)
        active = self.active(node)
        smooth = not isinstance(value, Tensor) or value.is_floating_point()
        if not active or isinstance(value, int) or not smooth or node.target in CONSTANT:
            return
        shared = self.plan.shared
        if node in shared:
            self.put(node, shared[node], 1)
        elif self.push(node):
            if all(a in shared for a in active):
                shared[node] = self.changes[node]
        elif is_pointwise(node) and self.alike(node):
            self._pointwise(node)
        else:
            self._by_jvp(node)

    def _pointwise(self, node: fx.Node) -> None:
        """Σ ∂f/∂aᵢ ȧᵢ; the derivatives of all elements at once, as the tangent of ones."""
        k = self.plan.batch_axis[node]
        total: Tensor | None = None
        for a in self.active(node):
            x = self.values[a]
            found = jvp(self._function(node, [a]), (x,), (torch.ones_like(x),))
            slope = found[1].to(self.plan.dtype)
            product = self.split(a) * slope.unflatten(k, (self.B, 1, slope.shape[k] // self.B))
            total = product if total is None else total.add_(product)
        assert total is not None
        self.put(node, total.flatten(k, k + 2), self.B)

    def _by_jvp(self, node: fx.Node) -> None:
        """Any other operation: its own forward-mode derivative, along each direction, in fp32."""
        active = self.active(node)
        primals = tuple(self.values[a] for a in active)
        directions = tuple(self._directions(a) for a in active)
        f = self._function(node, active)
        found = vmap(lambda *t: jvp(f, primals, t)[1])(*directions)
        axes = self.plan.batch_axis[node]
        if isinstance(found, tuple | list):
            self.put(node, [self._join(t, k) for t, k in zip(found, axes, strict=True)], self.B)
        else:
            self.put(node, self._join(found, axes), self.B)

    def _directions(self, node: fx.Node) -> Tensor:
        """(…, n·d·m, …) → (d, …, B·m, …), in the values' dtype."""
        k, split = self.plan.batch_axis[node], self.split(node)
        split = split.expand(*split.shape[:k], self.B, *split.shape[k + 1 :])
        return split.movedim(k + 1, 0).flatten(k + 1, k + 2).to(self.values[node].dtype)

    def _join(self, tangent: Tensor, k: int | None) -> Tensor | None:
        """(d, …, B·m, …) → (…, B·d·m, …), in the tangents' dtype."""
        if k is None:
            return None
        split = tangent.unflatten(k + 1, (self.B, -1)).movedim(0, k + 1)
        return split.flatten(k, k + 2).to(self.plan.dtype)

    def _function(self, node: fx.Node, active: list[fx.Node]) -> Callable[..., Any]:
        """The node as a function of some of its inputs, the others as they are."""

        def f(*primals: Tensor) -> Any:
            at = dict(zip(active, primals, strict=True))
            return evaluate(node, lambda n: at[n] if n in at else self.values[n])

        return f
