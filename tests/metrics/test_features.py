"""Random features: the same everywhere, of any size, and they see what is in a picture."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from preimage.core.neighbours import nearest
from preimage.metrics import RandomFeatures, extract


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [8, 28, 33, 64, 256])
def test_every_size_and_kind(channels, size):
    features = RandomFeatures(channels, dim=40)
    assert features(torch.rand(2, channels, size, size) * 2 - 1).shape == (2, 40)


def test_the_seed_alone_makes_the_net():
    x = torch.rand(3, 3, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.manual_seed(1)
    one = RandomFeatures(3, seed=5)(x)
    torch.manual_seed(2)
    torch.testing.assert_close(one, RandomFeatures(3, seed=5)(x), rtol=0, atol=0)
    assert not torch.allclose(one, RandomFeatures(3, seed=6)(x))
    # The numbers behind it are NumPy's, not this machine's.
    first = RandomFeatures(1, seed=0).get_buffer("weight0")[0, 0, 0, 0].item()
    assert first == pytest.approx(np.random.default_rng(0).standard_normal() * (2 / 9) ** 0.5)


def test_the_pooled_scale_does_not_depend_on_the_size():
    """The same smooth picture at twice the size is nearly the same picture."""
    small = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = torch.nn.functional.interpolate(small, size=(64, 64), mode="bicubic")
    twice = torch.nn.functional.interpolate(x, size=(128, 128), mode="bicubic")
    features = RandomFeatures(3)
    a, b = features(x), features(twice)
    assert (a - b).norm(dim=1).max() < 0.5 * torch.cdist(a, a)[~torch.eye(8, dtype=bool)].min()


def test_digits_of_one_class_are_neighbours():
    digits = load_digits()
    x = torch.from_numpy(digits.images[:, None].astype(np.float32) / 8 - 1)
    labels = torch.from_numpy(digits.target)
    z = extract(RandomFeatures(1), x.split(200))
    found = nearest(z[1000:], z[:1000])[1][:, 0]
    assert (labels[found] == labels[1000:]).float().mean() > 0.9


def test_extract_takes_a_module_in_evaluation_mode_or_any_function():
    x = torch.rand(10, 2, 3, 3)
    module = torch.nn.BatchNorm2d(2)
    module(x)
    assert extract(module, x.split(4)).shape == (10, 18)
    torch.testing.assert_close(extract(module, x.split(4)), module.eval()(x).flatten(1).detach())
    torch.testing.assert_close(extract(lambda images: images, x.split(3)), x.flatten(1))


def test_extract_leaves_the_module_as_it_was():
    module = torch.nn.BatchNorm2d(2).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    extract(module, [torch.rand(4, 2, 3, 3)])
    assert module.training
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_each_part_of_a_network_is_left_in_the_mode_it_was_in() -> None:
    held = nn.BatchNorm2d(1).eval()
    around = nn.Sequential(held)  # itself in training mode, as every new module is
    extract(around, [torch.zeros(4, 1, 8, 8)])
    assert around.training
    assert not held.training
