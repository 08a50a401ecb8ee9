"""What is made ready for images that a generator cannot draw, and when."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import preimage as pi
from preimage.inversion.inverter import Inverter
from preimage.inversion.settings import Settings


class Doubled(torch.autograd.Function):
    """2 x, with a derivative backwards only, written as older operators are."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class OnlyBackwards(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return Doubled.apply(self.net(z) / 2)


def test_a_generator_without_forward_derivatives_is_made_ready_all_the_same() -> None:
    model = pi.wrap(OnlyBackwards(), data=pi.ImageSpec(1, 4, 4), space=pi.LatentSpace((3,)))
    ready = Inverter(model)
    x = model.sample(4, seed=1)
    assert Inverter.invert(ready, x, settings=Settings(loss="l1", steps=20)).error.isfinite().all()
    stages = [step.stage for step in ready.prepare(Settings())]
    assert ready.curvature is None
    assert "average Jacobians" in stages
    assert "average Jacobians" not in [step.stage for step in ready.prepare(Settings())]


def test_rough_starts_are_made_for_the_squared_error_alone() -> None:
    model = pi.wrap(
        nn.Sequential(nn.Linear(3, 16), nn.Tanh()),
        data=pi.ImageSpec(1, 4, 4),
        space=pi.LatentSpace((3,)),
    )
    ready = Inverter(model)
    for settings in (Settings(loss="huber"), Settings(prior="l2"), Settings(start="mean")):
        for _ in ready.prepare(settings):
            pass
        assert ready.curvature is None
    for _ in ready.prepare(Settings()):
        pass
    assert ready.curvature is not None
    assert ready.curvature.shape == (3, 3)
