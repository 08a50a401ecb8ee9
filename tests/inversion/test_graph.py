"""Folded graphs do what the generator does, and their tangents are its derivatives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import jacfwd

from preimage.core import ImageSpec, LatentModel, LatentSpace
from preimage.inversion.graph import Compiled, compiled
from preimage.inversion.graph.fold import fold
from preimage.inversion.graph.link import LINKS
from preimage.inversion.graph.trace import example, trace
from preimage.models import AutoencoderConfig, GANConfig, build, wrap
from preimage.nets import MLP, Conv, Gated, Progressive, Residual

D = 6


def lively(model: nn.Module) -> nn.Module:
    """Weights and statistics at random, so that nothing is zero or the identity."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean):
                    tensor.copy_(0.5 + 0.3 * torch.randn(tensor.shape, generator=generator))
                module.running_var.uniform_(0.5, 2, generator=generator)
        for tensor in (*model.parameters(), *model.buffers()):
            if not tensor.any():
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    return model.eval()


def gan(net: object, size: int = 8, channels: int = 1, **options: object) -> LatentModel:
    data = ImageSpec(channels, size, size)
    return lively(build(GANConfig(data, net, Conv(width=4), D, **options)))


def autoencoder(net: object, size: int = 8, channels: int = 1, **options: object) -> LatentModel:
    data = ImageSpec(channels, size, size)
    return lively(build(AutoencoderConfig(data, net, D, **options)))


def half_grown() -> LatentModel:
    model = gan(Progressive(width=4), 16)
    model.generator.grow(0.45)  # fading in
    return model


OURS = {
    "MLP": lambda: gan(MLP((12, 16), blocks=1)),
    "Conv": lambda: gan(Conv(width=4), 16, 3),
    "Conv with noise": lambda: gan(Conv(width=4, noise=True, dense=8), 16),
    "Conv of named layers": lambda: gan(Conv(channels=(4, 8), strides=(2, 1)), 8),
    "Residual": lambda: gan(Residual(width=4, dense=8, noise=True), 16, 3),
    "Progressive": lambda: gan(Progressive(width=4), 16),
    "Progressive, fading in": half_grown,
    "conditional": lambda: gan(Conv(width=4), classes=("a", "b", "c")),
    "VAE": lambda: autoencoder(Conv(width=4), linear=False),
    "linear part": lambda: autoencoder(Conv(width=4)),
    "linear part at half size": lambda: autoencoder(Conv(width=2, widest=4), 64),
    "Gated on axes": lambda: autoencoder(Gated(8), gated=True, axes=16),
}


class Attention(nn.Module):
    """Tokens from z, a Transformer layer, norms by an image's own statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Linear(D, 4 * 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.norm = nn.GroupNorm(2, 4)
        self.last = nn.Linear(32, 64)

    def forward(self, z: Tensor) -> Tensor:
        h = self.layer(self.tokens(z).view(-1, 4, 8))
        return self.last(F.gelu(self.norm(h)).flatten(1)).tanh()


class ByLabel(nn.Module):
    """A class embedding multiplied into z."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.last = nn.Embedding(3, D), nn.Linear(D, 64)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return torch.sigmoid(self.last(F.silu(z * self.embedding(labels)))).view(-1, 1, 8, 8)


class Styled(nn.Module):
    """A learned constant, modulated by z and demodulated (StyleGAN2's convolution)."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(1, 4, 4, 4))
        self.style, self.conv = nn.Linear(D, 4), nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        z = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        style = self.style(z)[:, :, None, None]
        h = self.start.expand(len(z), -1, -1, -1) * style
        h = h * ((h**2).sum(1, keepdim=True) + 1e-3).rsqrt()
        return self.conv(F.interpolate(h, scale_factor=2, mode="bilinear"))


def dcgan() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (D, 1, 1)),
        nn.ConvTranspose2d(D, 12, 4, 1, 0, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(True),
        nn.ConvTranspose2d(12, 10, 4, 2, 1, bias=False),
        nn.BatchNorm2d(10),
        nn.ReLU(True),
        nn.ConvTranspose2d(10, 3, 3, 2, 1, output_padding=1),
        nn.Tanh(),
    )


def upsampling(kernel: int, mode: str) -> nn.Module:
    return nn.Sequential(
        nn.Linear(D, 20),
        nn.Linear(20, 8 * 16),
        nn.Unflatten(1, (8, 4, 4)),
        nn.BatchNorm2d(8),
        nn.Upsample(scale_factor=2, mode=mode),
        nn.Conv2d(8, 12, kernel, padding=kernel // 2),
        nn.BatchNorm2d(12, 0.8),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Upsample(scale_factor=2, mode=mode),
        nn.Conv2d(12, 9, 1),
        nn.ELU(),
        nn.Conv2d(9, 3, kernel, padding=kernel // 2),
        nn.Sigmoid(),
    )


def wrapped(
    module: nn.Module,
    data: tuple[int, int, int] = (1, 8, 8),
    shape: tuple[int, ...] = (D,),
    **options: object,
) -> LatentModel:
    return lively(wrap(module, data=ImageSpec(*data), space=LatentSpace(shape), **options))


STRANGERS = {
    "DCGAN": lambda: wrapped(dcgan(), (3, 16, 16)),
    "nearest, 3×3": lambda: wrapped(upsampling(3, "nearest"), (3, 16, 16), range=(0, 1)),
    "nearest, 5×5": lambda: wrapped(upsampling(5, "nearest"), (3, 16, 16), range=(0, 1)),
    "bilinear": lambda: wrapped(upsampling(3, "bilinear"), (3, 16, 16), range=(0, 1)),
    "attention": lambda: wrapped(Attention()),
    "embedded labels": lambda: wrapped(ByLabel(), range=(0, 1), classes=("a", "b", "c")),
    "styled": lambda: wrapped(Styled()),
    "spatial latents": lambda: wrapped(
        nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)),
        (8, 8, 8),
        (2, 4, 4),
    ),
    "softplus and clamp": lambda: wrapped(
        nn.Sequential(nn.Linear(D, 16), nn.Softplus(), nn.Linear(16, 64), nn.Hardtanh())
    ),
}

GENERATORS = {**OURS, **STRANGERS}


@pytest.fixture(scope="module", params=GENERATORS)
def generator(request: pytest.FixtureRequest) -> tuple[LatentModel, Compiled]:
    torch.manual_seed(0)
    model = GENERATORS[request.param]()
    return model, compiled(model)


def test_folded_images_are_the_models_own(generator: tuple[LatentModel, Compiled]) -> None:
    model, quick = generator
    assert quick.refusal is None
    for n in (1, 2, 11):
        inputs = example(model, n, seed=n)
        with torch.no_grad():
            want = model.decode(*inputs)
            assert torch.allclose(quick.decode(*inputs), want, atol=1e-5)
            u = quick.unlinked(*inputs)
        assert torch.allclose(quick.link.images(u), want, atol=1e-5)


def test_tangents_are_the_jacobian(generator: tuple[LatentModel, Compiled]) -> None:
    model, quick = generator
    for n in (3, 1, 3):  # what one call keeps must suit the next
        z, *labels = example(model, n, seed=n)
        x, slopes = quick.tangents(z, *labels, dtype=torch.float32)
        torch.backends.mha.set_fastpath_enabled(False)  # has no derivative
        with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            full = jacfwd(lambda z, y=labels: model.decode(z, *y).sum(0))(z)  # (C, H, W, n, *shape)
        torch.backends.mha.set_fastpath_enabled(True)
        want = full.flatten(4).permute(3, 4, 0, 1, 2)  # no image depends on another
        assert torch.allclose(x, model.decode(z, *labels), atol=1e-5)
        assert (slopes - want).norm() < 1e-4 * want.norm()
        rough = quick.tangents(z, *labels, dtype=torch.bfloat16)[1]
        assert (rough - want).norm() < 0.04 * want.norm()


def test_gradients_flow_to_z() -> None:
    model = GENERATORS["Conv"]()
    z = example(model, 3)[0].requires_grad_()
    quick = compiled(model).decode(z)
    (got,) = torch.autograd.grad(quick.square().sum(), z)
    (want,) = torch.autograd.grad(model.decode(z).square().sum(), z)
    assert torch.allclose(got, want, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("Conv", "tanh"),
        ("nearest, 3×3", "sigmoid"),
        ("linear part", "soft clip"),
        ("softplus and clamp", "clip"),
        ("styled", "identity"),
    ],
)
def test_the_last_nonlinearity_is_recognised(name: str, link: str) -> None:
    model = GENERATORS[name]()
    quick = compiled(model)
    assert quick.link.name == link
    u = quick.unlinked(*example(model, 4))
    x = quick.link.images(u)
    inside = x.abs() < 0.999
    assert torch.allclose(quick.link.inverse(x)[inside], u[inside], atol=1e-3)


@pytest.mark.parametrize("name", LINKS)
def test_a_links_derivative_is_its_slope(name: str) -> None:
    u = torch.linspace(-3, 3, 101, dtype=torch.float64)
    link = LINKS[name]
    slope = torch.func.jvp(link.images, (u,), (torch.ones_like(u),))[1]
    assert torch.allclose(link.derivative(u), slope)


def operations(model: LatentModel) -> list[str]:
    graph = trace(model)
    fold(graph, example(model, 3))
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def test_norms_and_enlarging_fold_away() -> None:
    for name in ("DCGAN", "nearest, 3×3", "Conv"):
        found = " ".join(operations(GENERATORS[name]()))
        assert "batch_norm" not in found
        assert "upsample" not in found
        assert "aten.add.Tensor" not in found
    layers = operations(GENERATORS["nearest, 3×3"]())
    assert sum("addmm" in layer for layer in layers) == 1  # two linear layers became one


class Mixing(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        h = (z - z.mean(0)).repeat(1, 11)[:, :64]
        return h.view(-1, 1, 8, 8)


class Branching(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        h = z.repeat(1, 11)[:, :64].view(-1, 1, 8, 8)
        return h if z[0, 0] > 0 else -h


class Noisy(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return F.dropout(z.repeat(1, 11)[:, :64].view(-1, 1, 8, 8), 0.5, True)


def batch_statistics() -> LatentModel:
    model = wrapped(dcgan(), (3, 16, 16))
    model.generator[2].train()
    return model


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (batch_statistics, "normalises over the batch"),
        (lambda: wrapped(Mixing()), "depend on the others of their batch"),
        (lambda: wrapped(Branching()), "cannot be traced"),
        (lambda: wrapped(Noisy()), "random numbers"),
    ],
)
def test_what_cannot_be_folded_runs_as_it_is(make: object, why: str) -> None:
    model = make()
    before = [buffer.clone() for buffer in model.buffers()]
    quick = compiled(model)
    assert why in (quick.refusal or "")
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers(), strict=True))
    if why != "random numbers":
        z = example(model, 3)[0]
        assert torch.equal(quick.decode(z), model.decode(z))


@pytest.mark.parametrize("n", [1, 5, 71, 142])
def test_tangents_come_in_few_sizes_of_batch(n: int) -> None:
    quick = compiled(wrapped(nn.Sequential(nn.Linear(D, 16), nn.ReLU(), nn.Linear(16, 64))))
    plan, sizes = quick._plan(torch.float32), []

    class Noted:
        images_at_once = 70

        def __call__(self, z: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
            sizes.append(len(z))
            return plan(z, labels)

    quick._tangents[torch.float32] = Noted()  # type: ignore[assignment]
    z = torch.randn(n, D, generator=torch.Generator().manual_seed(n))
    x, slopes = quick.tangents(z, dtype=torch.float32)
    assert all(size % 2 == 0 and size <= 70 for size in sizes)
    assert torch.allclose(x, quick.decode(z), atol=1e-6)
    alone = torch.cat([quick.tangents(one, dtype=torch.float32)[1] for one in z.split(1)])
    assert torch.allclose(slopes, alone, atol=1e-6)


@pytest.mark.parametrize("n", [1, 3])
def test_tangents_may_be_written_over(n: int) -> None:
    """Also those of a linear generator, which are computed once for all images."""
    net = nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8)))
    found = compiled(wrap(net, data=ImageSpec(1, 8, 8), space=LatentSpace((4,))))
    assert found.refusal is None
    z = torch.randn(n, 4)
    expected = net[0].weight.T.reshape(1, 4, 1, 8, 8).expand(n, -1, -1, -1, -1)
    for _ in range(2):
        slopes = found.tangents(z, dtype=torch.float32)[1]
        assert torch.allclose(slopes, expected, atol=1e-5)
        slopes.mul_(2)


def test_a_stranger_without_a_graph_still_has_tangents() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(D, 64)

        def forward(self, z: Tensor) -> Tensor:
            n = 2 if len(z) == 3 else 1  # what it does depends on the batch size
            for _ in range(n):
                z = z + 0
            return self.last(z).tanh()

    model = wrapped(Loop())
    quick = compiled(model)
    assert quick.refusal == "what it does depends on the batch size"
    z = example(model, 2)[0]
    slopes = quick.tangents(z)[1]
    want = torch.stack([jacfwd(lambda v: model.decode(v[None])[0])(row) for row in z])
    assert torch.allclose(slopes, want.movedim(-1, 1), atol=1e-5)
