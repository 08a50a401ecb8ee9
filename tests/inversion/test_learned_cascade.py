"""The learned cascade: exact where closed forms are, nearer than regressions where they bend."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import bent_generator, linear_layer, mirrored_generator, relative, wrapped

from preimage.core import LatentModel, Step
from preimage.inversion.cascade import Cascade, fit
from preimage.inversion.learned_cascade import LearnedCascade
from preimage.inversion.learned_cascade_training import learning
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, solve
from preimage.inversion.solvers.anderson import anderson
from preimage.inversion.terms import L2

SQUARED = Objective({"l2": (1.0, L2())})


@pytest.fixture(scope="module")
def linear() -> tuple[LatentModel, nn.Linear]:
    layer = linear_layer()
    return wrapped(layer, 5), layer


@pytest.fixture(scope="module")
def bent() -> tuple[LatentModel, Cascade, LearnedCascade]:
    """A generator that no linear map inverts, with both cascades of it."""
    model = bent_generator(3)
    ridge = fit(model, pairs=4096)
    return model, ridge, learned(model, ridge, pairs=8192, steps=800)


def hopeless(cascade: Cascade, *errors: float) -> Cascade:
    """The same, said to leave other errors."""
    return replace(cascade, errors=torch.tensor(errors))


def made(model: LatentModel, ridge: Cascade, **options: Any) -> LearnedCascade | None:
    *_, last = learning(model, ridge, **options)
    assert not isinstance(last, Step)
    return last


def learned(model: LatentModel, ridge: Cascade, **options: Any) -> LearnedCascade:
    cascade = made(model, ridge, **options)
    assert cascade is not None
    return cascade


def problem_of(
    model: LatentModel, z: Tensor, labels: Tensor | None = None, noise: float = 0.0
) -> Problem:
    y = model.decode(z, labels)
    y = y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(4))
    return Problem.of(model, y, SQUARED, Identity(), labels=labels)


def accelerated(problem: Problem, cascade: Cascade | LearnedCascade) -> Search:
    start = cascade.start(problem)
    return solve(anderson(problem, start, steps=30, tolerance=1e-9, cascade=cascade))


def test_untrained_nets_invert_a_linear_generator(linear: tuple[LatentModel, nn.Linear]) -> None:
    """Guess and step are the least-squares solutions, as far as their ridge lets them."""
    model, _ = linear
    ridge = hopeless(fit(model, pairs=1024, stages=1), 1.0)
    cascade = learned(model, ridge, pairs=2048, steps=0)
    z = model.space.sample(16, seed=3)
    problem = problem_of(model, z)
    assert relative(cascade.start(problem), z).max() < 1e-2
    near = z + 0.1 * model.space.sample(16, seed=4)
    e = cascade.features(problem.target) - cascade.features(problem.observe(near))
    assert relative(cascade.step(1, near, e, None), z - near).max() < 2e-2


def test_noise_makes_the_guess_the_posterior_mean(linear: tuple[LatentModel, nn.Linear]) -> None:
    """E[z | y] = (AᵀA + σ² I)⁻¹ Aᵀ (y − b) of y = A z + b + σ ε, z ~ N(0, I)."""
    model, layer = linear
    sigma = 0.2
    ridge = hopeless(fit(model, pairs=2048, stages=1, noise=sigma), 1.0)
    cascade = learned(model, ridge, pairs=16384, steps=0)
    z, (A, b) = model.space.sample(64, seed=3), layer.parameters()
    problem = problem_of(model, z, noise=sigma)
    y = problem.target.flatten(1) - b
    posterior = torch.linalg.solve(A.T @ A + sigma**2 * torch.eye(5), A.T @ y.T).T
    found = cascade.start(problem)
    assert (found - posterior).norm() < 0.15 * (found - z).norm()
    assert cascade.noise == sigma


def test_it_is_nearer_after_as_many_guesses(
    bent: tuple[LatentModel, Cascade, LearnedCascade],
) -> None:
    _, ridge, cascade = bent
    assert (cascade.errors < 0.6 * ridge.errors[:3]).all()
    assert (cascade.errors[1:] < cascade.errors[:-1]).all()


def test_its_errors_are_those_of_fresh_samples(
    bent: tuple[LatentModel, Cascade, LearnedCascade],
) -> None:
    model, _, cascade = bent
    z = model.space.sample(1024, seed=8)
    problem = problem_of(model, z)
    found = cascade.start(problem)
    for error in cascade.errors:
        assert math.isclose(relative(found, z).median(), error, rel_tol=0.25)
        e = cascade.features(problem.target) - cascade.features(problem.observe(found))
        found = found + cascade.step(1, found, e, None)


def test_a_step_comes_nearer_for_knowing_where_it_is_taken(
    bent: tuple[LatentModel, Cascade, LearnedCascade],
) -> None:
    model, _, cascade = bent
    z = model.space.sample(256, seed=6)
    there = z + 0.2 * model.space.sample(256, seed=7)
    e = cascade.features(model.decode(z)) - cascade.features(model.decode(there))
    anywhere = deepcopy(cascade)
    anywhere.nets.V.zero_()
    off = [relative(there + c.step(1, there, e, None), z).median() for c in (cascade, anywhere)]
    assert off[0] < 0.8 * off[1]


def test_acceleration_is_done_sooner(bent: tuple[LatentModel, Cascade, LearnedCascade]) -> None:
    model, ridge, cascade = bent
    problem = problem_of(model, model.space.sample(128, seed=5))
    before, after = (accelerated(problem, c) for c in (ridge, cascade))
    assert after.evaluations.float().mean() < 0.85 * before.evaluations.float().mean()
    assert (after.loss <= 1e-9).float().mean() >= (before.loss <= 1e-9).float().mean()


def test_an_image_has_the_same_answer_alone_and_among_others(
    bent: tuple[LatentModel, Cascade, LearnedCascade],
) -> None:
    model, _, cascade = bent
    problem = problem_of(model, model.space.sample(12, seed=7))
    together = accelerated(problem, cascade)
    alone = accelerated(problem.select(torch.tensor([4])), cascade)
    assert torch.allclose(alone.z[0], together.z[4], atol=1e-3)


def test_it_is_told_the_class() -> None:
    model = mirrored_generator()
    ridge = fit(model, pairs=512)
    untrained = learned(model, hopeless(ridge, 9.0), pairs=4096, steps=0)
    assert not untrained.nets.f.linear.weight[:, -2:].any()  # least squares say nothing of it
    cascade = learned(model, ridge, pairs=4096, steps=800)
    assert ridge.errors[0] > 0.9
    z, labels = model.space.sample(32, seed=1), torch.tensor([0, 1] * 16)
    assert relative(cascade.start(problem_of(model, z, labels)), z).median() < 0.1


@pytest.mark.parametrize("errors", [(0.0, 0.0, 0.0), (9.0, 9.0, 0.0)], ids=["first", "third"])
def test_none_where_as_many_regressions_are_nearer(
    linear: tuple[LatentModel, nn.Linear], errors: tuple[float, ...]
) -> None:
    model, _ = linear
    ridge = hopeless(fit(model, pairs=512, stages=3), *errors)
    assert made(model, ridge, pairs=512, steps=10) is None


def test_the_same_seed_learns_the_same_and_leaves_others_random_numbers_alone(
    linear: tuple[LatentModel, nn.Linear],
) -> None:
    model, _ = linear
    ridge = hopeless(fit(model, pairs=512, stages=1), 1.0)
    torch.manual_seed(5)
    one = learned(model, ridge, pairs=512, steps=20)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    two = learned(model, ridge, pairs=512, steps=20)
    assert all(torch.equal(a, b) for a, b in zip(*map(tensors, (one, two)), strict=True))


def tensors(cascade: LearnedCascade) -> list[Tensor]:
    return list(cascade.to_tensors().values())


def test_as_tensors_and_back(bent: tuple[LatentModel, Cascade, LearnedCascade]) -> None:
    model, _, cascade = bent
    torch.manual_seed(5)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    again = LearnedCascade.from_tensors(cascade.to_tensors(), latent=3, classes=1)
    assert torch.equal(drawn, torch.rand(3))
    problem = problem_of(model, model.space.sample(4, seed=9))
    one, two = (accelerated(problem, c) for c in (cascade, again))
    assert torch.equal(one.z, two.z)
    with pytest.raises(ValueError, match="no weights of such nets"):
        LearnedCascade.from_tensors(cascade.to_tensors(), latent=4, classes=1)
