"""What inversion prepared for a run is taken again for the same weights, and for no others."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import preimage as pi
from preimage.inversion import Inverter, Settings
from preimage.runs.preparations import load_preparations, save_preparations
from preimage.runs.run import Run


def ready(scale: float) -> Inverter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 16), nn.Tanh())
    with torch.no_grad():
        net[0].weight.mul_(scale)
    model = pi.wrap(net, data=pi.ImageSpec(1, 4, 4), space=pi.LatentSpace((3,)))
    return Inverter(model)


def test_preparations_belong_to_the_weights_they_were_made_for(tmp_path: Path) -> None:
    run, made, settings = Run(tmp_path, {}), ready(1.0), Settings(steps=5)
    for _ in made.calibrating(made.model.sample(20, seed=1), settings=settings):
        pass
    save_preparations(run, made)

    again = ready(1.0)
    assert load_preparations(run, again)
    assert again.cascades.keys() == made.cascades.keys()
    assert made.curvature is not None
    assert again.curvature is not None
    assert torch.equal(made.curvature, again.curvature)
    (mine,), (kept,) = made.calibrations.values(), again.calibrations.values()
    assert torch.equal(mine.heldout, kept.heldout)
    x = made.model.sample(3, seed=2)
    assert torch.allclose(made.invert(x).z, again.invert(x).z, atol=1e-5)

    other = ready(2.0)
    assert not load_preparations(run, other)
    assert not other.cascades
    assert other.curvature is None
    assert not other.calibrations
