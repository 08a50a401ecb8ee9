"""Enlarging and convolving in one step.

Nearest-neighbour enlargement by s is a transposed convolution of stride s with a box; a convolution
after it makes one of kernel box ∗ w, which never builds the enlarged maps: of a 3×3 kernel after
×2, 4 of 9 products remain.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch.fx.node import map_arg

from preimage.inversion.graph.edit import (
    Inputs,
    arguments,
    aten,
    call,
    calls,
    clean,
    constant,
    infer_shapes,
    is_constant,
    is_pointwise,
    shape,
    swap,
    users,
    value,
)

NEAREST = (aten.upsample_nearest2d.default, aten.upsample_nearest2d.vec)
NARROW = 8  # output channels up to which a transposed convolution is quicker as a plain one


def merge_resampling(graph: fx.GraphModule, inputs: Inputs) -> None:
    """Rewrite in place what enlarges maps."""
    for node in calls(graph, *NEAREST):
        if enlargement(node) == (1, 1):
            swap(node, arguments(node)[0])
    while _enlarge_later(graph):
        clean(graph)
        infer_shapes(graph, inputs)
    for merge in (_enlarged_convolutions, _single_pixels):
        merge(graph)
        clean(graph)
        infer_shapes(graph, inputs)


def enlargement(node: object) -> tuple[int, int] | None:
    """The whole factors by which a node repeats pixels, or None."""
    if not isinstance(node, fx.Node) or node.target not in NEAREST:
        return None
    (H, W), (h, w) = shape(node)[-2:], shape(arguments(node)[0])[-2:]
    scales = [float(a) for a in _numbers(arguments(node)[2:])]
    exact = not scales or scales == [H / h, W / w]
    return (H // h, W // w) if H % h == 0 and W % w == 0 and exact else None


def _numbers(args: object) -> list[float]:
    if isinstance(args, list | tuple):
        return [number for arg in args for number in _numbers(arg)]
    return [args] if isinstance(args, int | float) else []


def _enlarge_later(graph: fx.GraphModule) -> bool:
    """f(enlarge(x)) = enlarge(f(x)) where f works on each pixel by itself; whether any moved."""
    moved = False
    for node in [n for n in graph.graph.nodes if enlargement(n)]:
        for user in users(node):
            enlarged = [arg for arg in user.all_input_nodes if not is_constant(arg)]
            same = all(enlargement(arg) == enlargement(node) for arg in enlarged)
            if not same or not (_pixelwise(graph, user) or _one_by_one(user, node)):
                continue
            small = map_arg(user.args, lambda n, e=tuple(enlarged): n.args[0] if n in e else n)
            inner = call(user, user.target, *small, **user.kwargs)
            h, w = shape(arguments(enlarged[0])[0])[-2:]
            inner.meta["shape"] = torch.Size([*shape(user)[:-2], h, w])
            size = list(shape(user)[-2:])
            swap(user, call(user, aten.upsample_nearest2d.default, inner, size))
            moved = True
        if moved:
            break  # the list of nodes has changed
    return moved


def _pixelwise(graph: fx.GraphModule, node: fx.Node) -> bool:
    constants = [value(graph, n) for n in node.all_input_nodes if is_constant(n)]
    uniform = all(c.dim() == 0 or (c.dim() >= 2 and c.shape[-2:] == (1, 1)) for c in constants)
    return is_pointwise(node) and uniform


def _one_by_one(node: fx.Node, x: fx.Node) -> bool:
    """Whether it is a 1×1 convolution of x."""
    if node.target != aten.convolution.default or arguments(node)[0] is not x:
        return False
    kernel = shape(arguments(node)[1])[2:]
    _, _, _, stride, padding, _, transposed, output_padding, _ = arguments(node)
    once = all(n == 1 for n in [*kernel, *stride])
    return once and not any([*padding, *output_padding]) and not transposed


@torch.no_grad()
def _enlarged_convolutions(graph: fx.GraphModule) -> None:
    """convolution(enlarge(x)) → one transposed convolution."""
    for node in calls(graph, aten.convolution.default):
        x, W, bias, stride, padding, dilation, transposed, _, groups = arguments(node)
        s, w = enlargement(x), value(graph, W)
        if s is None or w is None or transposed or groups != 1 or w.dim() != 4:
            continue
        k = w.shape[2:]
        once = all(n == 1 for n in [*stride, *dilation])
        if not once or any(p > n - 1 for p, n in zip(padding, k, strict=True)):
            continue
        box = torch.ones(1, 1, *s).to(w)
        flipped = w.flip(2, 3).flatten(0, 1)[:, None]
        kernel = F.conv_transpose2d(flipped, box)  # full convolution with the box
        kernel = kernel.reshape(*w.shape[:2], *kernel.shape[2:]).transpose(0, 1)
        cut = [n - 1 - p for p, n in zip(padding, k, strict=True)]
        weight = constant(graph, kernel.contiguous(), node)
        args = (arguments(x)[0], weight, bias, list(s), cut, [1, 1], True, [0, 0], 1)
        swap(node, call(node, aten.convolution.default, *args))


@torch.no_grad()
def _single_pixels(graph: fx.GraphModule) -> None:
    """A convolution of maps of one pixel, such as DCGAN's first, is a linear layer."""
    for node in calls(graph, aten.convolution.default):
        x, W, bias, *rest = arguments(node)
        w, b = value(graph, W), value(graph, bias)
        assert isinstance(x, fx.Node)
        seen = shape(node)
        if w is None or (bias is not None and b is None) or shape(x)[2:] != (1, 1):
            continue
        n = shape(x)[1]
        pixels = torch.eye(n).to(w)[:, :, None, None]
        matrix = aten.convolution.default(pixels, w, None, *rest).flatten(1)
        b = torch.zeros(seen[1]).to(w) if b is None else b
        b = b[:, None].expand(seen[1], math.prod(seen[2:])).flatten()
        batch = call(node, aten.sym_size.int, x, 0)
        flat = call(node, aten.reshape.default, x, [batch, n])
        y = call(
            node, aten.addmm.default, constant(graph, b, node), flat, constant(graph, matrix, node)
        )
        swap(node, call(node, aten.reshape.default, y, [batch, *seen[1:]]))


@torch.no_grad()
def narrow_transposed(graph: fx.GraphModule) -> None:
    """A transposed convolution to few channels → a plain one to s² times as many, interleaved.

    With stride s, output pixel o takes input i at tap o + P − s i. The pixels of one remainder of
    o + P by s make a plain convolution with every s-th tap (Shi et al. 2016, "Is the deconvolution
    layer the same as a convolutional layer?").
    """
    for node in calls(graph, aten.convolution.default):
        x, W, bias, stride, padding, dilation, transposed, _, groups = arguments(node)
        w, b = value(graph, W), value(graph, bias)
        if w is None or (bias is not None and b is None) or not transposed or w.dim() != 4:
            continue
        (s, s2), (p, p2) = stride, padding
        plain = s == s2 and s > 1 and groups == 1 and all(n == 1 for n in dilation)
        if not plain or w.shape[1] > NARROW:
            continue
        kernel, taps = by_remainder(w, s)
        H, W_out = shape(node)[2:]
        bias = None if b is None else constant(graph, b.repeat(s * s), node)
        y = call(
            node,
            aten.convolution.default,
            *(x, constant(graph, kernel, node), bias, [1, 1], [t - 1 for t in taps]),
            *([1, 1], False, [0, 0], 1),
        )
        h, w_in = (n + t - 1 for n, t in zip(shape(x)[2:], taps, strict=True))
        batch = call(node, aten.sym_size.int, x, 0)
        y = call(node, aten.reshape.default, y, [batch, s, s, w.shape[1], h, w_in])
        y = call(node, aten.permute.default, y, [0, 4, 1, 5, 2, 3])  # to lie channels last
        y = call(node, aten.reshape.default, y, [batch, h * s, w_in * s, w.shape[1]])
        y = call(node, aten.permute.default, y, [0, 3, 1, 2])
        y = call(node, aten.slice.Tensor, y, 2, p, p + H)
        swap(node, call(node, aten.slice.Tensor, y, 3, p2, p2 + W_out))


def by_remainder(w: Tensor, s: int) -> tuple[Tensor, tuple[int, int]]:
    """Taps (I, O, K, L) of stride s → plain ones (s² · O, I, J, J'), flipped, and (J, J')."""
    I, O, K, L = w.shape  # noqa: E741
    J, J2 = math.ceil(K / s), math.ceil(L / s)
    w = F.pad(w, (0, J2 * s - L, 0, J * s - K)).reshape(I, O, J, s, J2, s)
    return w.flip(2, 4).permute(3, 5, 1, 0, 2, 4).reshape(s * s * O, I, J, J2), (J, J2)
