"""Path length and the largest step, where the answer is known."""

import math

import pytest
import torch

from preimage.core import InputError
from preimage.metrics import largest_step, path_length
from preimage.metrics.geometry import jacobian_spectrum, path_condition


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


def rotation(n, *, seed):
    return torch.linalg.qr(latents(n, n, seed=seed))[0]


@pytest.mark.parametrize(("d", "D"), [(6, 20), (6, 4)])
def test_the_spectrum_of_a_linear_map_is_its_singular_values(d, D):
    A = latents(D, d, seed=0)
    found = jacobian_spectrum(lambda z: z @ A.T, latents(9, d, seed=1), batch_size=4)
    expected = torch.linalg.svdvals(A)
    for values in (*found.values, found.profile):
        torch.testing.assert_close(values, expected, rtol=1e-6, atol=0)
    assert found.condition.value == pytest.approx((expected[0] / expected[-1]).item(), rel=1e-6)
    energy = expected.square()
    assert found.rank.value == pytest.approx(
        (energy.sum() ** 2 / energy.square().sum()).item(), rel=1e-6
    )


def test_an_even_map_has_condition_one_and_a_flat_one_an_infinite():
    z = latents(8, 5, seed=0).view(8, 5, 1, 1)  # spatial
    even = jacobian_spectrum(lambda z: 3 * z, z)
    assert even.condition.value == pytest.approx(1)
    assert even.rank.value == pytest.approx(5)
    flat = jacobian_spectrum(lambda z: z[:, :2] * 1.0, z[:, :3])
    assert flat.condition.value == pytest.approx(1)  # two pixels, and both move
    lost = jacobian_spectrum(lambda z: torch.cat([z[:, :2], 0 * z[:, 2:]], 1), z)
    assert lost.condition.value == math.inf


def test_the_condition_of_a_nonlinear_map_along_a_path():
    """G(u, v) = (u, v³/3) has the singular values 1 and v²."""

    def bend(z):
        return torch.stack([z[:, 0], z[:, 1] ** 3 / 3], 1)

    starts = torch.tensor([[0.0, 1.0], [5.0, 1.0]], dtype=torch.float64)
    ends = torch.tensor([[1.0, 3.0], [0.0, 2.0]], dtype=torch.float64)
    found = path_condition(bend, starts, ends, frames=5)
    v = torch.lerp(starts[:, 1:], ends[:, 1:], found.t)
    torch.testing.assert_close(found.values, v**2, rtol=1e-6, atol=0)
    assert found.worst.value == pytest.approx((9 + 4) / 2)
    assert found.typical.value == pytest.approx((4 + 2.25) / 2)


def test_the_spectrum_does_not_depend_on_how_many_directions_go_at_once():
    net = torch.nn.Sequential(
        torch.nn.Linear(7, 30), torch.nn.Tanh(), torch.nn.GroupNorm(3, 30), torch.nn.Linear(30, 12)
    ).double()
    z = latents(3, 7, seed=0)
    one = jacobian_spectrum(net, z, batch_size=1)
    torch.testing.assert_close(one.values, jacobian_spectrum(net, z).values, rtol=1e-9, atol=0)
    exact = torch.linalg.svdvals(torch.autograd.functional.jacobian(net, z[:1])[0, :, 0])
    torch.testing.assert_close(one.values[0], exact, rtol=1e-6, atol=1e-9)


def test_no_latents_and_broken_ones_are_refused():
    with pytest.raises(InputError, match="no latents"):
        jacobian_spectrum(lambda z: z, torch.empty(0, 3))
    with pytest.raises(InputError, match="finite"):
        jacobian_spectrum(lambda z: z, torch.full((1, 3), math.nan))
    with pytest.raises(InputError, match="2 frames"):
        path_condition(lambda z: z, torch.zeros(1, 3), torch.ones(1, 3), frames=1)
