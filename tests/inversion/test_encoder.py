"""Learned encoders: where they begin, what they see, and that training helps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.core import ImageSpec, InputError, LatentSpace, Unsupported
from preimage.inversion.closed_form import DAMPING, centre, start_in_closed_form
from preimage.inversion.encoder import EncodedModel, Encoder, EncoderConfig
from preimage.inversion.encoder_training import (
    EncoderMethod,
    Encoding,
    noisy,
    shifted,
    stand_ins,
)
from preimage.inversion.fingerprint import fingerprint
from preimage.nets import MLP
from preimage.training.stage import Batch
from preimage.training.trainer import Trainer

DATA = ImageSpec(1, 8, 8)
D = 4


class Nonlinear(nn.Module):
    """tanh of a quadratic in z; classes, where there are any, make the upper half brighter."""

    def __init__(self, bend: float, classes: int = 0):
        super().__init__()
        g = torch.Generator().manual_seed(1)
        self.A = nn.Parameter(torch.randn(D, 64, generator=g) / 4)
        self.B = nn.Parameter(bend * torch.randn(D, 64, generator=g) / 4)
        self.brightness = torch.linspace(-1, 1, classes) if classes else None
        self.calls = 0

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.calls += 1
        u = z @ self.A + z.square() @ self.B
        if labels is not None and self.brightness is not None:
            u = u + self.brightness[labels][:, None] * (torch.arange(64) < 32)
        return (u if self.bend_free else u.tanh()).reshape(-1, 1, 8, 8)

    @property
    def bend_free(self) -> bool:
        return not self.B.any()


def generator(bend: float = 0.0, classes: tuple[str, ...] = ()) -> pi.LatentModel:
    module = Nonlinear(bend, len(classes))
    return pi.wrap(module, data=DATA, space=LatentSpace((D,)), classes=classes)


def encoded(model: pi.LatentModel, refinements: int = 3, slope: bool = True) -> EncodedModel:
    config = EncoderConfig(
        model.data, MLP((32,)), model.space.shape, model.classes, refinements, slope
    )
    return EncodedModel(model, Encoder(config)).eval()


def started(model: pi.LatentModel, **options: Any) -> EncodedModel:
    found = encoded(model, **options)
    centre(found, seed=0)
    judged = model.sample(64, seed=5)
    start_in_closed_form(found, judged, model.labels_for(64), pairs=1024, seed=0)
    return found


@pytest.mark.parametrize("slope", [True, False])
def test_of_a_linear_generator_the_start_is_the_answer(slope: bool) -> None:
    model = generator()
    z = model.space.sample(50, seed=3)
    found = started(model, slope=slope).latents(model.decode(z), precision="fp32")
    assert (found - z).abs().max() < 1e-2


def test_the_later_passes_are_gauss_newton_steps_with_momentum() -> None:
    model = generator()
    encoder = started(model, refinements=4)
    A = model.generator.A.detach()
    W = encoder.encoder.descent.basis.detach()
    s = encoder.encoder.scale
    H = s[:, None] * (A @ A.T) * s
    exact = [torch.linalg.inv(H + λ * H.diagonal().mean() * torch.eye(D)) for λ in DAMPING]
    assert min((W @ W.T - P).norm() / P.norm() for P in exact) < 0.15  # the probes are 2048

    with torch.no_grad():  # nothing known at first: the steps alone come to the least squares
        encoder.encoder.first.weight.zero_()
        encoder.encoder.first.bias.zero_()
    x = torch.rand(6, 1, 8, 8) - 0.5  # out of the generator's range
    answer = torch.linalg.lstsq(A.T, x.flatten(1).T).solution.T
    found = encoder.latents(x, refinements=60, precision="fp32")
    assert (found - answer).abs().max() < 1e-3


def test_the_slope_needs_a_generator_with_a_gradient() -> None:
    class Rounded(Nonlinear):
        def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
            return super().forward(z, labels).detach()

    model = pi.wrap(Rounded(0.1), data=DATA, space=LatentSpace((D,)))
    with pytest.raises(Unsupported, match="--no-slope"):
        encoded(model).latents(torch.zeros(1, 1, 8, 8))
    assert encoded(model, slope=False).latents(torch.zeros(1, 1, 8, 8)).shape == (1, D)


def test_the_first_pass_decodes_nothing() -> None:
    model = generator(0.3)
    encoder = started(model, refinements=3)
    x = model.sample(5)
    module = model.generator
    for refinements in (1, 2, 4):
        before = module.calls
        encoder.latents(x, refinements=refinements)
        assert module.calls - before == refinements - 1


def test_an_image_is_encoded_alone_as_among_others() -> None:
    model = generator(0.3)
    encoder = started(model)
    x = model.sample(9)
    together = encoder.latents(x, precision="fp32")
    alone = torch.cat([encoder.latents(x[i : i + 1], precision="fp32") for i in range(9)])
    assert (together - alone).abs().max() < 1e-5
    assert torch.equal(encoder.latents(x, precision="fp32", batch_size=9), together)


def test_the_change_before_is_that_of_the_pass_before_from_the_second_pass_on() -> None:
    encoder = started(generator(0.3))
    a, b, x = torch.rand(2, D), torch.rand(2, D), torch.rand(2, 1, 8, 8)
    first = encoder.after(encoder.encoder.start(2, None), a, x, None)
    second = encoder.after(first, b, x, None)
    assert first.change is None  # the way from the centre is no step
    assert second.change is not None
    assert torch.equal(second.change, b - a)


def test_with_the_slope_the_net_sees_an_image_once() -> None:
    model = generator(0.3)
    for slope, looks in [(True, 1), (False, 4)]:
        encoder, seen = started(model, refinements=4, slope=slope), []
        encoder.encoder.net.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        encoder.latents(model.sample(3))
        assert len(seen) == looks


def test_a_generator_is_folded_anew_when_its_weights_have_changed() -> None:
    net = convolutional()
    model = pi.wrap(net, data=DATA, space=LatentSpace((D,))).eval()
    encoder, z = encoded(model), model.space.sample(5)
    assert (encoder.draw(z, None) - model.decode(z)).abs().max() < 1e-5
    with torch.no_grad():
        net[2].weight.mul_(2)
    assert (encoder.draw(z, None) - model.decode(z)).abs().max() < 1e-5


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(D, 64), nn.Unflatten(1, (4, 4, 4))),
        *(nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.BatchNorm2d(1), nn.Tanh()),
    )


@pytest.mark.parametrize("first", ["bf16", "fp32"])
def test_a_folded_generator_serves_either_precision(first: str) -> None:
    model = pi.wrap(convolutional(), data=DATA, space=LatentSpace((D,))).eval()
    encoder = started(model)
    encoder._folded = None
    x = model.sample(6)
    encoder.latents(x, precision=first)  # in which it is folded
    precise = encoder.latents(x, precision="fp32")
    assert encoder._folded is not None
    assert encoder._folded[1].refusal is None
    rough = encoder.latents(x, precision="bf16")
    assert (rough - precise).norm() < 0.05 * precise.norm()


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_training_runs_in_either_precision(precision: str) -> None:
    model = pi.wrap(convolutional(), data=DATA, space=LatentSpace((D,)))
    options = {"steps": 2, "batch_size": 4, "pairs": 64, "net": MLP((8,)), "device": "cpu"}
    encoder = pi.train_encoder(model, precision=precision, **options)
    assert encoder.latents(model.eval().sample(2)).isfinite().all()


def trainer(model: pi.LatentModel, *, steps: int, slope: bool = True) -> Trainer:
    """Of a small net, on generated images."""
    data = stand_ins(model, name="generated", fingerprint="", seed=0)
    stage = Encoding(steps=steps, batch_size=32, learning_rate=3e-3, shift=0, pairs=512)
    return Trainer(
        encoded(model, refinements=2, slope=slope), data, (stage,), device="cpu", validations=1
    )


@pytest.mark.parametrize("slope", [True, False])
@pytest.mark.parametrize("last", [True, False])
def test_the_loss_of_a_pass_has_the_gradient_of_its_images(slope: bool, last: bool) -> None:
    model = generator(0.5)
    job = trainer(model, steps=1, slope=slope)
    method, encoder = job.method, job.model
    assert isinstance(method, EncoderMethod)
    assert isinstance(encoder, EncodedModel)
    method.measure_scales()
    pair = method.pair(Batch(model.sample(6, seed=1)))
    guess = encoder.encoder.start(len(pair.x), None)
    z = model.space.sample(len(pair.x), seed=2).requires_grad_()
    loss, told, _ = method.loss(pair, z, guess, last=last)
    (found,) = torch.autograd.grad(loss, z)
    again = z.detach().requires_grad_()
    error = (model.decode(again) - pair.seen).square().flatten(1).mean(1).mean()
    off = ((again[6:] - pair.z) / encoder.encoder.scale).square().mean()
    whole = error / method.image_scale + method.config.latent * off
    (wanted,) = torch.autograd.grad(whole, again)
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert abs(loss.item() - whole.item()) < 1e-5
    if slope and not last:  # what the next pass is told is what an image to be encoded is told
        same = encoder.after(guess, z, pair.seen, None)
        assert same.slope is not None
        assert told.slope is not None
        assert (same.slope - told.slope).abs().max() < 1e-5


@pytest.mark.slow
def test_training_beats_the_start_and_leaves_the_generator_alone() -> None:
    model = generator(2.0)
    before = fingerprint(model)
    job = trainer(model, steps=100)
    losses = [step.metrics["heldout_loss"] for step in job if "heldout_loss" in step.metrics]
    assert losses[-1] < 0.9 * losses[0]
    assert fingerprint(model) == before
    assert not any("generator" in name for name in job.average.state_dict())


@pytest.mark.slow
def test_the_class_is_found_where_it_is_not_given() -> None:
    model = generator(0.2, ("dark", "middling", "bright"))
    job = trainer(model, steps=100)
    for _ in job:
        pass
    encoder, x, labels = job.average, model.sample(90, seed=8), model.labels_for(90)
    assert isinstance(encoder, EncodedModel)
    found = encoder.classify(x)
    assert (found == labels).float().mean() > 0.8
    given, unsaid = encoder.latents(x, found), encoder.latents(x)
    alike = (given - unsaid).norm(dim=1) <= 0.05 * given.norm(dim=1)
    assert alike.float().mean() > 0.95  # bfloat16 may decide otherwise between two classes


def test_a_model_in_memory_is_left_as_it_was() -> None:
    model = generator(0.5)
    encoder = pi.train_encoder(model, steps=2, batch_size=4, pairs=64, net=MLP((8,)), device="cpu")
    assert encoder.generator is model
    assert all(p.requires_grad for p in model.parameters())


def test_what_is_done_to_generated_images_leaves_them_where_they_are() -> None:
    x = torch.rand(16, 3, 8, 8) * 2 - 1
    seen = noisy(x, 0.02)
    levels = (seen + 1) * 127.5
    assert (levels - levels.round()).abs().max() < 1e-3
    assert (seen - x).abs().max() < 0.12
    assert (noisy(x, 0.0) - x).abs().max() <= 1 / 255 + 1e-6


def test_a_moved_image_is_the_image_moved() -> None:
    x = torch.rand(8, 1, 8, 8)
    assert torch.equal(shifted(x, 0), x)
    for before, after in zip(x, shifted(x, 1), strict=True):
        inner = before[:, 1:-1, 1:-1]
        views = [after[:, i : i + 6, j : j + 6] for i in range(3) for j in range(3)]
        assert any(torch.equal(inner, view) for view in views)


def test_what_cannot_be_trained_is_refused() -> None:
    bare = pi.wrap(Nonlinear(0.1), data=DATA, space=LatentSpace((D,), {}))
    with pytest.raises(InputError, match="no known prior"):
        pi.encoder_training(bare)
    with pytest.raises(InputError, match="did you mean 'conv'"):
        pi.encoder_training(generator(), net="convv")
    with pytest.raises(InputError, match="refinements 0"):
        pi.encoder_training(generator(), refinements=0)
    with pytest.raises(InputError, match="learning_rate"):
        pi.encoder_training(generator(), lerning_rate=1e-3)
    with pytest.raises(InputError, match="without classes"):
        encoded(generator()).classify(torch.zeros(1, 1, 8, 8))
    other = pi.wrap(nn.Linear(6, 64), data=DATA, space=LatentSpace((6,)))
    with pytest.raises(InputError, match=r"latents \(4,\)"):
        EncodedModel(other, encoded(generator()).encoder)
