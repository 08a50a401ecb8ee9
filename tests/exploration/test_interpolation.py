"""lerp and slerp against closed forms, and where there is no plane to turn in."""

import math

import pytest
import torch

from preimage.exploration.interpolation import lerp, slerp


def pair(shape, *, n=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(64,), (2,), (3, 4, 5)])
@pytest.mark.parametrize("between", [lerp, slerp])
def test_the_ends_are_met(between, shape):
    a, b = pair(shape)
    torch.testing.assert_close(between(a, b, 0.0), a)
    torch.testing.assert_close(between(a, b, 1.0), b)


@pytest.mark.parametrize("shape", [(64,), (2, 3, 4)])
def test_slerp_is_shoemakes_where_lengths_are_equal(shape):
    a, b = (x / x.flatten(1).norm(dim=1).view(-1, *[1] * len(shape)) for x in pair(shape))
    t = torch.linspace(-0.2, 1.2, 5, dtype=torch.float64)  # one of each, beyond the ends too
    ω = (a * b).flatten(1).sum(1).acos()
    expected = (((1 - t) * ω).sin() / ω.sin()).view(-1, *[1] * len(shape)) * a
    expected += ((t * ω).sin() / ω.sin()).view(-1, *[1] * len(shape)) * b
    torch.testing.assert_close(slerp(a, b, t), expected)


def test_slerp_keeps_the_length_and_turns_evenly():
    a, b = pair((64,), n=1)
    a, b = 8 * a / a.norm(), 8 * b / b.norm()
    z = torch.cat([slerp(a, b, t) for t in torch.linspace(0, 1, 21, dtype=torch.float64)])
    torch.testing.assert_close(z.norm(dim=1), torch.full((21,), 8.0, dtype=torch.float64))
    steps = z.diff(dim=0).norm(dim=1)
    torch.testing.assert_close(steps, steps.mean().expand(20))


def test_lengths_go_straight_from_one_to_the_other():
    a, b = pair((16,))
    b = 3 * b
    middle = slerp(a, b, 0.25).norm(dim=1)
    torch.testing.assert_close(middle, 0.75 * a.norm(dim=1) + 0.25 * b.norm(dim=1))


def test_a_right_angle_at_its_half():
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    torch.testing.assert_close(slerp(a, b, 0.5), torch.full((1, 2), math.sqrt(0.5)))


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-7, 1e-4])
def test_latents_that_point_the_same_way_are_joined_straight(angle):
    a = torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64)
    b = 2 * torch.tensor([[math.cos(angle), math.sin(angle), 0.0]], dtype=torch.float64)
    for longer in (1, 3):
        z, line = slerp(a, longer * b, 0.3), lerp(a, longer * b, 0.3)
        torch.testing.assert_close(z, line, atol=angle * (longer - 1) + 1e-6, rtol=0)


@pytest.mark.parametrize("off", [0.0, 1e-9, 1e-7])
def test_opposite_latents_are_joined_by_a_half_circle(off):
    a = torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[-2.0, off, 0.0]], dtype=torch.float64)
    z = torch.cat([slerp(a, b, t) for t in torch.linspace(0, 1, 9).tolist()])
    torch.testing.assert_close(z.norm(dim=1), torch.full((9,), 2.0, dtype=torch.float64))
    torch.testing.assert_close(z[-1:], b, atol=1e-6, rtol=0)
    assert abs(z[4, 0]) < 1e-6  # halfway, it is perpendicular to both
    torch.testing.assert_close(slerp(a, b, 0.4), slerp(a, b, 0.4))


def test_a_latent_of_length_0_takes_the_others_direction():
    a, b = torch.zeros(1, 4), torch.tensor([[0.0, 2.0, 0.0, 0.0]])
    torch.testing.assert_close(slerp(a, b, 0.25), 0.25 * b)
    torch.testing.assert_close(slerp(b, a, 0.25), 0.75 * b)
    assert (slerp(a, a, 0.5) == 0).all()


def test_in_one_dimension_opposites_go_through_the_middle():
    z = slerp(torch.tensor([[1.0]]), torch.tensor([[-1.0]]), 0.5)
    torch.testing.assert_close(z, torch.zeros(1, 1), atol=1e-6, rtol=0)


def test_pairs_do_not_depend_on_one_another():
    a, b = pair((8,))
    b[2] = -a[2]  # one pair that takes the other branch
    together = slerp(a, b, 0.7)
    alone = torch.cat([slerp(a[i : i + 1], b[i : i + 1], 0.7) for i in range(5)])
    torch.testing.assert_close(together, alone)


def test_latents_are_joined_as_one_vector_each_whatever_their_shape():
    a, b = pair((2, 3, 4))
    flat = slerp(a.flatten(1), b.flatten(1), 0.3)
    torch.testing.assert_close(slerp(a, b, 0.3).flatten(1), flat)
