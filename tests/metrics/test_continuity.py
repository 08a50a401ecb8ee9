"""Path length and the largest step, where the answer is known."""

import math

import pytest
import torch

from preimage.metrics import largest_step, path_length


def latents(n, d, *, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_path_length_of_a_linear_map():
    A = latents(20, 8, seed=0)
    starts, ends = latents(20_000, 8, seed=1), latents(20_000, 8, seed=2)
    expected = 2 * A.square().sum().item()
    for ε in (0.3, 1e-3):
        measure = path_length(lambda z: z @ A.T, starts, ends, epsilon=ε)
        assert measure.value == pytest.approx(expected, rel=0.02)  # five standard errors
    exact = ((ends - starts) @ A.T).square().sum(1).mean().item()
    assert measure.value == pytest.approx(exact, rel=1e-9)


def test_the_path_length_of_a_circle():
    """On a circle of radius r walked once, every step has the speed 2πr."""

    def circle(z):
        return 3 * torch.stack([(2 * math.pi * z).cos(), (2 * math.pi * z).sin()], dim=1)

    measure = path_length(circle, torch.zeros(50, 1), torch.ones(50, 1))
    assert measure.value == pytest.approx((6 * math.pi) ** 2, rel=1e-2)


def test_spatial_latents_and_other_paths():
    starts, ends = (
        latents(30, 12, seed=0).view(30, 3, 2, 2),
        latents(30, 12, seed=1).view(30, 3, 2, 2),
    )
    straight = path_length(lambda z: z, starts, ends, batch_size=7)
    twice = path_length(lambda z: z, starts, ends, path=lambda a, b, t: a + 2 * t * (b - a))
    assert twice.value == pytest.approx(4 * straight.value, rel=1e-6)


def test_a_straight_line_is_even_and_a_cliff_is_one_step():
    starts, ends = -torch.ones(10, 4), torch.ones(10, 4)
    even = largest_step(lambda z: 5 * z + 1, starts, ends, frames=16)
    assert even.value == pytest.approx(1, abs=1e-4)
    cliff = largest_step(lambda z: (z > 0.05).float(), starts, ends, frames=16)
    assert cliff.value == pytest.approx(15)


def test_a_picture_that_does_not_change_is_not_a_fault():
    still = largest_step(torch.zeros_like, torch.zeros(2, 4), torch.ones(2, 4))
    assert math.isfinite(still.value)


def test_two_frames_have_nothing_to_compare():
    with pytest.raises(ValueError, match="3 frames"):
        largest_step(lambda z: z, torch.zeros(1, 2), torch.ones(1, 2), frames=2)
