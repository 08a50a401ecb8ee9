"""A generator as a list of primitive operations, at any batch size.

`make_fx` records what a module does to one batch, whatever Python it runs on the way. Recorded at
two batch sizes the lists are the same but for some integers; each of those is affine in the batch
size, so that two points determine it, and the graph then runs at any.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from preimage.core import LatentModel

aten = torch.ops.aten
SIZES = (3, 5)  # batch sizes to record at: they differ, and are rarely the size of anything else


class Untraceable(Exception):
    """The generator is no fixed list of operations; the message says why."""


def trace(model: LatentModel) -> fx.GraphModule:
    """The graph of `model.decode`: (z (B, *shape), labels (B,) if conditional) → images.

    Its constants are the model's own tensors. Raises Untraceable.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.no_grad(), unfused_attention():
            small, large = (_record(model, n) for n in SIZES)
    finally:
        with torch.no_grad():
            for buffer, before in buffers:  # statistics that a layer in training mode updates
                buffer.copy_(before)
    _align(small, large)
    return small


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Attention by its definition: fused kernels have no forward-mode derivative."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def example(model: LatentModel, n: int, *, seed: int = 0) -> tuple[Tensor, ...]:
    """Inputs of a graph: n latents of the prior, and labels where the model has classes."""
    if model.space.priors:
        z = model.space.sample(n, seed=seed)
    else:
        z = torch.randn(n, *model.space.shape, generator=torch.Generator().manual_seed(seed))
    labels = model.labels_for(n)
    return (z.to(model.device),) if labels is None else (z.to(model.device), labels)


def _record(model: LatentModel, n: int) -> fx.GraphModule:
    inputs = example(model, n)

    def decode(*inputs: Tensor) -> Tensor:
        with OneHot():
            return model.decode(*inputs)

    try:
        graph = make_fx(functionalize(decode, remove="mutations"))(*inputs)
    except Exception as error:  # a stranger's module may raise anything
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise Untraceable(f"it cannot be traced: {line}") from error
    graph.graph.eliminate_dead_code()
    for node in graph.graph.nodes:
        _refuse(node)
    return graph


class OneHot(TorchFunctionMode):
    """Spells `one_hot` as a comparison: torch's own looks at the labels' values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.one_hot and len(args) == 2 and not kwargs:
            labels, n = args
            return (labels[..., None] == torch.arange(n, device=labels.device)).long()
        return func(*args, **(kwargs or {}))


def _refuse(node: fx.Node) -> None:
    """Raise where an operation is random, or ties the images of a batch together."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return
    if torch.Tag.nondeterministic_seeded in node.target.tags:
        raise Untraceable(f"it draws random numbers ({node.target})")
    if "batch_norm" in str(node.target) and True in node.args:
        raise Untraceable("it normalises over the batch")
    if node.target == aten.copy_.default:
        raise Untraceable("it changes its own buffers")


def _align(small: fx.GraphModule, large: fx.GraphModule) -> None:
    """Write the integers of `small` that differ in `large` as functions of the batch size."""
    pairs = list(zip(small.graph.nodes, large.graph.nodes, strict=False))
    if len(small.graph.nodes) != len(large.graph.nodes):
        raise Untraceable("what it does depends on the batch size")
    z = next(iter(small.graph.nodes))
    with small.graph.inserting_after(z):
        batch = small.graph.call_function(aten.sym_size.int, (z, 0))
    for a, b in pairs:
        same = a.op == b.op and (a.target == b.target or a.op == "placeholder")
        if not same:
            raise Untraceable("what it does depends on the batch size")
        if a.op == "get_attr" and not _equal(_constant(small, a), _constant(large, b)):
            raise Untraceable("its constants depend on the batch size")
        if a.op == "call_function":
            with small.graph.inserting_before(a):
                a.args = _merge(a.args, b.args, batch)
                a.kwargs = _merge(dict(a.kwargs), dict(b.kwargs), batch)
    small.graph.eliminate_dead_code()
    small.recompile()


def _equal(a: Any, b: Any) -> bool:
    return a is b or (a.shape == b.shape and torch.equal(a, b))


def _constant(graph: fx.GraphModule, node: fx.Node) -> Any:
    return operator.attrgetter(str(node.target))(graph)


def _merge(a: Any, b: Any, batch: fx.Node) -> Any:
    """Argument `a` of the small graph with each integer that differs from `b` made symbolic."""
    if isinstance(a, list | tuple):
        return type(a)(_merge(x, y, batch) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return {key: _merge(value, b[key], batch) for key, value in a.items()}
    if isinstance(a, fx.Node) or a == b or (a != a and b != b):  # the last: not a number
        return a
    slope, rest = divmod(b - a, SIZES[1] - SIZES[0]) if type(a) is type(b) is int else (0, 1)
    if rest:
        raise Untraceable("what it does depends on the batch size")
    offset = a - slope * SIZES[0]
    call: Callable[..., fx.Node] = batch.graph.call_function
    size = batch if slope == 1 else call(operator.mul, (batch, slope))
    return size if offset == 0 else call(operator.add, (size, offset))
