"""What inversion prepared for a run is taken again for the same weights, and for no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import preimage as pi
from preimage.inversion import Inverter, Settings
from preimage.inversion.cascade import Cascade, fit
from preimage.inversion.learned_cascade import LearnedCascade
from preimage.inversion.learned_cascade_training import learning
from preimage.inversion.operators import Downsample
from preimage.runs.preparations import FILE, load_preparations, save_preparations
from preimage.runs.run import Run


def ready(scale: float) -> Inverter:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 16), nn.Tanh())
    with torch.no_grad():
        net[0].weight.mul_(scale)
    model = pi.wrap(net, data=pi.ImageSpec(1, 4, 4), space=pi.LatentSpace((3,)))
    return Inverter(model)


def teach(inverter: Inverter) -> None:
    """Give it a cascade that was learned for a moment, one that came to nothing, a longer one."""
    ridge = inverter.cascades["Identity"]
    *_, made = learning(inverter.model, replace(ridge, errors=torch.ones(1)), pairs=256, steps=4)
    assert isinstance(made, LearnedCascade)
    longer = fit(inverter.model, Downsample(2), pairs=256, stages=7)
    inverter.thorough |= {"Identity": made, "Grey": None, "Downsample": longer}


def test_preparations_belong_to_the_weights_they_were_made_for(tmp_path: Path) -> None:
    run, made, settings = Run(tmp_path, {}), ready(1.0), Settings(steps=5)
    for _ in made.calibrating(made.model.sample(20, seed=1), settings=settings):
        pass
    teach(made)
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

    assert again.thorough["Grey"] is None
    kept = again.thorough["Downsample"]
    assert isinstance(kept, Cascade)
    assert len(kept.maps) == 7
    settings = Settings(cascade="thorough")
    assert torch.allclose(
        made.invert(x, settings=settings).start, again.invert(x, settings=settings).start
    )

    other = ready(2.0)
    assert not load_preparations(run, other)
    assert not other.cascades
    assert not other.thorough
    assert other.curvature is None
    assert not other.calibrations


def test_what_others_kept_meanwhile_is_not_lost(tmp_path: Path) -> None:
    run, one, two = Run(tmp_path, {}), ready(1.0), ready(1.0)
    for inverter in (one, two):
        for _ in inverter.prepare(Settings()):
            pass
    teach(one)
    save_preparations(run, one)
    save_preparations(run, two)
    again = ready(1.0)
    assert load_preparations(run, again)
    assert again.thorough.keys() == one.thorough.keys()
    assert again.curvature is not None


DAMAGES: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "maps of fewer numbers": ("cascade.0.maps", lambda maps: maps[..., :2]),
    "maps that are not finite": ("cascade.0.maps", lambda maps: maps * torch.nan),
    "values of no observation": ("cascade.0.values", lambda values: values - 1),
    "a link there is not": ("cascade.0.settings", lambda settings: settings + 50),
    "means of other classes": ("cascade.1.means", lambda means: means.repeat(2, 1)),
    "nets of fewer latents": ("thorough.0.nets.W", lambda W: W[:, :2]),
    "nets that are not finite": ("thorough.0.nets.V", lambda V: V / 0),
    "maps of doubles": ("cascade.0.maps", lambda maps: maps.double()),
    "values in rows": ("cascade.0.values", lambda values: values[None]),
    "components of bytes": ("thorough.0.basis", lambda basis: basis.to(torch.uint8)),
    "components of eight bits": ("thorough.0.basis", lambda basis: basis.to(torch.float8_e4m3fn)),
    "no errors": ("thorough.0.errors", lambda errors: errors[:0]),
    "a longer cascade of other latents": ("thorough.2.maps", lambda maps: maps[..., :2]),
    "components of other features": ("thorough.0.basis", lambda basis: basis[1:]),
    "a smaller curvature": ("curvature", lambda curvature: curvature[:2, :2]),
    "a curvature that is not finite": ("curvature", lambda curvature: curvature / 0),
    "no recovery": ("calibration.0.recovery", lambda recovery: recovery[:0]),
    "no held-out errors": ("calibration.0.heldout", lambda heldout: heldout[:0]),
    "held-out errors that are none": ("calibration.0.heldout", lambda heldout: heldout * torch.nan),
    "held-out errors in disorder": ("calibration.0.heldout", lambda heldout: heldout.flip(0)),
    "no noise": ("calibration.0.noise", lambda noise: noise * 0),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What the file of preparations holds: tensors and metadata."""
    folder, made = tmp_path_factory.mktemp("prepared"), ready(1.0)
    for _ in made.calibrating(made.model.sample(20, seed=1), settings=Settings(steps=2)):
        pass
    teach(made)
    save_preparations(Run(folder, {}), made)
    with safe_open(folder / FILE, framework="pt") as file:
        return load_file(folder / FILE), file.metadata()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_preparations_are_made_anew(tmp_path: Path, kept, damage: str) -> None:
    (tmp_path / FILE).parent.mkdir()
    tensors, metadata = kept
    save_file(tensors, tmp_path / FILE, metadata=metadata)
    assert load_preparations(Run(tmp_path, {}), ready(1.0))

    name, change = DAMAGES[damage]
    damaged = tensors | {name: change(tensors[name]).contiguous()}
    save_file(damaged, tmp_path / FILE, metadata=metadata)
    again = ready(1.0)
    assert not load_preparations(Run(tmp_path, {}), again)
    assert not again.cascades
    assert not again.thorough
    assert again.curvature is None
    assert not again.calibrations
