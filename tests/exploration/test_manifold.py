"""The grid of an identity decoder is the quantile grid; axes are dimensions or directions."""

import pytest
import torch
from scipy.stats import norm
from torch import nn

import preimage as pi
from preimage.core import Uniform
from preimage.exploration.direction import Direction, owner
from preimage.exploration.manifold import liveliest, manifold, quantiles


def identity(*shape: int, **options) -> pi.LatentModel:
    """G(z) = z, as an image of one column."""
    n = torch.Size(shape).numel()
    space = pi.LatentSpace(shape, **options)
    return pi.wrap(nn.Flatten(), data=pi.ImageSpec(1, n, 1), space=space)


def test_quantiles_are_those_of_the_normal_distribution() -> None:
    expected = norm.ppf([0.05, 0.275, 0.5, 0.725, 0.95])
    assert quantiles(5).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_plane_of_two_numbers_is_the_quantile_grid() -> None:
    found = manifold(identity(2), size=3, edges=(0.1, 0.9))
    a = float(norm.ppf(0.9))
    expected = [[x, y] for y in (a, 0, -a) for x in (-a, 0, a)]  # the top row is the highest
    assert torch.allclose(found.images.reshape(9, 2), torch.tensor(expected), atol=1e-6)
    assert torch.equal(found.latents, found.images.reshape(9, 2))


def test_other_numbers_stay_at_the_centre() -> None:
    centre = torch.arange(6.0).reshape(3, 2, 1)
    found = manifold(identity(3, 2, 1), (4, 1), centre=centre, size=2).images.reshape(4, 6)
    low, high = quantiles(2).tolist()
    expected = centre.flatten().repeat(4, 1)
    expected[:, 4] = torch.tensor([low, high, low, high])
    expected[:, 1] = torch.tensor([high, high, low, low])
    assert torch.allclose(found, expected)


def test_a_uniform_prior_has_quantiles_of_its_own() -> None:
    model = identity(2, priors={"uniform": Uniform()}, prior="uniform")
    found = manifold(model, size=2, edges=(0.25, 0.75))
    assert found.across.tolist() == pytest.approx([-0.5, 0.5])


def test_data_sets_the_spread_and_the_centre() -> None:
    data = torch.arange(101.0)[:, None] * torch.tensor([1.0, -2.0, 3.0])
    found = manifold(identity(3), (0, 2), data=data, size=2, edges=(0.1, 0.9))
    assert found.across.tolist() == pytest.approx([10, 90])
    assert found.up.tolist() == pytest.approx([30, 270])
    assert (found.latents[:, 1] == -100).all()


def test_along_directions_places_are_strengths() -> None:
    model = identity(3)
    smile = Direction("smile", torch.tensor([1.0, 1.0, 0.0]), owner(model), "planted")
    found = manifold(model, (smile, 2), centre=torch.ones(3), size=2)
    low, high = quantiles(2).tolist()
    expected = [[1 + s, 1 + s, t] for t in (high, low) for s in (low, high)]
    assert torch.allclose(found.latents, torch.tensor(expected))
    assert found.names == ("smile", "z2")


@pytest.mark.parametrize(
    ("axes", "options", "message"),
    [
        ((0, 3), {}, "no dimension 3; the latents have 0 to 2"),
        ((-1, 0), {}, "no dimension -1"),
        ((1, 1), {}, "both axes are z1"),
        ((0, 1, 2), {}, "two axes, not 3"),
        ((0, 1), {"edges": (0.9, 0.1)}, "quantiles 0.9 to 0.1"),
        ((0, 1), {"size": 1}, "a grid of 1"),
        ((0, 1), {"centre": torch.zeros(4)}, r"centre of shape \(4,\)"),
        ((0, Direction("smile", torch.ones(3), "another", "planted")), {}, "fitted on model"),
    ],
)
def test_what_cannot_be_is_refused(axes, options, message) -> None:
    with pytest.raises(pi.InputError, match=message):
        manifold(identity(3), axes, **options)


def test_the_liveliest_numbers_are_those_that_move_the_image_most() -> None:
    """G(z) = A z moves by 2 ‖A eᵢ‖; two columns are zero, as dead numbers' are."""
    generator = nn.Linear(5, 8, bias=False)
    with torch.no_grad():
        generator.weight.copy_(torch.eye(8, 5) * torch.tensor([0.0, 3.0, 0.0, 1.0, 5.0]))
    model = pi.wrap(
        nn.Sequential(nn.Flatten(), generator),
        data=pi.ImageSpec(1, 8, 1),
        space=pi.LatentSpace((5, 1)),
    )
    assert liveliest(model) == [4, 1, 3, 0, 2]
    assert liveliest(model, but=[1, 0]) == [4, 3, 2]
    assert pi.manifold(model, size=2).names == ("z1", "z4")
    assert pi.manifold(model, (3, None), size=2).names == ("z3", "z4")
