"""Strangers' modules seen as LatentModels."""

import pytest
import torch
from torch import nn

from preimage.core import Gaussian, ImageSpec, InputError, LatentSpace, Unsupported
from preimage.models import wrap

DATA, SPACE = ImageSpec(1, 4, 4), LatentSpace((3,))


class Conditional(nn.Module):
    def forward(self, z, labels):
        return torch.zeros(len(z), 16) + labels[:, None] / 2


class Broken(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, z):
        raise self.error


def linear():
    torch.manual_seed(0)
    return nn.Linear(3, 16)


def test_a_linear_module_that_thinks_in_0_to_1_agrees_with_the_closed_form():
    module, z = linear(), torch.randn(5, 3)
    model = wrap(module, data=DATA, space=SPACE, range=(0, 1))
    expected = 2 * (z @ module.weight.T + module.bias) - 1
    assert torch.allclose(model.decode(z), expected.reshape(5, 1, 4, 4), atol=1e-6)
    assert torch.equal(model(z), model.decode(z))
    assert model.sample(3).shape == (3, 1, 4, 4)


def test_images_reach_the_encoder_and_the_critic_in_the_modules_range():
    mean = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=False))
    nn.init.constant_(mean[1].weight, 1 / 16)  # the mean value of the image
    white = torch.ones(2, 1, 4, 4)
    for range_, top, bottom in (((0, 1), 1.0, 0.0), ((0, 255), 255.0, 0.0), ((-1, 1), 1.0, -1.0)):
        critic = nn.Flatten()
        model = wrap(linear(), data=DATA, space=SPACE, range=range_, encoder=mean, critic=critic)
        assert torch.allclose(model.encode(white).mean, torch.tensor(top))
        assert torch.allclose(model.critic(-white), torch.tensor(bottom))


@pytest.mark.parametrize("kind", ["mean", "pair", "gaussian"])
def test_an_encoder_may_return_a_mean_a_pair_or_a_gaussian(kind):
    class Encoder(nn.Module):
        def forward(self, x):
            μ = x.flatten(1)[:, :3]
            return {"mean": μ, "pair": (μ, μ - 2), "gaussian": Gaussian(μ, μ - 2)}[kind]

    model = wrap(linear(), data=DATA, space=SPACE, encoder=Encoder())
    x = torch.rand(2, 1, 4, 4)
    q = model.encode(x)
    assert torch.allclose(q.mean, x.flatten(1)[:, :3], atol=1e-6)
    assert torch.equal(q.log_variance, q.mean - 2 if kind != "mean" else q.mean * 0 - 20)


@pytest.mark.parametrize("shape", [(), (1,), (1, 2, 2)])
def test_a_critic_may_return_one_number_an_image_or_many(shape):
    class Critic(nn.Module):
        def forward(self, x):
            return x.flatten(1).mean(1).reshape(-1, *[1] * len(shape)).expand(-1, *shape)

    model = wrap(linear(), data=DATA, space=SPACE, critic=Critic())
    x = torch.rand(5, 1, 4, 4)
    assert torch.allclose(model.critic(x), x.mean((1, 2, 3)))


def test_abilities_are_those_of_the_modules_given():
    model = wrap(linear(), data=DATA, space=SPACE)
    assert not any(model.can(name) for name in ("encode", "critic", "features"))
    for name in ("encode", "critic"):
        with pytest.raises(Unsupported, match="pass"):
            getattr(model, name)(torch.zeros(1, 1, 4, 4))
    assert wrap(linear(), data=DATA, space=SPACE, critic=nn.Flatten()).can("critic")


def test_labels_reach_a_conditional_module():
    model = wrap(Conditional(), data=DATA, space=SPACE, classes=("a", "b"))
    assert model.conditional
    assert model.sample(4)[:, 0, 0, 0].tolist() == [0, 0.5, 0, 0.5]


def test_batch_statistics_do_not_couple_the_images():
    module = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16))
    model = wrap(module.train(), data=DATA, space=SPACE)
    z = torch.randn(4, 3)
    assert torch.allclose(model.decode(z)[:1], model.decode(z[:1]), atol=1e-6)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_a_module_of_another_precision_is_told_how_to_come(kind):
    with pytest.raises(InputError, match=rf"it is of {kind}: give it as module.float\(\)$"):
        wrap(linear().to(kind), data=DATA, space=SPACE)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).to(kind)
    with pytest.raises(InputError, match=r"the encoder does not take .*module.float\(\)$"):
        wrap(linear(), data=DATA, space=SPACE, encoder=encoder)
    assert wrap(linear().to(kind).float(), data=DATA, space=SPACE).sample(2).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"module": nn.Linear(4, 16)}, "check space"),
        ({"module": nn.Linear(3, 15)}, r"\(2, 15\).*check data"),
        ({"module": Broken(RuntimeError())}, "RuntimeError"),
        ({"module": Broken(KeyError("a\nb"))}, "check space"),
        ({"module": Conditional()}, "check space= and classes="),
        ({"range": (1, 0)}, "low < high"),
        ({"encoder": nn.Linear(7, 3)}, "check encoder"),
        ({"encoder": nn.Sequential(nn.Flatten(), nn.Linear(16, 2))}, r"\(2, 2\).*check space"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(options, message):
    options = {"module": linear(), "data": DATA, "space": SPACE} | options
    with pytest.raises(InputError, match=message) as error:
        wrap(options.pop("module"), **options)
    assert "\n" not in str(error.value)
