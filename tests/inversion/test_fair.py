"""What answers may not depend on: what was prepared before, and objects that are no more."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import preimage as pi
from preimage.core import ImageSpec, InputError, LatentModel, LatentSpace
from preimage.inversion import Inverter, Settings


class Wavy(nn.Module):
    """Two latents, folded: searches end in many places."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.randn(36, 2, generator=torch.Generator().manual_seed(0)))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.sin(3 * z @ self.W.T)


def model() -> LatentModel:
    return pi.wrap(Wavy(), data=ImageSpec(1, 6, 6), space=LatentSpace((2,)))


def images(n: int, seed: int) -> torch.Tensor:
    return 2 * torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(seed)) - 1


def test_fresh_images_are_searched_for_no_longer_than_those_of_the_calibration():
    """Else their errors would be smaller, and no p-value uniform."""
    ready, settings = Inverter(model()), Settings(steps=8, start="nearest")
    fresh = images(6, 1)
    before = ready.invert(fresh, settings=settings)
    for _ in ready.calibrating(images(20, 2), settings=settings):
        pass
    after = ready.invert(fresh, settings=settings)
    assert after.verdicts is not None
    assert torch.equal(before.z, after.z)


def test_functions_have_keys_of_their_own_though_they_come_to_lie_in_the_same_place():
    keys = {Settings.of(through=eval(f"lambda x: x[..., {i}:]")).key for i in range(6)}
    assert len(keys) == 6
    same = torch.tanh
    assert Settings.of(through=same).key == Settings.of(through=same).key


def test_latents_to_start_from_are_told_apart_by_what_they_are():
    z = torch.zeros(3, 2)
    assert Settings.of(start=z).key == Settings.of(start=z.clone()).key
    assert Settings.of(start=z).key != Settings.of(start=z + 1).key
    assert Settings.of(start=z).key != Settings.of(start=z.flatten()).key


def test_observations_that_are_no_images():
    def every_second(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, ::2]

    generator = model()
    z = 0.1 * torch.randn(4, 2, generator=torch.Generator().manual_seed(3))
    y = every_second(generator.decode(z)).detach()
    found = pi.invert(generator, y, through=every_second, start=z + 0.01)
    assert torch.allclose(found.z, z, atol=1e-3)
    with pytest.raises(InputError, match=r"give \(B, 18\)"):
        pi.invert(generator, y[:, 1:], through=every_second)
    with pytest.raises(InputError, match="as a tensor"):
        pi.invert(generator, "photos", through=every_second)
