"""Walks: frames at equal steps, through every point, on any model."""

import pytest
import torch
from torch import nn

import preimage as pi
from preimage.core import InputError
from preimage.exploration.decoding import decoded
from preimage.exploration.manifold import manifold
from preimage.exploration.paths import METHODS, equal_steps, walk


def linear(d=3, *, classes=()):
    """A decoder whose images are its latents, of any shape, and black for the rest."""

    class Plain(nn.Module):
        def forward(self, z, labels=None):
            shift = 0.0 if labels is None else labels[:, None].float()
            flat = torch.nn.functional.pad(z.flatten(1) + shift, (0, 8 - z[0].numel()))
            return flat.reshape(len(z), 1, 2, 4)

    shape = d if isinstance(d, tuple) else (d,)
    space = pi.LatentSpace(shape)
    return pi.wrap(Plain(), data=pi.ImageSpec(1, 2, 4), space=space, classes=classes).eval()


class Sudden(nn.Module):
    """Nearly all that its images do, they do near z = 0."""

    def forward(self, z):
        x = torch.stack([(8 * z[:, 0]).tanh(), z[:, 0] / 10], 1)
        return nn.functional.pad(x, (0, 6)).reshape(len(z), 1, 2, 4)


def sudden():
    return pi.wrap(Sudden(), data=pi.ImageSpec(1, 2, 4), space=pi.LatentSpace((1,))).eval()


POINTS = torch.tensor([[0.0, 1.0, 0.0], [3.0, 1.0, 0.0], [3.0, 2.0, 0.0]])


@pytest.mark.parametrize("method", METHODS)
def test_frames_are_what_the_model_makes_of_their_latents(method):
    model = linear()
    made = walk(model, POINTS, frames=9, method=method)
    torch.testing.assert_close(made.images, decoded(model, made.latents))
    torch.testing.assert_close(made.latents[0], POINTS[0])
    torch.testing.assert_close(made.latents[-1], POINTS[-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(made.steps, made.images.flatten(1).diff(dim=0).norm(dim=1))


@pytest.mark.parametrize("method", ["lerp", "geodesic"])
def test_steps_are_equal_along_the_whole_chain(method):
    """Legs of 3 and 1: eight steps of a half, six of them before the corner."""
    made = walk(linear(), POINTS, frames=9, method=method)
    expected = torch.cat([torch.lerp(POINTS[0], POINTS[1], t / 6)[None] for t in range(7)])
    torch.testing.assert_close(made.latents[:7], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(made.steps, torch.full((8,), 0.5), atol=1e-4, rtol=0)


def test_slerp_walks_the_arc():
    ends = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    made = walk(linear(2), ends, frames=7)
    angle = torch.linspace(0, torch.pi / 2, 7)
    expected = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    torch.testing.assert_close(made.latents, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", ["lerp", "slerp", "geodesic"])
def test_even_frames_have_equal_steps_of_the_image(method):
    ends = torch.tensor([[-1.0], [1.2]])
    uneven = walk(sudden(), ends, frames=24, method="lerp")
    made = walk(sudden(), ends, frames=24, method=method, even=True)
    assert uneven.unevenness > 4
    assert made.unevenness < 1.04
    assert made.steps.min() > 0.96 * made.steps.mean()
    torch.testing.assert_close(made.latents[[0, -1]], ends, atol=1e-6, rtol=0)
    assert (made.latents.diff(dim=0) > 0).all()  # the same way, at another speed


def test_where_the_image_never_changes_frames_are_equal_in_latents():
    class Black(nn.Module):
        def forward(self, z):
            return z.new_zeros(len(z), 1, 2, 4) + 0 * z.sum()

    model = pi.wrap(Black(), data=pi.ImageSpec(1, 2, 4), space=pi.LatentSpace((1,))).eval()
    made = walk(model, torch.tensor([[0.0], [1.0]]), frames=5, method="lerp", even=True)
    torch.testing.assert_close(made.latents[:, 0], torch.linspace(0, 1, 5))
    assert made.unevenness == 1


def test_equal_steps_of_a_known_speed():
    s = torch.linspace(0, 1, 2001, dtype=torch.float64)
    places = equal_steps(s, (s**2).diff(), 5)  # distance s², so places √(k/4)
    torch.testing.assert_close(places, torch.linspace(0, 1, 5, dtype=torch.float64).sqrt())


@pytest.mark.parametrize("even", [False, True])
def test_a_loop_comes_back_without_showing_the_first_frame_twice(even):
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    made = walk(linear(2), corners, frames=8, method="lerp", loop=True, even=even)
    assert len(made.latents) == len(made.images) == 8
    around = torch.cat([made.latents, made.latents[:1]]).diff(dim=0).norm(dim=1)
    torch.testing.assert_close(around, torch.full((8,), 0.5), atol=1e-4, rtol=0)


def test_frames_do_not_depend_on_the_batches_they_are_decoded_in():
    whole = walk(linear(), POINTS, frames=20)
    parts = walk(linear(), POINTS, frames=20, batch_size=3)
    torch.testing.assert_close(whole.images, parts.images)


@pytest.mark.parametrize("method", METHODS)
def test_spatial_latents_are_walked_as_flat_ones(method):
    flat = walk(linear(8), torch.eye(8)[:2], frames=5, method=method)
    points = torch.eye(8)[:2].reshape(2, 2, 2, 2)
    spatial = walk(linear((2, 2, 2)), points, frames=5, method=method)
    torch.testing.assert_close(spatial.latents.flatten(1), flat.latents)


@pytest.mark.parametrize("method", METHODS)
def test_a_conditional_model_keeps_its_class(method):
    model = linear(classes=("plain", "brighter"))
    made = walk(model, POINTS, frames=5, method=method, label="brighter")
    assert made.label == 1
    torch.testing.assert_close(made.images.flatten(1)[:, :3], made.latents + 1)


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (POINTS, {"method": "slurp"}, "no method 'slurp'; did you mean 'slerp'"),
        (POINTS[:1], {}, "1 point to walk between"),
        (POINTS, {"frames": 2}, "give at least 3"),
        (POINTS[:, :2], {}, r"latents of shape \(2,\); this model's are \(3,\)"),
        (POINTS / 0, {}, "not finite"),
        (POINTS, {"label": 1}, "without classes"),
    ],
)
def test_what_cannot_be_walked_is_said(points, options, message):
    with pytest.raises(InputError, match=message):
        walk(linear(), points, **options)


def test_a_conditional_model_wants_a_label():
    with pytest.raises(InputError, match="give a label"):
        walk(linear(classes=("a", "b")), POINTS)


@pytest.mark.parametrize("ask", [pi.sample, lambda model, n: walk(model, POINTS, frames=n)])
def test_more_images_than_memory_holds_are_refused_before_any_is_made(ask):
    model = linear()
    most = (1 << 33) // (4 * 8)
    with pytest.raises(InputError, match=f"at most {most:,} do"):
        ask(model, most + 1)


def test_a_grid_that_memory_does_not_hold_is_refused():
    with pytest.raises(InputError, match="do not fit in memory"):
        manifold(linear(), size=100_000)


@pytest.mark.parametrize("truncation", [float("nan"), float("inf"), -0.5])
def test_a_truncation_that_is_no_number_from_0_is_refused(truncation):
    with pytest.raises(InputError, match="truncation"):
        pi.sample(linear(), 2, truncation=truncation)
