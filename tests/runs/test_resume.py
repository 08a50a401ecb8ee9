"""A run that was cut short anywhere ends as if it had not been, to the last bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

import preimage as pi

RECIPES = ["vae-gan", "dcgan"]  # two stages, a mixture and a critic; batch norm and a convolution
SLOW_RECIPES = sorted(pi.recipes().keys() - {*RECIPES})
STEPS = 12


def begun(recipe: str, out: Path) -> pi.Training:
    return pi.training(
        "digits", recipe=recipe, out=out, steps=STEPS, validations=2, device="cpu", batch_size=16
    )


def cut(job: pi.Training, step: int) -> None:
    """Leave a run after so many steps as a kill would: nothing is saved, nothing is closed."""
    for done in job:
        if done.step >= step and done.stage != "stage over":
            return


def finished(job: pi.Training) -> dict[str, torch.Tensor]:
    for _ in job:
        pass
    return load(job.run.weights.read_bytes())


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize(
    "recipe", [*RECIPES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_RECIPES)]
)
def test_a_run_cut_twice_ends_as_an_undisturbed_one(recipe: str, tmp_path: Path) -> None:
    undisturbed = finished(begun(recipe, tmp_path / "whole"))
    job = begun(recipe, tmp_path / "cut")
    cut(job, 4)
    del job  # and with it the lock
    job = pi.resume(tmp_path / "cut")
    cut(job, 8)
    del job
    assert_equal(finished(pi.resume(tmp_path / "cut")), undisturbed)


def test_figures_of_a_cut_run_are_those_of_an_undisturbed_one(tmp_path: Path) -> None:
    finished(begun("vae-gan", tmp_path / "whole"))
    job = begun("vae-gan", tmp_path / "cut")
    cut(job, 7)
    del job
    resumed = pi.resume(tmp_path / "cut")
    finished(resumed)
    assert resumed.run.metrics() == pi.Run.open(tmp_path / "whole").metrics()


def test_a_soft_stop_saves_the_step_it_stopped_at(tmp_path: Path) -> None:
    undisturbed = finished(begun("vae-gan", tmp_path / "whole"))
    job = begun("vae-gan", tmp_path / "stopped")
    for step in job:
        if step.step == 5:
            job.stop()
    assert job.done == 5
    assert not job.finished
    del job
    job = pi.resume(tmp_path / "stopped")
    assert job.done == 5
    assert_equal(finished(job), undisturbed)


def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    undisturbed = finished(begun("vae-mlp", tmp_path / "whole"))
    job = begun("vae-mlp", tmp_path / "new")
    del job
    with pytest.raises(pi.InputError, match="no weights yet"):
        pi.load(tmp_path / "new")
    assert_equal(finished(pi.resume(tmp_path / "new")), undisturbed)


def test_a_kill_between_the_last_checkpoint_and_its_weights_is_mended(tmp_path: Path) -> None:
    job = begun("vae-mlp", tmp_path / "run")
    for step in job:
        if step.step == 6 and step.previews:
            old = (tmp_path / "run" / "weights.safetensors").read_bytes()
    del job
    final = load((tmp_path / "run" / "weights.safetensors").read_bytes())
    (tmp_path / "run" / "weights.safetensors").write_bytes(old)
    assert_equal(finished(pi.resume(tmp_path / "run")), final)


def test_what_a_kill_left_half_written_is_swept(tmp_path: Path) -> None:
    job = begun("vae-mlp", tmp_path / "run")
    cut(job, 7)
    del job
    run = tmp_path / "run"
    (run / ".weights.safetensors.123.part").write_bytes(b"half")
    (run / "checkpoints" / ".00000009-0.123.part").mkdir()
    finished(pi.resume(run))
    assert not list(run.rglob("*.part"))


def test_resuming_on_other_images_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(40):
        Image.new("L", (8, 8), i * 6).save(photos / f"{i}.png")
    options = {"recipe": "vae-mlp", "out": tmp_path / "run", "steps": 4, "device": "cpu"}
    job = pi.training(photos, **options)
    cut(job, 1)
    del job
    Image.new("L", (8, 8), 255).save(photos / "another.png")
    with pytest.raises(pi.InputError, match="have changed"):
        pi.resume(tmp_path / "run")


def test_two_processes_cannot_train_one_run(tmp_path: Path) -> None:
    job = begun("vae-mlp", tmp_path / "run")
    with pytest.raises(pi.InputError, match="another process"):
        pi.resume(job.run.path)


def test_a_moved_run_resumes(tmp_path: Path) -> None:
    job = begun("vae-mlp", tmp_path / "here")
    cut(job, 7)
    del job
    shutil.move(tmp_path / "here", tmp_path / "there")
    finished(pi.resume(tmp_path / "there"))
