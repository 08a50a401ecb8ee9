"""A generator near latents where it is known, in low precision yet exactly: by differences.

With the value h₀ of every operation at z₀ known in fp32, what changes towards z is pushed through:
a linear operation acts on the change δ alone, any other gives f(h₀ + δ) − f(h₀). So bf16 costs
three figures of the change, not of the value, and as z nears z₀ the error goes to nothing.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx

from preimage.inversion.graph.edit import arguments, evaluate, images_at_once
from preimage.inversion.graph.push import Plan, Push


class Near:
    """u of latents near those it was made at."""

    def __init__(self, plan: Plan, z: Tensor, labels: Tensor | None, values: dict[fx.Node, Any]):
        self.plan, self.z, self.labels, self.values = plan, z, labels, values

    @classmethod
    @torch.no_grad()
    def at(cls, plan: Plan, z: Tensor, labels: Tensor | None) -> Near:
        """Around latents (B, *shape), with the value of every operation there."""
        inputs = iter([z] if labels is None else [z, labels])
        values: dict[fx.Node, Any] = {}
        for node in plan.graph.graph.nodes:
            if node.op == "placeholder":
                values[node] = next(inputs)
            elif node.op == "get_attr":
                values[node] = operator.attrgetter(str(node.target))(plan.graph)
            elif node.op == "call_function":
                values[node] = evaluate(node, values.__getitem__)
        return cls(plan, z, labels, values)

    @property
    def u(self) -> Tensor:
        """u (B, …) at the latents it was made at."""
        return self.values[self._output]

    @torch.no_grad()
    def __call__(self, z: Tensor) -> Tensor:
        """u(z) − u(z₀) of latents (B, *shape), a row each: (B, …) float32."""
        n = images_at_once(self.plan.graph, 8)
        if len(z) > n:
            parts = [slice(first, first + n) for first in range(0, len(z), n)]
            return torch.cat([self.select(part)(z[part]) for part in parts])
        run = Push(self.plan, len(z), 1)
        run.values = dict(self.values)
        for node in self.plan.graph.graph.nodes:
            if node.op == "placeholder":
                if not run.changes:  # z comes first; labels stay
                    run.put(node, (z - self.z).to(self.plan.dtype), len(z))
            elif node.op == "call_function" and run.active(node):
                _advance(run, node)
            for n in node.all_input_nodes:
                if self.plan.last_use[n] is node and node.op != "output":
                    run.changes.pop(n, None)
        change = run.changes.get(self._output)
        return torch.zeros_like(self.u) if change is None else change.float()

    def select(self, rows: Tensor | slice) -> Near:
        """The same for some of the images: indices (M,), or a range, which copies nothing."""
        chosen: dict[fx.Node, Any] = {}
        for node, x in self.values.items():
            if isinstance(x, int):
                chosen[node] = evaluate(node, chosen.__getitem__)
            elif node.op == "get_attr":
                chosen[node] = x
            else:
                chosen[node] = _rows(x, self.plan.batch_axis[node], rows, len(self.z))
        labels = None if self.labels is None else self.labels[rows]
        return Near(self.plan, self.z[rows], labels, chosen)

    @property
    def _output(self) -> fx.Node:
        return arguments(next(iter(reversed(self.plan.graph.graph.nodes))))[0]


def _rows(x: Any, k: Any, rows: Tensor | slice, B: int) -> Any:
    """The part of a value that belongs to some images: its axis k has as many rows for each."""
    if isinstance(x, tuple | list):
        return [_rows(y, j, rows, B) for y, j in zip(x, k, strict=True)]
    if k is None or not isinstance(x, Tensor):
        return x
    return x.unflatten(k, (B, -1))[(slice(None),) * k + (rows,)].flatten(k, k + 1)


def _advance(run: Push, node: fx.Node) -> None:
    """The change of one operation's result; None for a comparison's, whose value is replaced."""
    before = run.values[node]
    compared = any(run.changes[n] is None for n in run.active(node))
    if isinstance(before, int) or (not compared and run.push(node)):
        return

    def after(n: fx.Node) -> Any:
        x, change = run.values[n], run.changes.get(n)
        if isinstance(x, tuple | list):
            return [a + b for a, b in zip(x, change or [0] * len(x), strict=True)]
        return x if change is None else x + change

    result = evaluate(node, after)
    if isinstance(result, tuple | list):
        parts = [(a - b).to(run.plan.dtype) for a, b in zip(result, before, strict=True)]
        run.put(node, parts, run.B)
    elif result.is_floating_point():
        run.put(node, result.sub_(before).to(run.plan.dtype), run.B)
    else:
        run.values[node] = result
        run.put(node, None, run.B)
