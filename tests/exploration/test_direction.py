"""What a direction is: moves and readings that answer to one another."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import preimage as pi
from preimage.core import ImageSpec, InputError, LatentModel, LatentSpace
from preimage.exploration.direction import Direction, owner, summary
from preimage.models.wrap import wrap


def direction(shape: tuple[int, ...] = (3,)) -> Direction:
    v = torch.arange(1.0, 4.0).reshape(shape)
    return Direction(
        "smile", v, "m", "ridge", normal=v / v.square().sum(), offset=0.5, conditioned=("age",)
    )


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1)], ids=["flat", "spatial"])
def test_moving_by_s_moves_the_reading_by_s(shape: tuple[int, ...]) -> None:
    z, found = torch.randn(5, *shape), direction(shape)
    s = torch.linspace(-2, 2, 5)
    assert torch.allclose(found.read(found.move(z, s)), found.read(z) + s, atol=1e-5)
    assert torch.allclose(found.move(z, 2), found.move(found.move(z, 1), 1), atol=1e-6)
    assert torch.equal(found.move(z, 0), z)
    assert found.read(torch.zeros(1, *shape)).item() == 0.5


def test_without_labels_nothing_is_read() -> None:
    blind = Direction("pca-1", torch.ones(3), "m", "pca")
    with pytest.raises(InputError, match="'pca-1' was found without labels"):
        blind.read(torch.zeros(1, 3))


def test_a_value_belongs_to_its_attribute() -> None:
    assert direction().named("hair:red").attribute == "hair"
    assert direction().attribute == "smile"
    assert summary(direction())["conditioned"] == ["age"]


def test_an_encoder_beside_the_generator_is_no_other_model() -> None:
    module = nn.Linear(3, 16)
    G = wrap(module, data=ImageSpec(1, 4, 4), space=LatentSpace((3,)))

    class Encoded(LatentModel):
        def __init__(self) -> None:
            super().__init__()
            self.generator = G

    assert owner(Encoded()) == owner(G)
    assert pi.Direction is Direction


def test_a_vector_that_does_not_fit_into_the_latents_is_refused() -> None:
    model = wrap(nn.Linear(3, 16), data=ImageSpec(1, 4, 4), space=LatentSpace((3,)))
    Direction("smile", torch.ones(3), owner(model), "ridge").check(model)
    with pytest.raises(InputError, match=r"latents of shape \(4,\); this model's are \(3,\)"):
        Direction("smile", torch.ones(4), owner(model), "ridge").check(model)
