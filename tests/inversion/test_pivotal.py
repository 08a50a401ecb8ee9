"""Pivotal tuning: it learns the images, and forgets less where it is told to."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.core import ImageSpec, InputError, LatentSpace, Unsupported
from preimage.models import GANConfig, build
from preimage.nets import MLP, Conv


@pytest.fixture(scope="module")
def model() -> pi.LatentModel:
    """A generator with batch norm, and a critic that has features."""
    torch.manual_seed(0)
    data = ImageSpec(1, 16, 16)
    made = build(GANConfig(data, Conv(8), MLP((16,)), latent=6)).eval()
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.05, 0.2)
    return made


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(3)) - 0.5


@pytest.fixture(scope="module")
def z(model: pi.LatentModel) -> Tensor:
    return model.space.sample(2, seed=4)


def error(model: pi.LatentModel, images: Tensor, z: Tensor) -> float:
    with torch.no_grad():
        return (model.decode(z) - images).square().mean().item()


def test_the_images_are_learned(model: pi.LatentModel, images: Tensor, z: Tensor) -> None:
    before = copy.deepcopy(model.state_dict())
    seen = []
    difference = pi.tune(
        model, images, z, steps=150, learning_rate=3e-3, progress=lambda s: seen.append(s.step)
    )
    learned = pi.tuned(model, difference)
    assert error(learned, images, z) < error(model, images, z) / 10
    assert seen == list(range(1, 151))
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)  # itself left alone


def test_locality_keeps_other_samples_where_they_were(
    model: pi.LatentModel, images: Tensor, z: Tensor
) -> None:
    elsewhere = model.space.sample(64, seed=9)
    moved = {}
    for locality in (0.0, 1.0):
        difference = pi.tune(
            model, images, z, steps=100, learning_rate=3e-3, locality=locality, features=0
        )
        learned = pi.tuned(model, difference)
        with torch.no_grad():
            moved[locality] = (learned.decode(elsewhere) - model.decode(elsewhere)).square().mean()
    assert moved[1.0] < 0.7 * moved[0.0]


def test_only_the_generator_changes_and_the_rest_is_shared(
    model: pi.LatentModel, images: Tensor, z: Tensor
) -> None:
    difference = pi.tune(model, images, z, steps=3)
    learned = pi.tuned(model, difference)
    assert {name.split(".")[0] for name in difference.deltas} == {"generator"}
    for name, buffer in model.named_buffers():  # running statistics among them
        assert dict(learned.named_buffers())[name] is buffer
    for name, parameter in model.named_parameters():
        same = dict(learned.named_parameters())[name] is parameter
        assert same == (name not in difference.deltas)


def test_what_was_applied_is_taken_back_bit_for_bit(
    model: pi.LatentModel, images: Tensor, z: Tensor
) -> None:
    difference = pi.tune(model, images, z, steps=20, learning_rate=3e-3)
    before = copy.deepcopy(model.state_dict())
    with pi.applied(model, difference):
        inside = error(model, images, z)
        with pytest.raises(InputError, match="other weights"), pi.applied(model, difference):
            pass
    assert inside == pytest.approx(error(pi.tuned(model, difference), images, z), rel=1e-5)
    assert inside < error(model, images, z)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_another_model_is_refused(model: pi.LatentModel, images: Tensor, z: Tensor) -> None:
    difference = pi.tune(model, images, z, steps=1)
    other = copy.deepcopy(model)
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    with pytest.raises(InputError, match="other weights") as caught:
        pi.tuned(other, difference)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_tuned_is_refused(model: pi.LatentModel, images: Tensor, z: Tensor) -> None:
    with pytest.raises(InputError, match="one for each image"):
        pi.tune(model, images, z[:1])
    with pytest.raises(InputError, match="no images"):
        pi.tune(model, images[:0], z[:0])
    with pytest.raises(InputError, match=r"\(1, 8, 8\)"):
        pi.tune(model, images[..., :8, :8], z)
    still = pi.wrap(nn.Upsample(8), data=ImageSpec(1, 8, 8), space=LatentSpace((1, 4, 4)))
    with pytest.raises(Unsupported, match="no gradient"):
        pi.tune(still, torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stepz": 2}, "no option 'stepz'; did you mean 'steps'"),
        ({"steps": 2.5}, "steps=2.5 is no whole number"),
        ({"batch_size": 0}, "batch_size=0 is not possible; give 1 or more"),
        ({"learning_rate": math.nan}, "learning_rate=nan is not possible; give more than 0"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 is not possible; give more than 0"),
        ({"locality": -1.0}, "locality=-1.0 is not possible; give 0 or more"),
    ],
)
def test_options_that_nothing_is_tuned_with(
    model: pi.LatentModel, images: Tensor, z: Tensor, options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        pi.tune(model, images, z, **{"steps": 1, **options})


def test_what_is_not_finite_is_not_tuned_to(
    model: pi.LatentModel, images: Tensor, z: Tensor
) -> None:
    holed = images.clone()
    holed[:, :, :4] = torch.nan
    with pytest.raises(InputError, match="the latents are not finite"):
        pi.tune(model, images, z * torch.nan, steps=1)
    with pytest.raises(InputError, match="the images are not finite"):
        pi.tune(model, holed, z, steps=1)
    difference = pi.tune(model, holed, z, steps=1, seen=holed.isfinite())
    assert all(delta.isfinite().all() for delta in difference.deltas.values())


@pytest.mark.parametrize(
    "damaged",
    [
        lambda name, delta: {"of.nothing": delta},
        lambda name, delta: {name: delta[:1]},
        lambda name, delta: {name: delta * torch.nan},
    ],
)
def test_a_damaged_difference_is_refused(
    model: pi.LatentModel, images: Tensor, z: Tensor, damaged: Callable
) -> None:
    difference = pi.tune(model, images, z, steps=1)
    (name, delta) = next((n, d) for n, d in difference.deltas.items() if len(d) > 1)
    broken = replace(difference, deltas=damaged(name, delta))
    with pytest.raises(InputError, match="is damaged; tune the model again"):
        pi.tuned(model, broken)
