"""J = dR/dz of the residuals, by forward mode, and products with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.func import jvp as forward_mode

from preimage.core import Unsupported
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Problem
from preimage.inversion.terms import L2

MEMORY = 1 << 28  # bytes that the tangents of a forward pass may take
LAYERS = 16  # a guess of the activations held at a time, in images


def jacobian(
    problem: Problem,
    z: Tensor,
    *,
    dtype: torch.dtype | None = None,
    rows: Tensor | None = None,
    memory: int = MEMORY,
) -> tuple[Tensor, Tensor]:
    """R(z) (B, m) and J (B, m, d), float32, of latents z (B, d).

    dtype: torch.bfloat16 runs the generator so, and makes R and J that inexact; a problem that
        has its own `tangents` decides for itself.
    rows: residuals of the image (indices) to restrict it to; they are scaled up so that ‖R‖²
        and JᵀJ keep their size. Residuals of penalties are never left out.
    memory: bytes for tangents; directions are pushed through the generator in parts of this size.

    J is a transposed view of contiguous (B, d, m) memory.

    Raises Unsupported where the objective is no sum of squares, or the generator has an operation
    without a forward-mode derivative.
    """
    residual, columns = None, []
    for x, dx in _image_tangents(problem, z, dtype, memory):
        residual, part = _residual_tangents(problem, x, dx)
        if rows is not None:
            scale = math.sqrt(part.shape[2] / len(rows))
            residual, part = scale * residual[:, rows], scale * part[..., rows]
        columns.append(part)
    assert residual is not None  # a latent has at least one direction
    Jt = columns[0] if len(columns) == 1 else torch.cat(columns, 1)
    of_latent, d_latent = _penalty_tangents(problem, z)
    if of_latent.shape[1]:
        residual, Jt = torch.cat([residual, of_latent], 1), torch.cat([Jt, d_latent], 2)
    return residual.float(), Jt.float().mT


def jvp(problem: Problem, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """R(z) and J v, both (B, m), of latents and directions (B, d)."""
    with _explained():
        pushed = forward_mode(problem.residual, (z,), (v,))
    return pushed[0], pushed[1]


def vjp(problem: Problem, z: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """R(z) (B, m), and the function u (B, m) ↦ Jᵀu (B, d), to be called as often as wanted."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        residual = problem.residual(z)
    if not residual.requires_grad:
        raise Unsupported("the generator gives no gradient; use method='cma'")

    def pullback(u: Tensor) -> Tensor:
        (product,) = torch.autograd.grad(residual, z, u, retain_graph=True)
        return product

    return residual.detach(), pullback


def _image_tangents(
    problem: Problem, z: Tensor, dtype: torch.dtype | None, memory: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """G(z) (B, C, H, W) and dG/dzⱼ (B, k, C, H, W), for the directions j part by part."""
    if problem.tangents is not None:
        yield problem.tangents(z.reshape(len(z), *problem.model.space.shape), problem.labels)
        return
    images = problem.images if dtype is None else _images_in(problem, dtype)
    directions = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    size = max(1, memory // (4 * LAYERS * len(z) * problem.model.data.size))
    for part in directions.split(size):
        with _explained():
            pushed = _pushed(images, z, part[:, None].expand(-1, len(z), -1), dim=0)
        yield pushed


def _images_in(problem: Problem, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """G with its weights in another dtype; autocast does not reach into `vmap`."""
    state = {**dict(problem.model.named_parameters()), **dict(problem.model.named_buffers())}
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}

    def images(z: Tensor) -> Tensor:
        z = z.to(dtype).reshape(len(z), *problem.model.space.shape)
        return functional_call(problem.model, state, (z, problem.labels))

    return images


def _residual_tangents(problem: Problem, x: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
    """Images and tangents (B, k, C, H, W) → the terms' R (B, m) and its tangents (B, k, m)."""
    x, dx = x.float(), dx.float()
    with _explained():
        if not problem.through.linear:
            a, da = _pushed(problem.through, x, dx, dim=1)
        elif isinstance(problem.through, Identity):
            a, da = x, dx
        else:
            B, k = dx.shape[:2]
            each = torch.arange(B, device=x.device).repeat_interleave(k)
            a = problem.through(x)
            da = problem.through.select(each)(dx.flatten(0, 1)).reshape(B, k, *a.shape[1:])
        parts = [_term_tangents(problem, name, a, da) for name in problem.objective.terms]
    if len(parts) == 1:
        return parts[0]
    return torch.cat([r for r, _ in parts], 1), torch.cat([dr for _, dr in parts], 2)


def _term_tangents(problem: Problem, name: str, a: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    """√w r (B, m) of one term and its tangents (B, k, m), at a = A(G(z)) with tangents da.

    The only term may write over da.
    """
    (w, term), prepared = problem.objective.terms[name], problem.prepared[name]

    def residual(a: Tensor) -> Tensor:
        r = term.residual(a, prepared)
        if r is None:
            names = ", ".join(problem.objective.terms)
            raise Unsupported(
                f"the objective ({names}) is no sum of squares; use method='l-bfgs' or 'adam'"
            )
        return r

    if isinstance(term, L2):  # by far the commonest, and linear
        spent = len(problem.objective.terms) == 1
        r, dr = residual(a), term.push(da, prepared, spent=spent)
    else:
        r, dr = _pushed(residual, a, da, dim=1)
    return (r, dr) if w == 1 else (math.sqrt(w) * r, math.sqrt(w) * dr)


def _penalty_tangents(problem: Problem, z: Tensor) -> tuple[Tensor, Tensor]:
    """The penalties' part of R (B, m₂), and its tangents (B, d, m₂)."""
    residual = problem.objective.latent_residual

    def of_latent(z: Tensor) -> Tensor:
        r = residual(z)
        if r is None:
            names = ", ".join(problem.objective.penalties)
            raise Unsupported(
                f"a penalty ({names}) is no sum of squares; use method='l-bfgs' or 'adam'"
            )
        return r

    if not problem.objective.penalties:
        return z.new_empty(len(z), 0), z.new_empty(*z.shape, 0)
    directions = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    with _explained():
        return _pushed(of_latent, z, directions[:, None].expand(-1, len(z), -1), dim=0)


def _pushed(
    f: Callable[[Tensor], Tensor], x: Tensor, dx: Tensor, *, dim: int
) -> tuple[Tensor, Tensor]:
    """f(x), and its derivative along the directions on axis `dim` of dx; they come on axis 1."""
    axes: Any = (None, 1)  # f(x) has no axis of directions
    pushed = vmap(lambda v: forward_mode(f, (x,), (v,)), in_dims=dim, out_dims=axes)(dx)
    return pushed[0], pushed[1]


@contextmanager
def _explained() -> Iterator[None]:
    """Turns torch's error about an operation without a derivative into a line for people."""
    try:
        yield
    except NotImplementedError as error:
        line = str(error).splitlines()[0]
        raise Unsupported(
            f"the generator has no forward-mode derivative ({line}); use method='l-bfgs'"
        ) from error
