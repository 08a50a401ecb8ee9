"""Jacobians against autograd's, and noise by seeds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from preimage.core import ImageSpec, LatentSpace
from preimage.inversion.graph import compiled
from preimage.inversion.jacobian import jacobian, jvp, vjp
from preimage.inversion.noise import normal
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Downsample, Identity
from preimage.inversion.problem import Problem
from preimage.inversion.terms import L2, Huber
from preimage.models.wrap import wrap


def problem(through=None, term=None) -> tuple[Problem, torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Unflatten(1, (6, 1, 1)),
        nn.ConvTranspose2d(6, 8, 4),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, 2, 1),
        nn.Tanh(),
    )
    model = wrap(net, data=ImageSpec(1, 8, 8), space=LatentSpace((6,)))
    through = through or Identity()
    z = torch.randn(3, 6)
    with torch.no_grad():
        y = through(model.decode(z)) + 0.1
    objective = Objective({"term": (2.0, term or L2())})
    return Problem.of(model, y, objective, through), z + 0.3


def exact(p: Problem, z: torch.Tensor) -> torch.Tensor:
    rows = [
        torch.autograd.functional.jacobian(
            lambda v, i=i: p.select(torch.tensor([i])).residual(v[None])[0], z[i]
        )
        for i in range(len(z))
    ]
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("through", "term"), [(None, None), (Downsample(2), None), (None, Huber(0.05))], ids=str
)
def test_jacobian_is_autograds(through, term):
    p, z = problem(through, term)
    R, J = jacobian(p, z)
    assert torch.allclose(R, p.residual(z), atol=1e-6)
    assert torch.allclose(J, exact(p, z), atol=1e-5)


def test_terms_do_not_disturb_one_another():
    p, z = problem()
    both = replace(p.objective, terms={"one": (2.0, L2()), "two": (0.5, L2())})
    tangents = partial(compiled(p.model).tangents, dtype=torch.float32)
    p = Problem.of(p.model, p.target, both, p.through, tangents=tangents)
    assert torch.allclose(jacobian(p, z)[1], exact(p, z), atol=1e-5)


def test_parts_and_given_tangents_change_nothing():
    p, z = problem()
    J = jacobian(p, z)[1]
    assert torch.allclose(jacobian(p, z, memory=1)[1], J, atol=1e-6)


def test_bfloat16_is_near():
    p, z = problem()
    J = jacobian(p, z)[1]
    assert (
        jacobian(p, z, dtype=torch.bfloat16)[1] - J
    ).norm() < 0.2 * J.norm()  # ReLUs near 0 may turn


def test_all_rows_of_a_subset_are_the_whole():
    p, z = problem()
    R, J = jacobian(p, z)
    part_R, part_J = jacobian(p, z, rows=torch.arange(0, 64, 4))
    assert torch.allclose(part_R, 2 * R[:, ::4])
    assert torch.allclose(part_J, 2 * J[:, ::4])


def test_products():
    p, z = problem()
    R, J = jacobian(p, z)
    v, u = torch.randn(3, 6), torch.randn_like(R)
    assert torch.allclose(jvp(p, z, v)[1], (J @ v[:, :, None])[:, :, 0], atol=1e-5)
    assert torch.allclose(vjp(p, z)[1](u), (J.mT @ u[:, :, None])[:, :, 0], atol=1e-5)


def test_noise_is_normal_and_each_samples_own():
    ε = normal(torch.tensor([1, 2, 3]), 20_000)
    assert torch.allclose(ε.mean(1), torch.zeros(3), atol=0.03)
    assert torch.allclose(ε.square().mean(1), torch.ones(3), atol=0.05)
    assert (torch.corrcoef(ε) - torch.eye(3)).abs().max() < 0.03
    assert torch.equal(normal(torch.tensor([3, 9]), 20_000)[0], ε[2])
    assert torch.equal(normal(torch.tensor([3]), 10_000, draw=1)[0], ε[2, 10_000:])
