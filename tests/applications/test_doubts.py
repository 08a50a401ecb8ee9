"""Restorations that are not to be trusted, of a model about which everything is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.applications.discrepancy import Discrepancy
from preimage.applications.doubts import doubts
from preimage.applications.restoration import Restored, Restorer

SIDE, d = 8, 4
SEEN = torch.ones(SIDE, SIDE)
SEEN[2:6, 2:6] = 0


@pytest.fixture(scope="module")
def worker() -> Restorer:
    """Of a linear model that leaves a tenth."""
    random = torch.Generator().manual_seed(3)
    net = nn.Sequential(nn.Linear(d, SIDE**2), nn.Unflatten(1, (1, SIDE, SIDE)))
    with torch.no_grad():
        net[0].weight.copy_(0.2 * torch.randn(SIDE**2, d, generator=random))
        net[0].bias.zero_()
    model = pi.wrap(net, data=pi.ImageSpec(1, SIDE, SIDE), space=pi.LatentSpace((d,)))
    left = Discrepancy.none(SIDE**2, 0.1)
    return Restorer(pi.inverter(model), left, starts=2)


@pytest.fixture(scope="module")
def images(worker: Restorer) -> Tensor:
    """Six like the model's own, and six like none of them."""
    random = torch.Generator().manual_seed(5)
    own = worker.ready.model.sample(6, seed=1)
    far = torch.rand(own.shape, generator=random) * 2 - 1
    return torch.cat([own + 0.1 * torch.randn(own.shape, generator=random), far])


@pytest.mark.parametrize(
    "through", [pi.Mask(SEEN), pi.Mask(SEEN / 2), pi.Noise(0.1)], ids=["mask", "soft", "noise"]
)
def test_what_is_far_from_all_that_the_model_knows_is_mistrusted(worker, images, through) -> None:
    y = through(images)
    found = worker.restore(y, through)
    with torch.no_grad():
        drawn = worker.ready.model.decode(found.z[:, 0])  # not clipped
    error = (through(drawn) - y).square().flatten(1).sum(1)
    values = SEEN.sum() if isinstance(through, pi.Mask) else SIDE**2
    usual = 0.01 + getattr(through, "noise", 0.0) ** 2
    assert found.misfit is not None
    assert torch.allclose(found.misfit, (error / values / usual).sqrt(), rtol=1e-3)
    assert ((found.misfit[:6] - 1).abs() < 0.5).all()
    said = doubts(found)
    assert said[:6] == (None,) * 6
    assert all(one is not None and "far from what the model knows" in one for one in said[6:])


def test_what_the_model_leaves_open_is_mistrusted(worker, images) -> None:
    found = worker.restore(pi.Mask(SEEN)(images[:2]), pi.Mask(SEEN))
    wide = found.uncertainty.clone()
    wide[1] = 1.2 * (SEEN == 0)  # only of what was hidden: what is known says nothing
    said = doubts(replace(found, uncertainty=wide))
    assert said[0] is None
    assert "left open" in str(said[1])


def test_an_image_in_doubt_is_named_among_the_notes(worker, images) -> None:
    def noted(found: Restored) -> list[str]:
        return [note.split()[0] for note in found.notes]

    some = images[[0, 7, 2, 8]].clamp(-1, 1)
    filled = pi.inpaint(worker, some, mask=SEEN == 0, calibration=False)
    assert noted(filled) == ["1", "3"]
    assert noted(pi.restore(worker, some, through=pi.Noise(0.1), calibration=False)) == ["1", "3"]
