"""Small changes pushed through the linear operations of a graph.

A linear operation acts on changes as on values, without its additive terms; so B images' changes
in d directions go through a convolution as B·d images do, in bf16 where that is quick. How
the others act is for `tangents.py` to say.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from preimage.inversion.graph.edit import Inputs, arguments, aten, infer_shapes, is_constant

# what is linear in the one tensor that depends on z, if the others are constants; with the
# position of an additive term
LINEAR: dict[Any, int | None] = {
    aten.convolution.default: 2,
    aten.addmm.default: 0,
    **dict.fromkeys(
        (
            *(aten.mm.default, aten.bmm.default, aten.neg.default),
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
JOINING = (aten.cat.default, aten.stack.default)  # linear in all their tensors together
SUMS = {aten.add.Tensor: 1, aten.sub.Tensor: -1}


class Plan:
    """What is known of a graph before any latent is given."""

    def __init__(
        self, graph: fx.GraphModule, examples: tuple[Inputs, Inputs], *, dtype: torch.dtype
    ):
        """examples: inputs at two batch sizes, by which to tell what depends on the batch.

        dtype: of the changes; values are as precise as z.
        """
        self.graph, self.dtype = graph, dtype
        self.shape = examples[0][0].shape[1:]
        self.batch_axis = _batch_axes(graph, examples)
        self.last_use = {n: node for node in graph.graph.nodes for n in node.all_input_nodes}
        self.constants: dict[fx.Node, Tensor] = {}  # in this dtype


class Push:
    """One pass. A change's batch axis has n·d·m entries: n = B images, or 1 where all images'
    changes are alike; d directions; m rows of an image (1 but for attention's heads and such)."""

    def __init__(self, plan: Plan, B: int, d: int):
        self.plan, self.B, self.d = plan, B, d
        self.values: dict[fx.Node, Any] = {}
        self.changes: dict[fx.Node, Any] = {}
        self.images: dict[fx.Node, int] = {}  # n of each change

    def put(self, node: fx.Node, change: Any, n: int) -> None:
        self.changes[node], self.images[node] = change, n

    def active(self, node: fx.Node) -> list[fx.Node]:
        """Its inputs that change."""
        return [n for n in node.all_input_nodes if n in self.changes]

    def push(self, node: fx.Node) -> bool:
        """Push changes through an operation if it is linear; whether it was."""
        active = self.active(node)
        n = max(self.images[a] for a in active)
        if node.target is operator.getitem:
            source, i = arguments(node)
            self.put(node, self.changes[source][i], n)
        elif self._is_linear(node):
            self.put(node, self._linear(node, n), n)
        elif node.target in SUMS and not node.kwargs and self.alike(node):
            self.put(node, self._sum(node), n)
        else:
            return False
        return True

    def alike(self, node: fx.Node) -> bool:
        """Whether the inputs that change have the batch where the output has it."""
        dim, k = self.values[node].dim(), self.plan.batch_axis[node]
        return k is not None and all(
            self.values[n].dim() == dim and self.plan.batch_axis[n] == k for n in self.active(node)
        )

    def split(self, node: fx.Node) -> Tensor:
        """A change (…, n·d·m, …) as (…, n, d, m, …)."""
        k, n = self.plan.batch_axis[node], self.images[node]
        return self.changes[node].unflatten(k, (n, self.d, -1))

    def _is_linear(self, node: fx.Node) -> bool:
        if node.target in JOINING:
            return True
        if node.target not in LINEAR:
            return node.target is aten.constant_pad_nd.default and not any(arguments(node)[2:])
        others = [a for i, a in enumerate(arguments(node)) if i != LINEAR[node.target]]
        tensors = [a for a in others if isinstance(a, fx.Node)]
        return sum(a in self.changes for a in tensors) == 1 and all(
            a in self.changes or is_constant(a) or isinstance(self.values[a], int) for a in tensors
        )

    def _linear(self, node: fx.Node, n: int) -> Any:
        """The same operation on changes as one batch."""
        batch = n * self.d

        def change(arg: fx.Node) -> Any:
            if arg in self.changes:
                return self._spread(arg, n)
            if isinstance(self.values[arg], int):
                return self._size(arg, batch)
            if node.target not in JOINING:
                return self._constant(arg)
            x, k = self.values[arg], self.plan.batch_axis[arg]  # it does not change
            size = [m // self.B * batch if i == k else m for i, m in enumerate(x.shape)]
            return x.new_zeros(size, dtype=self.plan.dtype)

        args: Any
        args, kwargs = map_arg((node.args, node.kwargs), change)
        operation: Any = node.target
        if operation is aten.addmm.default:
            return torch.mm(*args[1:])
        term = LINEAR.get(operation)
        args = args if term is None else (*args[:term], None, *args[term + 1 :])
        return operation(*args, **kwargs)

    def _sum(self, node: fx.Node) -> Tensor:
        a, b = arguments(node)
        sign, k = SUMS[node.target], self.plan.batch_axis[node]  # type: ignore[index]
        if b not in self.changes:
            return self._as_wide(node, self.split(a)).flatten(k, k + 2)
        if a not in self.changes:
            return self._as_wide(node, sign * self.split(b)).flatten(k, k + 2)
        return torch.add(self.split(a), self.split(b), alpha=sign).flatten(k, k + 2)

    def _as_wide(self, node: fx.Node, split: Tensor) -> Tensor:
        """A change (…, n, d, m, …) with the sizes of the node's value: sums may broadcast."""
        k, shape = self.plan.batch_axis[node], list(self.values[node].shape)
        return split.expand(*shape[:k], -1, -1, shape[k] // self.B, *shape[k + 1 :])

    def _spread(self, node: fx.Node, n: int) -> Any:
        """A change, for n images."""
        if self.images[node] == n:
            return self.changes[node]
        k = self.plan.batch_axis[node]
        split = self.split(node)
        return split.expand(*split.shape[:k], n, *split.shape[k + 1 :]).flatten(k, k + 2)

    def _constant(self, node: fx.Node) -> Any:
        """A constant in the changes' dtype."""
        known = self.plan.constants
        if node not in known:
            x = self.values[node]
            known[node] = x.to(self.plan.dtype) if x.is_floating_point() else x
        return known[node]

    def _size(self, node: fx.Node, batch: int) -> int:
        """A size that depends on the batch, at another batch size."""
        if node.target is aten.sym_size.int:
            at, axis = arguments(node)
            size = self.values[node]
            return size // self.B * batch if self.plan.batch_axis[at] == axis else size
        a, b = (self._size(x, batch) if isinstance(x, fx.Node) else x for x in arguments(node))
        return a * b if node.target is operator.mul else a + b


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
