"""Rewriting a traced graph so that it does the same with less work.

Constants are computed once; batch normalisation and other affine maps move into the weights of the
layer before them (Jacob et al. 2018, §3.2); consecutive linear layers become one where that is
smaller; resampling merges with convolutions (`resample.py`); feature maps lie channels last.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import Tensor, fx

from preimage.inversion.graph.edit import (
    Inputs,
    arguments,
    aten,
    call,
    calls,
    clean,
    constant,
    evaluate,
    infer_shapes,
    is_constant,
    is_pointwise,
    shape,
    sole,
    swap,
    users,
    value,
)
from preimage.inversion.graph.resample import merge_resampling, narrow_transposed

NORMS = (
    aten.native_batch_norm.default,
    aten._native_batch_norm_legit_no_training.default,
    aten.cudnn_batch_norm.default,
    aten.miopen_batch_norm.default,
)
COPIES = (aten.clone.default, aten.alias.default, aten.lift_fresh_copy.default)


def fold(graph: fx.GraphModule, inputs: Inputs) -> None:
    """Rewrite in place; `inputs` are an example's."""
    simplify(graph)
    fold_constants(graph)
    infer_shapes(graph, inputs)
    spell_out_norms(graph)
    merge_resampling(graph, inputs)
    fold_constants(graph)
    while merge_affine(graph) or merge_linear(graph):
        clean(graph)
        infer_shapes(graph, inputs)
    narrow_transposed(graph)
    clean(graph)
    infer_shapes(graph, inputs)
    channels_last(graph)
    clean(graph)
    infer_shapes(graph, inputs)


def simplify(graph: fx.GraphModule) -> None:
    """Drop copies, and let views work on any memory layout."""
    for node in calls(graph, *COPIES):
        node.replace_all_uses_with(arguments(node)[0])
    for node in calls(graph, aten.view.default, aten._unsafe_view.default):
        node.target = aten.reshape.default
    clean(graph)


@torch.no_grad()
def fold_constants(graph: fx.GraphModule) -> None:
    """Compute once what depends on no input."""
    made = (aten.arange.default, aten.zeros.default, aten.ones.default, aten.full.default)
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or not all(is_constant(n) for n in node.all_input_nodes):
            continue
        if node.all_input_nodes or node.target in made:
            found = evaluate(node, lambda n: value(graph, n))
            if isinstance(found, Tensor):
                swap(node, constant(graph, found, node))
    clean(graph)


@torch.no_grad()
def spell_out_norms(graph: fx.GraphModule) -> None:
    """Batch normalisation by fixed statistics is γ (x − μ) / √(σ² + ε) + β: mul, then add."""
    for node in calls(graph, *NORMS):
        x = arguments(node)[0]
        assert isinstance(x, fx.Node)
        γ, β, μ, σ2 = (value(graph, arg) for arg in arguments(node)[1:5])
        ε = arguments(node)[-1]
        if μ is None or σ2 is None or True in node.args:
            continue
        scale = (σ2.double() + ε).rsqrt() * (1.0 if γ is None else γ.double())
        shift = -μ.double() * scale + (0.0 if β is None else β.double())
        wide = (-1, *[1] * (len(shape(x)) - 2))
        scale, shift = (t.to(μ.dtype).reshape(wide) for t in (scale, shift))
        y = call(node, aten.mul.Tensor, x, constant(graph, scale, node))
        y.meta["shape"] = shape(x)
        y = call(node, aten.add.Tensor, y, constant(graph, shift, node))
        y.meta["shape"] = shape(x)
        for user in users(node):
            if user.target is operator.getitem and arguments(user)[1] == 0:
                user.replace_all_uses_with(y)
    clean(graph)


@torch.no_grad()
def merge_affine(graph: fx.GraphModule) -> bool:
    """Move constant factors and terms into the linear layer before them; whether any moved."""
    moved = False
    for node in calls(graph, aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor, aten.div.Tensor):
        x, other = arguments(node)[:2]
        if is_constant(x) and node.target in (aten.mul.Tensor, aten.add.Tensor):
            x, other = other, x
        c = value(graph, other)
        if c is None or node.kwargs or is_constant(x) or not sole(x):
            continue
        assert isinstance(x, fx.Node)
        factor = node.target in (aten.mul.Tensor, aten.div.Tensor)
        if node.target in (aten.sub.Tensor, aten.div.Tensor):
            c = 1 / c if factor else -c
        if absorbed(graph, x, c, factor=factor):
            node.replace_all_uses_with(x)
            graph.graph.erase_node(node)
            moved = True
    return moved


def absorbed(graph: fx.GraphModule, x: fx.Node, c: Tensor, *, factor: bool) -> bool:
    """Let x produce c · x, or x + c, by other weights; whether it could be done."""
    layer: Any = x
    seen = shape(x)
    if c.dim() > len(seen) or (c.dim() == len(seen) and c.shape[0] != 1):
        return False  # it differs from image to image, or makes the result larger
    c = c.reshape(c.shape[1:]) if c.dim() == len(seen) else c
    if any(n not in (1, m) for n, m in zip(c.shape[::-1], seen[::-1], strict=False)):
        return False
    if layer.target == aten.reshape.default and sole(arguments(layer)[0]):
        layer = arguments(layer)[0]
    if layer.target in (aten.addmm.default, aten.mm.default):
        if len(shape(layer)) != 2 or len(seen) < 2 or math.prod(seen[1:]) != shape(layer)[1]:
            return False
        return _absorb_linear(graph, layer, c.expand(seen[1:]).flatten(), factor=factor)
    if layer is x and layer.target == aten.convolution.default:
        if c.dim() and c.numel() > 1 and (c.dim() < len(seen) - 1 or c.numel() != len(c)):
            return False  # not one number a channel
        return _absorb_convolution(graph, layer, c.flatten().expand(seen[1]), factor=factor)
    return False


def _absorb_linear(graph: fx.GraphModule, layer: fx.Node, c: Tensor, *, factor: bool) -> bool:
    *bias, x, W = arguments(layer)
    weight = value(graph, W)
    b = value(graph, bias[0]) if bias else torch.zeros_like(c)
    if weight is None or b is None or layer.kwargs:
        return False
    c = c.to(weight)
    b = b.expand(c.shape)
    weight, b = (weight * c, b * c) if factor else (weight, b + c)
    layer.target = aten.addmm.default
    layer.args = (constant(graph, b, layer), x, constant(graph, weight, layer))
    return True


def _absorb_convolution(graph: fx.GraphModule, layer: fx.Node, c: Tensor, *, factor: bool) -> bool:
    x, W, bias, *rest = arguments(layer)
    weight, b = value(graph, W), value(graph, bias)
    transposed, groups = rest[3], rest[5]
    if weight is None or (bias is not None and b is None) or (transposed and groups != 1):
        return False
    c = c.to(weight)
    b = torch.zeros_like(c) if b is None else b
    if factor:
        along = (1, -1) if transposed else (-1, 1)
        weight = weight * c.reshape(*along, *[1] * (weight.dim() - 2))
    b = b * c if factor else b + c
    layer.args = (x, constant(graph, weight, layer), constant(graph, b, layer), *rest)
    return True


@torch.no_grad()
def merge_linear(graph: fx.GraphModule) -> bool:
    """(x W₁ + b₁) W₂ + b₂ = x W₁W₂ + (b₁W₂ + b₂), where that is less work; whether any merged."""
    merged = False
    for outer in calls(graph, aten.addmm.default, aten.mm.default):
        inner, W2 = arguments(outer)[-2], value(graph, arguments(outer)[-1])
        if (
            W2 is None
            or not isinstance(inner, fx.Node)
            or inner.target not in (aten.addmm.default, aten.mm.default)
            or not sole(inner)
            or inner.kwargs
            or outer.kwargs
        ):
            continue
        W1 = value(graph, arguments(inner)[-1])
        if W1 is None or W1.numel() + W2.numel() < len(W1) * W2.shape[1]:
            continue
        b = torch.zeros(W2.shape[1]).to(W2)
        for bias, onward in ((arguments(inner)[0], W2), (arguments(outer)[0], None)):
            layer = inner if onward is not None else outer
            if layer.target == aten.addmm.default:
                known = value(graph, bias)
                b = b + (known if onward is None else known.expand(len(W2)) @ onward)
        new = call(
            outer,
            aten.addmm.default,
            constant(graph, b, outer),
            arguments(inner)[-2],
            constant(graph, W1 @ W2, outer),
        )
        swap(outer, new)
        merged = True
    return merged


@torch.no_grad()
def channels_last(graph: fx.GraphModule) -> None:
    """Weights of convolutions channels last, and layers that make feature maps make them so.

    A linear layer whose output becomes maps (C, H, W) has its columns put in the order (H, W, C).
    """
    for node in calls(graph, aten.convolution.default):
        weight = value(graph, arguments(node)[1])
        if weight is not None and weight.dim() == 4:
            weight = weight.contiguous(memory_format=torch.channels_last)
            node.replace_input_with(arguments(node)[1], constant(graph, weight, node))
    for node in calls(graph, aten.reshape.default):
        seen = shape(node)
        path = _linear_before(node)
        if not path or len(seen) != 4 or seen[2] * seen[3] == 1 or seen[1] == 1:
            continue
        layer = path[-1]
        order = torch.arange(math.prod(seen[1:])).reshape(seen[1:]).permute(1, 2, 0).flatten()
        *bias, x, W = arguments(layer)
        weight = value(graph, W)
        if weight is None or weight.shape[1] != len(order):
            continue
        order = order.to(weight.device)
        ordered = [constant(graph, value(graph, b).expand(len(order))[order], layer) for b in bias]
        layer.args = (*ordered, x, constant(graph, weight[:, order].contiguous(), layer))
        batch = arguments(node)[1][0]
        maps = call(
            node, aten.reshape.default, arguments(node)[0], [batch, seen[2], seen[3], seen[1]]
        )
        swap(node, call(node, aten.permute.default, maps, [0, 3, 1, 2]))


def _linear_before(node: fx.Node) -> list[fx.Node]:
    """From what `node` reshapes back to a linear layer, over maps of single numbers; or []."""
    path: list[fx.Node] = []
    x = arguments(node)[0]
    while isinstance(x, fx.Node) and sole(x):
        path.append(x)
        if x.target in (aten.addmm.default, aten.mm.default):
            return path
        scalars = all(not isinstance(arg, fx.Node) for arg in arguments(x)[1:])
        if not is_pointwise(x) or not scalars:
            break
        x = arguments(x)[0]
    return []
