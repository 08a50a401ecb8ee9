"""Geodesics on decoders whose shortest ways are known."""

import math

import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.core import InputError, Unsupported
from preimage.exploration.geodesic import geodesics


def model(net, d, *, size=(1, 2, 4), classes=()):
    shape = d if isinstance(d, tuple) else (d,)
    return pi.wrap(
        net, data=pi.ImageSpec(*size), space=pi.LatentSpace(shape), classes=classes
    ).eval()


class Chart(nn.Module):
    """A surface in the space of images, from a chart of it in z."""

    def __init__(self, chart):
        super().__init__()
        self.chart = chart

    def forward(self, z: Tensor) -> Tensor:
        x = self.chart(z)
        return nn.functional.pad(x, (0, 8 - x.shape[1])).reshape(len(z), 1, 2, 4)


def sphere(z: Tensor) -> Tensor:
    """The unit sphere, seen from its north pole by stereographic projection."""
    s = z.square().sum(1, keepdim=True)
    return torch.cat([2 * z, 1 - s], 1) / (1 + s)


def roll(z: Tensor) -> Tensor:
    """A sheet rolled up: isometric to the plane, so straight lines are shortest."""
    return torch.cat([z[:, :1].cos(), z[:, :1].sin(), z[:, 1:]], 1)


def stretched(z: Tensor) -> Tensor:
    """One unit of image per unit of z³ + z: the same straight line at another speed."""
    return z + z**3


def test_a_linear_decoders_geodesic_is_the_straight_line():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.Unflatten(1, (1, 2, 4)))
    a, b = torch.randn(2, 3, 5)
    found = geodesics(model(net, 5), a, b, points=9)
    line = torch.stack([torch.lerp(a, b, t) for t in torch.linspace(0, 1, 9).tolist()], 1)
    torch.testing.assert_close(found.latents, line, atol=1e-4, rtol=0)
    length = ((b - a) @ net[0].weight.T).norm(dim=1)
    torch.testing.assert_close(found.length, length)
    torch.testing.assert_close(found.energy, length.square() / 2)


def test_on_a_sphere_it_is_the_great_circle():
    a = torch.tensor([[0.9, 0.0], [0.2, -0.7]])
    b = torch.tensor([[0.0, 0.9], [0.5, 0.8]])
    n = 33
    found = geodesics(model(Chart(sphere), 2), a, b, points=n)
    ω = (sphere(a) * sphere(b)).sum(1).acos()
    chords = (n - 1) * 2 * (ω / (2 * (n - 1))).sin()  # of the circle in n − 1 equal parts
    torch.testing.assert_close(found.length, chords, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.length, ω, rtol=1e-3, atol=0)
    x = sphere(found.latents.flatten(0, 1)).reshape(2, n, 3)
    normal = torch.linalg.cross(sphere(a), sphere(b))
    normal = normal / normal.norm(dim=1, keepdim=True)
    assert (x @ normal[..., None]).abs().max() < 0.01  # the circle lies in the plane of both
    assert (found.length < found.straight_length * 0.99).all()


def test_on_a_cylinder_it_is_straight_in_the_chart_and_as_long_as_there():
    a, b = torch.tensor([[-1.0, 0.5]]), torch.tensor([[1.2, -0.3]])
    found = geodesics(model(Chart(roll), 2), a, b, points=33)
    torch.testing.assert_close(found.length[0], (b - a).norm(), rtol=1e-3, atol=0)


def test_it_is_walked_evenly():
    a, b = torch.tensor([[-1.5]]), torch.tensor([[2.0]])
    net = model(Chart(stretched), 1)
    found = geodesics(net, a, b, points=16)
    steps = stretched(found.latents[0]).diff(dim=0)[:, 0]
    torch.testing.assert_close(steps, steps.mean().expand(15), rtol=0.02, atol=0)
    length = (stretched(b) - stretched(a)).abs()[0, 0]
    torch.testing.assert_close(found.energy[0], length.square() / 2, rtol=1e-3, atol=0)
    assert found.straight_energy > 1.5 * found.energy


def bent(d, *, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(d, 32), nn.Tanh(), nn.Linear(32, 8), nn.Tanh(), nn.Unflatten(1, (1, 2, 4))
    )
    with torch.no_grad():
        net[0].weight *= 2
    return net


def test_it_is_never_longer_than_lerp_or_slerp_and_of_less_energy():
    a, b = torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(3))
    found = geodesics(model(bent(6), 6), a, b)
    assert (found.length <= found.straight_length).all()
    assert (found.length <= found.spherical_length).all()
    assert (found.energy <= torch.minimum(found.straight_energy, found.spherical_energy)).all()
    assert (found.length < 0.98 * found.straight_length).any()
    torch.testing.assert_close(found.latents[:, 0], a)
    torch.testing.assert_close(found.latents[:, -1], b)


def test_a_curve_does_not_depend_on_the_others_of_its_batch():
    net = model(bent(6), 6)
    a, b = torch.randn(2, 20, 6, generator=torch.Generator().manual_seed(4))  # in two groups
    together, alone = geodesics(net, a, b), geodesics(net, a[7:8], b[7:8])
    torch.testing.assert_close(together.length[7:8], alone.length, rtol=1e-3, atol=0)


def test_spatial_latents_and_many_of_them_need_no_metric():
    flat = bent(600)
    spatial = nn.Sequential(nn.Flatten(), flat)
    a, b = torch.randn(2, 2, 6, 10, 10, generator=torch.Generator().manual_seed(5)) / 8
    found = geodesics(model(spatial, (6, 10, 10)), a, b)
    assert found.latents.shape == (2, 16, 6, 10, 10)
    assert (found.energy < found.straight_energy).all()


def test_classes_bend_space_each_in_their_own_way():
    class Two(nn.Module):
        def forward(self, z, labels):
            image = Chart(lambda z: torch.where(labels[:, None] == 0, roll(z), roll(z.flip(1))))
            return image(z)

    net = model(Two(), 2, classes=("a", "b"))
    a, b = torch.tensor([[-1.0, 0.0]] * 2), torch.tensor([[1.0, 1.0]] * 2)
    found = geodesics(net, a, b, labels=torch.tensor([0, 1]), points=33)
    torch.testing.assert_close(found.length, (b - a).norm(dim=1), rtol=1e-3, atol=0)


def test_ends_that_are_one_latent_are_no_way_at_all():
    a = torch.ones(1, 6)
    found = geodesics(model(bent(6), 6), a, a)
    assert (found.latents == 1).all()
    assert found.length == 0


def test_what_has_no_geodesic_says_so():
    a, b = torch.zeros(1, 2), torch.ones(1, 2)
    with pytest.raises(InputError, match="at least 3"):
        geodesics(model(Chart(roll), 2), a, b, points=2)
    with pytest.raises(Unsupported, match="no gradient"):
        geodesics(model(Chart(lambda z: roll(z).detach()), 2), a, b)
    with pytest.raises(InputError, match="no finite image"):
        geodesics(model(Chart(lambda z: roll(z) / (z[:, :1] - 0.0)), 2), a, math.inf * b)
