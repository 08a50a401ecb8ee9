"""One suite over every backbone and size: shapes, gradients, determinism, batch invariance."""

import pytest
import torch
from torch import nn

from preimage.core import DataSpec, ImageSpec, InputError
from preimage.nets import MLP, Conv, Patch, Progressive, Residual, Transformer

NAMED = Conv(channels=(8, 8, 8), strides=(1, 2, 1), norm=False, dense=16)
NETS = {
    "mlp": MLP((32, 16), blocks=1, noise=True),
    "conv": Conv(8, widest=32, noise=True),
    "conv-dense": Conv(8, widest=32, norm=False, dense=16),
    "conv-named": NAMED,
    "residual": Residual(8, widest=32, dense=16, deviation=True, noise=True),
    "progressive": Progressive(8, widest=32),
    "transformer": Transformer(16, depth=2, heads=2),
}
slow = pytest.mark.slow
SIZES = [8, 16, 28, 32, 64, pytest.param(128, marks=slow), pytest.param(256, marks=slow)]
LATENT = 6


def images(data, n=8, seed=0):
    return torch.rand(n, *data.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def latents(n=8, seed=0):
    return torch.randn(n, LATENT, generator=torch.Generator().manual_seed(seed))


def awake(net: nn.Module) -> nn.Module:
    """The net with nothing left at zero: residual branches, noise strengths, biases."""
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=g))
    return net


def check_gradients(net, inputs):
    net.train()
    (net(inputs) * torch.randn(net(inputs).shape)).sum().backward()
    coarser = [id(p) for p in getattr(net, "colours", nn.ModuleList())[:-1].parameters()]
    for name, parameter in net.named_parameters():
        if id(parameter) not in coarser:  # a grown net leaves the layers of coarser pictures
            assert parameter.grad is not None, f"{name} is not reached"
            assert parameter.grad.abs().sum() > 0, f"{name} is reached by nothing"


def check_evaluation(net, inputs):
    """Deterministic, and each sample alone is what it is in a batch."""
    net.eval()
    with torch.no_grad():
        together = net(inputs)
        assert torch.equal(net(inputs), together)
        alone = torch.cat([net(inputs[i : i + 1]) for i in range(3)])
    assert (alone - together[:3]).abs().max() < 1e-4 * together.abs().max()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETS)
def test_encoders(name, size, channels):
    data = ImageSpec(channels, size, size)
    encoder = awake(NETS[name].encoder(data))
    assert encoder(images(data)).shape == (8, encoder.features)
    check_evaluation(encoder, images(data))
    check_gradients(encoder, images(data))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETS)
def test_decoders(name, size, channels):
    data = ImageSpec(channels, size, size)
    decoder = awake(NETS[name].decoder(data, LATENT))
    assert decoder(latents()).shape == (8, *data.shape)
    assert decoder.output in list(decoder.modules())
    check_evaluation(decoder, latents())
    check_gradients(decoder, latents())


@pytest.mark.parametrize("name", ["mlp", "conv", "residual"])
def test_noise_inputs_are_heard_in_training_and_silent_in_evaluation(name):
    decoder = awake(NETS[name].decoder(ImageSpec(1, 16, 16), LATENT)).train()
    for norm in decoder.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()
    z = latents()
    assert not torch.allclose(decoder(z), decoder(z), atol=1e-3)
    decoder.eval()
    assert torch.equal(decoder(z), decoder(z))


@pytest.mark.parametrize("name", ["conv", "residual", "progressive", "transformer"])
def test_images_need_not_be_square(name):
    data = ImageSpec(3, 16, 32)
    assert NETS[name].encoder(data)(images(data)).shape[0] == 8
    assert NETS[name].decoder(data, LATENT)(latents()).shape == (8, 3, 16, 32)


def test_the_patch_critic_sees_patches_only():
    data = ImageSpec(3, 32, 32)
    critic = Patch(8, depth=2).encoder(data).eval()
    x = images(data, 1)
    changed = x.clone()
    changed[..., -4:, -4:] = 0
    difference = (critic(x) - critic(changed)).abs().sum(1)[0]
    assert critic(x).shape == (1, critic.features, 8, 8)
    assert difference[-1, -1] > 0
    assert not difference[:5, :5].any()  # the corner is out of their sight
    with pytest.raises(InputError, match="critic"):
        Patch().decoder(data, LATENT)
    with pytest.raises(InputError, match="depth=90 needs larger images"):
        Patch(depth=90).encoder(data)


@pytest.mark.parametrize("name", ["conv", "residual", "progressive", "transformer"])
@pytest.mark.parametrize(("size", "mend"), [(4, 8), (30, 28), (33, 32), (250, 256), (512, 256)])
def test_a_size_that_no_net_takes_is_refused_with_the_nearest(name, size, mend):
    for build in (NETS[name].encoder, lambda data: NETS[name].decoder(data, LATENT)):
        with pytest.raises(InputError, match=f"{size}×{size}.*set the size to {mend}"):
            build(ImageSpec(1, size, size))


def test_other_sizes_that_halve_well_are_taken():
    for size in (12, 20, 24, 40, 48, 56, 96, 112, 224):
        data = ImageSpec(1, size, size)
        assert NETS["conv"].decoder(data, LATENT)(latents(2)).shape == (2, 1, size, size)


def test_named_strides_refuse_what_they_cannot_draw():
    with pytest.raises(InputError, match="multiple of 2"):
        NAMED.encoder(ImageSpec(1, 9, 9))
    with pytest.raises(InputError, match="2 channels need as many strides"):
        Conv(channels=(4, 4), strides=(2,)).encoder(ImageSpec(1, 8, 8))


def test_initial_weights_have_the_deviation_that_was_asked_for():
    data, net = ImageSpec(3, 32, 32), Conv(32, initial_std=0.02)
    for layer in [*net.encoder(data).modules(), *net.decoder(data, 64).modules()]:
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.4)
            assert not layer.bias.any()


def test_convolutions_need_images():
    with pytest.raises(InputError, match="mlp"):
        Conv().encoder(DataSpec("vector", (64,)))
    with pytest.raises(InputError, match="mlp"):
        NAMED.encoder(DataSpec("vector", (64,)))


@pytest.mark.parametrize("channels", [(4, 8), (4, 8, 8)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_any_stride_is_undone_exactly(channels, stride):
    side = 2 * stride ** len(channels)
    data = ImageSpec(1, side, side)
    net = Conv(channels=channels, strides=(stride,) * len(channels), norm=False)
    assert net.encoder(data)(images(data, 2)).shape == (2, channels[-1] * 4)
    assert net.decoder(data, LATENT)(latents(2)).shape == (2, 1, side, side)


def test_the_transformer_knows_where_a_patch_is():
    data = ImageSpec(1, 32, 32)
    net = awake(NETS["transformer"].encoder(data)).eval()
    x = images(data, 1)
    moved = x.roll(8, -1)  # the same patches in other places
    assert (net(x) - net(moved)).abs().max() > 1e-3
    with torch.no_grad():
        net.place.zero_()
    assert (net(x) - net(moved)).abs().max() < 1e-5


def test_the_width_of_a_transformer_divides_by_its_heads():
    with pytest.raises(InputError, match="heads=3"):
        Transformer(16, heads=3)
