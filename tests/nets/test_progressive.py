"""Progressive growing: no jump where a level begins, and none where it has faded in."""

import pytest
import torch
import torch.nn.functional as F

from preimage.core import ImageSpec
from preimage.nets import Progressive

DATA = ImageSpec(3, 32, 32)  # levels 0 … 3: 4, 8, 16 and 32 pixels


@pytest.fixture
def nets():
    torch.manual_seed(0)
    net = Progressive(8, widest=16)
    built = net.decoder(DATA, 5), net.encoder(DATA)
    for half in built:
        for parameter in half.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        half.eval()
    return built


def at(net, level, α):
    net.reached.copy_(torch.tensor([float(level), α]))
    return net


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_level_begins_as_the_one_below_it(nets, level):
    decoder, encoder = nets
    z, x = torch.randn(4, 5), torch.randn(4, *DATA.shape)
    for net, inputs in ((decoder, z), (encoder, x)):
        begun, below = at(net, level, 0.0)(inputs), at(net, level - 1, 1.0)(inputs)
        assert torch.allclose(begun, below, atol=1e-4)
        half, whole = at(net, level, 0.5)(inputs), at(net, level, 1.0)(inputs)
        assert not torch.allclose(half, whole, atol=1e-3)


def test_fading_mixes_the_two_pictures_in_proportion(nets):
    decoder, z = nets[0], torch.randn(4, 5)
    below, whole = at(decoder, 1, 1.0)(z), at(decoder, 2, 1.0)(z)
    quarter = at(decoder, 2, 0.25)(z)
    assert torch.allclose(quarter, 0.25 * whole + 0.75 * below, atol=1e-4)


def test_a_coarse_picture_is_made_of_large_pixels_and_judged_by_them(nets):
    decoder, encoder = (at(net, 1, 1.0) for net in nets)
    x = decoder(torch.randn(2, 5))
    assert torch.allclose(x, F.interpolate(F.avg_pool2d(x, 4), scale_factor=4), rtol=1e-4)
    finer = x + torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)  # a pattern averaged away
    assert torch.allclose(encoder(finer), encoder(x), atol=1e-4)


def test_growth_gives_each_level_its_share_and_ends_whole(nets):
    decoder = nets[0]
    seen = []
    for step in range(80):
        decoder.grow(step / 80)
        seen.append(decoder.state())
    assert [level for level, _ in seen] == sorted(level for level, _ in seen)
    assert [sum(level == i for level, _ in seen) for i in range(4)] == [20] * 4
    assert all(α == 1 for level, α in seen if level == 0)
    assert seen[20] == (1, 0.0)
    assert seen[30] == (1, 1.0)  # half of its time is spent fading in
    decoder.grow(1.0)
    assert decoder.state() == (3, 1.0)


def test_a_new_net_is_grown_already():
    assert Progressive(8).decoder(DATA, 5).state() == (3, 1.0)
