"""Planted solutions, all found and counted."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from preimage.core import ImageSpec, LatentModel, LatentSpace
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity, Mask, Noise
from preimage.inversion.problem import Problem
from preimage.inversion.solutions import distinct_solutions
from preimage.inversion.terms import L2

OBJECTIVE = Objective({"l2": (1.0, L2())})


class Shown(LatentModel):
    """f(z), a value of an image each."""

    def __init__(self, f, d: int, values: int | None = None):
        super().__init__()
        self.f, self.data = f, ImageSpec(1, 1, values or d)
        self.spaces = {"z": LatentSpace((d,))}

    def decode(self, z: Tensor, labels=None, *, space=None) -> Tensor:
        return self.f(z).reshape(len(z), *self.data.shape)


def descended(problem: Problem, z: Tensor, steps: int = 100, rate: float = 0.3) -> Tensor:
    """The ends (B, k, d) of plain gradient descent from z (B, k, d)."""
    B, k, d = z.shape
    each = problem.select(torch.arange(B).repeat_interleave(k))
    z = z.flatten(0, 1)
    for _ in range(steps):
        z = z - rate * each.loss_and_gradient(z)[1].clamp(-1, 1)
    return z.reshape(B, k, d)


def problem(model: Shown, z: Tensor, through=None) -> Problem:
    return Problem.of(model, model.decode(z), OBJECTIVE, through or Identity())


def starts(B: int, k: int, d: int) -> Tensor:
    return torch.randn(B, k, d, generator=torch.Generator().manual_seed(0))


TRUE = torch.tensor([[0.9, -1.1, 0.7], [1.2, 0.8, -1.0]])


@pytest.mark.parametrize("f", [torch.square, torch.abs])
def test_all_signs_of_an_even_generator_are_found_and_counted(f):
    even = problem(Shown(f, 3), TRUE)
    found = distinct_solutions(even, descended(even, starts(2, 48, 3)))
    for i, solutions in enumerate(found):
        assert len(solutions) == solutions.count == 8
        assert solutions.sizes.sum() == 48
        signs = {tuple(z.sign().tolist()) for z in solutions.z}
        assert signs == set(itertools.product((-1.0, 1.0), repeat=3))
        torch.testing.assert_close(solutions.z.abs(), TRUE[i].abs().expand(8, 3), rtol=0, atol=0.05)
        assert solutions.image_distance.max() < 0.05
        assert solutions.latent_distance[1:].min() > 1.3
        assert solutions.sentence.startswith("8 distinct solutions from 48 starts fit equally well")


def test_a_generator_with_one_answer_has_one_solution():
    A = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    bent = problem(Shown(lambda z: torch.tanh(z @ A.T) + z @ A.T, 3, 9), TRUE)
    for solutions in distinct_solutions(bent, descended(bent, starts(2, 8, 3))):
        assert len(solutions) == 1
        assert solutions.sentence == "one solution, found by 8 of 8 starts"


def test_what_the_image_does_not_see_is_no_further_solution():
    flat = problem(Shown(lambda z: z[:, :2], 3, 2), TRUE)
    ends = TRUE[:, None] + torch.tensor([0.0, 0.0, 1.0]) * starts(2, 6, 3)
    assert [len(s) for s in distinct_solutions(flat, ends)] == [1, 1]


def test_a_curved_valley_is_one_solution_if_enough_searches_end_in_it():
    circle = problem(Shown(lambda z: z.norm(dim=1), 2, 1), torch.tensor([[1.0, 0.0]]), Noise(0.05))
    angle = torch.linspace(0, math.pi, 9)
    ends = torch.stack([angle.cos(), angle.sin()], 1)[None]
    assert len(distinct_solutions(circle, ends)[0]) == 1
    assert len(distinct_solutions(circle, ends[:, [0, -1]])[0]) == 2


def test_a_mask_can_make_one_solution_of_two():
    model = Shown(lambda z: torch.cat([z[:, :1] ** 2, z[:, 1:] ** 2], 1), 2)
    z = torch.tensor([[1.0, 0.8]])
    ends = torch.tensor([[[1.0, 0.8], [1.0, -0.8], [-1.0, 0.8]]])
    assert len(distinct_solutions(problem(model, z), ends)[0]) == 3
    first_only = Mask(torch.tensor([[1.0, 0.0]]))
    assert len(distinct_solutions(problem(model, z, first_only), ends)[0]) == 2


def test_a_worse_minimum_is_told_from_a_solution_that_is_as_good():
    two = problem(Shown(lambda z: torch.stack([z**2, 0.05 * z], 1), 1, 2), torch.tensor([[1.0]]))
    ends = torch.tensor([[[-1.0], [1.0], [1.0], [math.nan]]])
    solutions = distinct_solutions(two, ends)[0]
    assert solutions.z.flatten().tolist() == [1, -1]
    assert solutions.equally_good.tolist() == [True, False]
    assert solutions.members.tolist() == [1, 0, 0, -1]
    assert solutions.sentence == "one solution, found by 2 of 4 starts, besides 1 worse end"
    generous = distinct_solutions(two, ends, noise=0.1)[0]
    assert generous.equally_good.tolist() == [True, True]


def test_a_search_that_stopped_on_a_slope_belongs_to_the_solution_below():
    even = problem(Shown(torch.square, 2), torch.tensor([[1.0, 1.0]]))
    ends = torch.tensor([[[1.0, 1.0], [1.3, 0.8], [0.7, 1.2]]])
    assert len(distinct_solutions(even, ends)[0]) == 1


def test_images_have_the_same_solutions_alone_as_in_a_batch():
    even = problem(Shown(torch.square, 3), TRUE)
    ends = descended(even, starts(2, 12, 3))
    together = distinct_solutions(even, ends)[1]
    alone = distinct_solutions(even.select(torch.tensor([1])), ends[1:])[0]
    assert torch.equal(alone.members, together.members)
    torch.testing.assert_close(alone.z, together.z)


def test_where_no_search_found_an_image_there_is_no_solution():
    even = problem(Shown(torch.square, 2), torch.tensor([[1.0, 1.0]]))
    solutions = distinct_solutions(even, torch.full((1, 3, 2), math.nan))[0]
    assert len(solutions) == 0
    assert solutions.sentence == "no search of 3 starts found an image"
