"""Encoders beside their run, and tunings in a file: whole, and of one model only."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import preimage as pi
from preimage.core import InputError
from preimage.nets import MLP

STEPS = 6
OPTIONS = {
    "net": MLP((16,)),
    "refinements": 2,
    "steps": STEPS,
    "batch_size": 8,
    "pairs": 128,
    "validations": 2,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a GAN, hardly trained."""
    out = tmp_path_factory.mktemp("generators") / "gan"
    pi.train("digits", recipe="gan-mlp", out=out, steps=4, validations=1, device="cpu")
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def begun(run: Path, **options: object) -> pi.Training:
    job = pi.encoder_training(run, device="cpu", **{**OPTIONS, **options})
    assert isinstance(job, pi.Training)
    return job


def finished(job: pi.Training) -> dict[str, torch.Tensor]:
    for _ in job:
        pass
    return job.trainer.average.state_dict()


def test_an_encoder_is_saved_with_its_run_and_found_again(run: Path) -> None:
    assert not pi.has_encoder(run)
    weights = finished(begun(run))
    assert pi.has_encoder(run)
    model = pi.load_encoder(run)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    x = pi.dataset("digits").batch(range(5))
    made = pi.reconstruct(model, x)  # a GAN that encodes
    assert torch.equal(made.latents, model.encode(x).mean.detach())


@pytest.mark.slow
@pytest.mark.parametrize("generated", [False, True])
def test_training_cut_short_ends_as_if_it_had_not_been(
    run: Path, tmp_path: Path, generated: bool
) -> None:
    whole = shutil.copytree(run, tmp_path / "whole")
    undisturbed = finished(begun(whole, generated=generated))
    for step in begun(run, generated=generated):
        if step.step >= 4:
            break
    resumed = finished(pi.resume_encoder(run))
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)


def test_an_encoder_of_other_weights_is_refused(run: Path, tmp_path: Path) -> None:
    finished(begun(run))
    other = tmp_path / "other"
    pi.train("digits", recipe="gan-mlp", out=other, steps=2, validations=1, device="cpu", seed=1)
    shutil.copytree(run / "encoder", other / "encoder")
    for attempt in (pi.load_encoder, pi.resume_encoder):
        with pytest.raises(InputError, match=r"other weights.*--replace"):
            attempt(other)


def test_an_encoder_is_not_overwritten_by_chance(run: Path) -> None:
    finished(begun(run))
    before = (run / "encoder/weights.safetensors").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        begun(run)
    with pytest.raises(InputError, match="no net"):
        begun(run, net="nothing", replace=True)
    assert (run / "encoder/weights.safetensors").read_bytes() == before
    finished(begun(run, replace=True, seed=1))
    assert (run / "encoder/weights.safetensors").read_bytes() != before


@pytest.mark.parametrize(
    "option",
    [
        {"batch_size": 0},
        {"pairs": 0},
        {"pairs": 1},
        {"learning_rate": 0.0},
        {"ema": 7.0},
        {"betas": [0.9, 1.0]},
        *({name: -1} for name in ("shift", "noise", "clip", "image", "latent", "warmup")),
    ],
)
def test_an_option_nothing_can_be_trained_with_costs_no_encoder(
    run: Path, option: dict[str, object]
) -> None:
    (run / "encoder").mkdir()
    (run / "encoder/weights.safetensors").write_bytes(b"good ones")
    (name, _) = next(iter(option.items()))
    with pytest.raises(InputError, match=f"^{name}=.* is not possible; give"):
        begun(run, replace=True, **option)
    assert (run / "encoder/weights.safetensors").read_bytes() == b"good ones"


def test_what_is_missing_or_damaged_is_named(run: Path) -> None:
    with pytest.raises(InputError, match="has no encoder; train one with: preimage encoder"):
        pi.load_encoder(run)
    begun(run)  # and killed at once
    with pytest.raises(InputError, match="no weights yet"):
        pi.load_encoder(run)
    finished(pi.resume_encoder(run))
    config = run / "encoder/config.json"
    facts = json.loads(config.read_text())
    facts["plan"]["model"]["net"]["widths"] = [9, 9]
    config.write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"does not fit.*; train it again with: .* --replace"):
        pi.load_encoder(run)
    weights = run / "encoder/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(
        InputError, match=r"is broken.*; train it again with: preimage encoder .* --replace"
    ):
        pi.load_encoder(run)


def test_a_tuning_is_found_again_and_is_small(run: Path, tmp_path: Path) -> None:
    model = pi.load(run)
    z = model.space.sample(2)
    images = torch.rand(2, *model.data.shape) * 2 - 1
    difference = pi.tune(model, images, z, steps=5)
    path = pi.save_difference(difference, tmp_path / "tuning.safetensors")
    again = pi.load_difference(path)
    assert again.fingerprint == difference.fingerprint
    assert torch.equal(
        pi.tuned(pi.load(run), again).decode(z), pi.tuned(model, difference).decode(z)
    )
    generator = sum(p.numel() for p in model.generator.parameters())
    assert path.stat().st_size < 2 * generator + 4096


def test_a_file_that_is_no_tuning_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        pi.load_difference(tmp_path / "nothing")
    with pytest.raises(InputError, match="which model"):
        pi.load_difference(run / "weights.safetensors")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match="is broken"):
        pi.load_difference(tmp_path / "text")
