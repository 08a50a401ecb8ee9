"""Reading and changing a traced graph: constants, shapes, and who uses what."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg
from torch.fx.passes.shape_prop import ShapeProp

aten = torch.ops.aten

CACHE = 1 << 24  # bytes; tensors beyond it made every pass slower, by up to a half

Inputs = tuple[Tensor, ...]  # a graph's: latents, and labels if the model has classes


def value(graph: fx.GraphModule, node: Any) -> Any:
    """The tensor of a constant node, or the number itself; None for anything else."""
    if type(node) in (int, float):
        return torch.tensor(float(node))
    if isinstance(node, fx.Node) and node.op == "get_attr":
        return operator.attrgetter(str(node.target))(graph)
    return None


def is_constant(node: Any) -> bool:
    return not isinstance(node, fx.Node) or node.op == "get_attr"


def constant(graph: fx.GraphModule, tensor: Tensor, before: fx.Node) -> fx.Node:
    """A new constant, defined just before a node."""
    name = next(f"constant_{i}" for i in count() if not hasattr(graph, f"constant_{i}"))
    graph.register_buffer(name, tensor.detach())
    with graph.graph.inserting_before(before):
        node = graph.graph.get_attr(name)
    node.meta["shape"] = tensor.shape
    return node


def call(before: fx.Node, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
    """A new operation just before a node."""
    with before.graph.inserting_before(before):
        return before.graph.call_function(target, args, kwargs)


def arguments(node: fx.Node) -> tuple[Any, ...]:
    """Its positional arguments: nodes, numbers, lists of them."""
    return node.args


def evaluate(node: fx.Node, lookup: Callable[[fx.Node], Any]) -> Any:
    """The node's operation, on what `lookup` has for its inputs."""
    operation: Any = node.target
    args, kwargs = map_arg((node.args, node.kwargs), lookup)
    return operation(*args, **kwargs)


def swap(old: fx.Node, new: fx.Node) -> None:
    """Let `new` stand wherever `old` stood."""
    if "shape" in old.meta:
        new.meta.setdefault("shape", shape(old))
    old.replace_all_uses_with(new)
    old.graph.erase_node(old)


def shape(node: fx.Node) -> torch.Size:
    """Of a tensor, as `infer_shapes` last saw it; an operation's at the example's batch size."""
    return node.meta["shape"]


def infer_shapes(graph: fx.GraphModule, inputs: Inputs) -> None:
    """Note every tensor's shape in `meta["shape"]`."""
    ShapeProp(graph).propagate(*inputs)
    for node in graph.graph.nodes:
        found = node.meta.get("tensor_meta")
        if hasattr(found, "shape"):
            node.meta["shape"] = found.shape


def images_at_once(graph: fx.GraphModule, bytes_a_number: int) -> int:
    """How many images keep the largest of its tensors within the caches."""
    widest = max(
        math.prod(n.meta["shape"][1:])
        for n in graph.graph.nodes
        if n.op != "get_attr" and "shape" in n.meta
    )
    return max(1, CACHE // (bytes_a_number * widest))


def users(node: fx.Node) -> list[fx.Node]:
    return list(node.users)


def sole(node: fx.Node) -> bool:
    """Whether one operation alone uses it."""
    return len(node.users) == 1


def calls(graph: fx.GraphModule, *targets: Any) -> list[fx.Node]:
    """The nodes of these operations, in order."""
    return [n for n in graph.graph.nodes if n.op == "call_function" and n.target in targets]


def is_pointwise(node: fx.Node) -> bool:
    target = node.target
    tags: Sequence[Any] = target.tags if isinstance(target, torch._ops.OpOverload) else ()
    return torch.Tag.pointwise in tags


def clean(graph: fx.GraphModule) -> None:
    """Drop what nothing uses, constants too."""
    graph.graph.eliminate_dead_code()
    used = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
    for name, _ in [*graph.named_parameters(), *graph.named_buffers()]:
        if name not in used:
            delattr(graph, name)
    graph.recompile()
