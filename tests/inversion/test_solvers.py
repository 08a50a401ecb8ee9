"""Every solver on every problem whose answer is known, and what must hold of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn

from preimage.core import ImageSpec, LatentModel, LatentSpace
from preimage.inversion.jacobian import jacobian
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Status, solve
from preimage.inversion.solvers import SOLVERS
from preimage.inversion.solvers.lbfgs import lbfgs
from preimage.inversion.solvers.preconditioned_lbfgs import (
    damped_inverse,
    gauss_newton_inverse,
    renewals,
)


class Sum:
    """‖a − y‖²: so that minima are those of plain sums of squares."""

    def prepare(self, y: Tensor, weights: Tensor | None = None) -> Tensor:
        return y

    def loss(self, a: Tensor, prepared: Tensor) -> Tensor:
        return self.residual(a, prepared).square().sum(1)

    def residual(self, a: Tensor, prepared: Tensor) -> Tensor:
        return (a - prepared).flatten(1)


class Ridge:
    """‖z‖²."""

    def loss(self, z: Tensor) -> Tensor:
        return z.square().sum(1)

    def residual(self, z: Tensor) -> Tensor:
        return z


class Generator(LatentModel):
    """A function of latents (B, d) that gives (B, m), shown as images of one row."""

    def __init__(self, f: Callable[[Tensor], Tensor], d: int, m: int):
        super().__init__()
        self.f, self.data, self.spaces = f, ImageSpec(1, 1, m), {"z": LatentSpace((d,))}

    def decode(
        self, z: Tensor, labels: Tensor | None = None, *, space: str | None = None
    ) -> Tensor:
        return self.f(z).reshape(len(z), *self.data.shape)


@dataclass(frozen=True)
class Case:
    """A problem, where to start, and its minima: (B, d), or None where only the loss is known."""

    problem: Problem
    z: Tensor
    minimum: Tensor | None
    loss: Tensor  # (B,): at the minimum


def case(
    f: Callable[[Tensor], Tensor],
    y: Tensor,
    z: Tensor,
    minimum: Tensor | None,
    *,
    penalty: float = 0.0,
) -> Case:
    penalties = {"ridge": (penalty, Ridge())} if penalty else {}
    objective = Objective({"sum": (1.0, Sum())}, penalties)
    model = Generator(f, z.shape[1], y.shape[1])
    problem = Problem.of(model, y.reshape(len(y), 1, 1, -1), objective, Identity())
    loss = torch.zeros(len(z)) if minimum is None else problem.loss(minimum)
    return Case(problem, z, minimum, loss)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


B, D, M = 5, 4, 12


def linear(penalty: float = 0.0) -> Case:
    """A z ≈ y: least squares, or ridge regression."""
    A, y = random(M, D, seed=0), random(B, M, seed=1)
    rows = np.concatenate([A.numpy(), math.sqrt(penalty) * np.eye(D)])
    right = np.concatenate([y.numpy(), np.zeros((B, D))], 1)
    minimum = np.linalg.lstsq(rows, right.T, rcond=None)[0].T
    return case(lambda z: z @ A.T, y, torch.zeros(B, D), torch.tensor(minimum).float(),
                penalty=penalty)  # fmt: skip


def ellipsoid() -> Case:
    """Σ cⱼ (zⱼ − qⱼ)², of condition 100."""
    c, q = torch.tensor([1.0, 2.0, 5.0, 10.0]), random(B, D, seed=2)
    return case(lambda z: z * c, q * c, torch.zeros(B, D), q)


def rosenbrock() -> Case:
    """(1 − x)² + 25 (y − x²)², from five sides: the valley bends."""

    def residuals(z: Tensor) -> Tensor:
        x, y = z.unbind(1)
        return torch.stack([1 - x, 5 * (y - x.square())], 1)

    starts = torch.tensor([[-1.2, 1.0], [0.0, 0.0], [2.0, 2.0], [0.5, -1.0], [-0.5, 2.0]])
    return case(residuals, torch.zeros(B, 2), starts, torch.ones(B, 2))


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(D, 16), nn.Tanh(), nn.Linear(16, M), nn.Tanh())


def planted() -> Case:
    """A tanh network's own images of latents that the solver never sees."""
    net = network()
    truth = 0.7 * random(B, D, seed=4)
    with torch.no_grad():
        return case(net, net(truth), torch.zeros(B, D), truth)


CASES = {
    "linear": linear,
    "ridge": lambda: linear(penalty=0.5),
    "ellipsoid": ellipsoid,
    "rosenbrock": rosenbrock,
    "planted": planted,
}
SLOW = {"adam", "projector", "basin-cma"}  # many evaluations, to fewer digits
STEPS = {"adam": 2000, "projector": 1000, "basin-cma": 40, "cma": 300}
OPTIONS = {"adam": {"patience": 300}, "projector": {"noise": 0.02}, "basin-cma": {"lr": 0.02}}
LEAST_SQUARES = ("levenberg-marquardt", "gauss-newton", "preconditioned-l-bfgs")


def run(method: str, problem: Problem, z: Tensor, *, tolerance: float = 1e-12, **options) -> Search:
    options = {**OPTIONS.get(method, {}), **options}
    steps = options.pop("steps", STEPS.get(method, 200))
    return solve(SOLVERS[method](problem, z, steps=steps, tolerance=tolerance, **options))


METHODS = [pytest.param(m, marks=pytest.mark.slow if m in SLOW else ()) for m in SOLVERS]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", METHODS)
def test_minimum_is_found(method, name):
    if (method, name) == ("projector", "rosenbrock"):
        pytest.skip("its learning rate falls before a bent valley is walked through")
    off, away = (2e-3, 8e-2) if method in SLOW else (1e-4, 3e-2)
    known = CASES[name]()
    found = run(method, known.problem, known.z)
    assert found.loss.isfinite().all()
    assert torch.allclose(found.loss, known.problem.loss(found.z))
    assert (found.loss - known.loss <= off + 1e-4 * known.loss).all(), found.loss - known.loss
    assert torch.allclose(found.z, known.minimum, atol=away)


@pytest.mark.parametrize("method", SOLVERS)
def test_an_image_is_solved_alone_as_among_others(method):
    known = linear(penalty=0.5)  # few steps: at float32's floor, rounding decides
    steps = 2 if method == "preconditioned-l-bfgs" else 5  # which is there in three
    together = run(method, known.problem, known.z, steps=steps)
    alone = run(method, known.problem.select(torch.tensor([3])), known.z[3:4], steps=steps)
    assert torch.allclose(alone.z[0], together.z[3], rtol=1e-4, atol=1e-5)
    assert alone.evaluations[0] == together.evaluations[3]


@pytest.mark.parametrize("method", SOLVERS)
def test_an_image_that_is_no_number_fails_alone(method):
    known = planted()
    well = run(method, known.problem, known.z, steps=8)
    y = known.problem.target.clone()
    y[2] = torch.nan
    problem = replace(known.problem, target=y, prepared=known.problem.objective.prepare(y))
    found = run(method, problem, known.z, steps=8)
    others = torch.tensor([0, 1, 3, 4])
    assert found.status[2] == Status.FAILED
    assert found.iterations[2] == 0
    assert torch.allclose(found.z[others], well.z[others], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", SOLVERS)
def test_work_ends_at_the_tolerance_and_at_no_steps(method):
    known = planted()
    none = run(method, known.problem, known.z, steps=0)
    assert (none.status == Status.LIMIT).all()
    assert torch.equal(none.z, known.z)
    done = run(method, known.problem, known.minimum, steps=5, tolerance=1e-6)
    assert (done.status == Status.REACHED).all()
    assert (done.iterations == 0).all()


def test_lbfgs_needs_no_more_evaluations_than_scipys():
    known = rosenbrock()
    found = run("l-bfgs", known.problem, known.z, tolerance=1e-8)
    one = known.problem.select(torch.tensor([0]))

    def of(z: np.ndarray) -> tuple[float, np.ndarray]:
        f, g = one.loss_and_gradient(torch.tensor(z[None], dtype=torch.float32))
        return float(f), g[0].double().numpy()

    oracle = scipy.optimize.minimize(of, known.z[0].numpy(), jac=True, method="L-BFGS-B")
    assert torch.allclose(found.z[0].double(), torch.tensor(oracle.x), atol=1e-2)
    assert found.evaluations[0] <= 2 * oracle.nfev


def test_curvature_that_is_known_shortens_the_way():
    """Of a linear generator the first step with its own JᵀJ ends where the damping lets it."""
    known = linear()
    J = jacobian(known.problem, known.z)[1][0]
    steps = {
        name: run("preconditioned-l-bfgs", known.problem, known.z, steps=1, curvature=curvature)
        for name, curvature in (("mean", J.mT @ J), ("own", None))
    }
    plain = run("l-bfgs", known.problem, known.z, steps=1)
    for name, one in steps.items():
        assert (one.loss - known.loss <= 0.01 * (plain.loss - known.loss)).all(), name
    assert (steps["own"].evaluations - steps["mean"].evaluations == D).all()


def test_curvature_is_asked_for_anew_when_it_is_due():
    known = rosenbrock()
    options = {"steps": 12, "tolerance": 0.0, "fall": 0.0}
    never, once, twice = (
        solve(lbfgs(known.problem, known.z, inverse=gauss_newton_inverse, renewals=due, **options))
        for due in ((), (5,), (5, 9))
    )
    d = known.problem.d
    assert once.evaluations[0] == never.evaluations[0] + d
    assert twice.evaluations[0] == never.evaluations[0] + 2 * d
    assert not torch.allclose(once.z, never.z)


def test_an_images_own_curvature_takes_the_place_of_the_mean_when_that_has_paid():
    known = rosenbrock()
    d, (due, *later) = known.problem.d, renewals(known.problem.d)
    assert [due, *later] == [30, 120, 480]
    assert renewals(512)[0] == 102  # where a Jacobian costs more than thirty gradients
    slow = 1e4 * torch.eye(d)  # of steps far too short
    before, after = (
        run("preconditioned-l-bfgs", known.problem, known.z, steps=n, fall=0.0, curvature=slow)
        for n in (due, due + 1)
    )
    going = before.status == Status.LIMIT
    assert going.any()
    assert (after.evaluations - before.evaluations == torch.where(going, 1 + d, 0)).all()


def test_a_matrix_without_inverse_is_left_out():
    H = torch.stack([torch.eye(3), torch.full((3, 3), torch.nan), torch.zeros(3, 3)])
    P = damped_inverse(H)
    assert torch.allclose(P[0], torch.eye(3) / 2.02)
    assert torch.equal(P[1], torch.eye(3))
    assert P.isfinite().all()


@pytest.mark.parametrize(
    "options", [{}, {"reuse": math.inf}, {"memory": 1}, {"pixels": 8}], ids=str
)
def test_levenberg_marquardt_finds_what_scipys_finds(options):
    net = network()
    with torch.no_grad():  # no latent gives these
        y = net(0.7 * random(B, D, seed=4)) + 0.1 * random(B, M, seed=5)
        known = case(net, y, torch.zeros(B, D), None)
    found = run("levenberg-marquardt", known.problem, known.z, tolerance=0.0, fall=1e-6, **options)

    def residual(z: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return (net(torch.tensor(z).float()[None])[0] - y[0]).numpy().astype(np.float64)

    oracle = scipy.optimize.least_squares(residual, np.zeros(D), method="lm", diff_step=1e-3)
    assert float(found.loss[0]) <= 2 * oracle.cost * 1.001 + 1e-6
    assert (found.status == Status.STALLED).all()


@pytest.mark.parametrize("method", LEAST_SQUARES)
def test_fewer_residuals_than_latents(method):
    A, y = random(3, 20, seed=6), random(B, 3, seed=7)
    known = case(lambda z: z @ A.T, y, torch.zeros(B, 20), None)
    found = run(method, known.problem, known.z, tolerance=1e-9)
    assert (found.status == Status.REACHED).all()
    smallest = torch.linalg.lstsq(A, y.T, driver="gelsd").solution.T  # of least norm
    assert torch.allclose(found.z, smallest, atol=1e-3)


@pytest.mark.parametrize("d", [12, 120])
def test_cma_needs_no_gradient_and_learns_the_scales(d):
    c = torch.logspace(0, 1, d)
    q = 0.3 * random(2, d, seed=8)

    def without_gradient(z: Tensor) -> Tensor:
        return (z.detach() * c).detach()

    known = case(without_gradient, q * c, torch.zeros(2, d), q)
    steps = 400 if d == 12 else 600
    found = run("cma", known.problem, known.z, tolerance=1e-4 * d, steps=steps, patience=200)
    assert (found.status == Status.REACHED).all()
