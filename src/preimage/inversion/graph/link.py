"""The last nonlinearity of a generator: images are link(u), pixel by pixel.

Before it, u is not squeezed into a range, so a regression from u to z is nearer to linear than
one from pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from preimage.inversion.graph.edit import (
    Inputs,
    arguments,
    aten,
    clean,
    evaluate,
    is_constant,
    is_pointwise,
)
from preimage.models.linear import soft_clip

TOLERANCE = 1e-5  # between images and link(u)
SHAPING = (aten.reshape.default, aten.view.default, aten.permute.default, aten._to_copy.default)


@dataclass(frozen=True)
class Link:
    """x = link(u) elementwise, increasing; images x in [−1, 1]."""

    name: str
    images: Callable[[Tensor], Tensor]  # u → x
    derivative: Callable[[Tensor], Tensor]  # u → dx/du
    unbounded: Callable[[Tensor], Tensor]  # x in (−1, 1) → u

    def inverse(self, x: Tensor, *, margin: float = 1e-6) -> Tensor:
        """u of images x, which are first brought to within 1 − margin where the link saturates."""
        if self.name == "identity":
            return x
        return self.unbounded(x.clamp(-1 + margin, 1 - margin))


def _soft_clip_inverse(x: Tensor, margin: float = 0.1) -> Tensor:
    beyond = x.abs() > 1 - margin
    u = 1 - margin - margin * ((1 - x.abs()).clamp_max(margin) / margin).log()
    return torch.where(beyond, x.sign() * u, x)


def _soft_clip_derivative(u: Tensor, margin: float = 0.1) -> Tensor:
    return torch.exp(-(u.abs() - (1 - margin)).clamp_min(0) / margin)


LINKS = {
    link.name: link
    for link in (
        Link("tanh", torch.tanh, lambda u: 1 - u.tanh().square(), torch.atanh),
        Link(
            "sigmoid",
            lambda u: (u / 2).tanh(),  # 2σ(u) − 1
            lambda u: (1 - (u / 2).tanh().square()) / 2,
            lambda x: 2 * x.atanh(),
        ),
        Link("soft clip", soft_clip, _soft_clip_derivative, _soft_clip_inverse),
        Link(
            "clip",
            lambda u: u.clamp(-1, 1),
            lambda u: (u.abs() <= 1).to(u.dtype),
            lambda x: x,
        ),
        Link("identity", lambda u: u, torch.ones_like, lambda x: x),
    )
}


@torch.no_grad()
def split_link(graph: fx.GraphModule, inputs: Inputs, shape: tuple[int, ...]) -> Link:
    """Let the graph return u (B, *shape) instead of images, and say which link was taken off.

    The link is recognised by its values: everything after the deepest u possible is run on numbers
    from all over the line, and compared with each of `LINKS`.
    """
    output = next(iter(reversed(graph.graph.nodes)))
    (last,) = arguments(output)
    run = fx.Interpreter(graph, garbage_collect_values=False)
    run.run(*inputs)
    for node in reversed(_elementwise_tail(last)):
        before = run.env[node]
        if before.numel() != run.env[last].numel() or len(before) != len(run.env[last]):
            continue
        u = torch.linspace(-4, 4, before.numel()).reshape(before.shape).to(before)
        images = _rerun(run, node, u, last)
        for link in LINKS.values():
            if (link.images(u).flatten() - images.flatten()).abs().max() <= TOLERANCE:
                with graph.graph.inserting_before(output):
                    batch = graph.graph.call_function(aten.sym_size.int, (node, 0))
                    whole = graph.graph.call_function(aten.reshape.default, (node, [batch, *shape]))
                output.args = (node if node.meta["shape"][1:] == shape else whole,)
                clean(graph)
                return link
    return LINKS["identity"]


def _rerun(run: fx.Interpreter, node: fx.Node, value: Tensor, last: fx.Node) -> Tensor:
    """What `last` would be if `node` had another value."""
    env = {node: value}
    for later in last.graph.nodes:
        if later.op == "call_function" and any(n in env for n in later.all_input_nodes):
            env[later] = evaluate(later, lambda n: env[n] if n in env else run.env[n])
    return env[last]


def _elementwise_tail(last: fx.Node) -> list[fx.Node]:
    """The nodes, the last one first, of which everything after is an elementwise function."""
    order = {node: i for i, node in enumerate(last.graph.nodes)}
    frontier, found = {last}, []
    while True:
        if len(frontier) == 1:
            found.append(next(iter(frontier)))
        node = max(frontier, key=lambda n: order[n])
        if not (is_pointwise(node) or node.target in SHAPING):
            return found
        frontier.remove(node)
        frontier |= {n for n in node.all_input_nodes if not is_constant(n) and "shape" in n.meta}
        if not frontier:
            return found
