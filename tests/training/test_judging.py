"""The best checkpoint is the one that the stated figure calls best."""

from __future__ import annotations

import pytest
import torch

import preimage as pi
from preimage.core import InputError
from preimage.training.judging import FIGURES


@pytest.mark.parametrize("name", FIGURES)
def test_the_best_checkpoint_is_best_by_the_stated_figure(name: str, tmp_path) -> None:
    job = pi.training(
        "digits", recipe="vae-mlp", steps=24, validations=4, best=name, out=tmp_path / "run"
    )
    seen: dict[int, float] = {}
    for step in job:
        if job.trainer.judge is not None and job.trainer.judge.key in step.metrics:
            seen[step.step] = step.metrics[job.trainer.judge.key]
    judge = job.trainer.judge
    assert judge is not None
    assert len(seen) == 5
    wanted = (max if FIGURES[name].higher else min)(seen.values())
    assert seen[job.trainer.best_step] == pytest.approx(wanted)
    kept = judge.value(pi.load(job.run.path))
    assert kept == pytest.approx(wanted, rel=1e-3, abs=1e-6)


def test_a_judge_takes_the_same_value_again_whatever_the_generator_of_torch(tmp_path) -> None:
    job = pi.training("digits", recipe="vae-mlp", steps=2, best="coverage", out=tmp_path / "run")
    judge = job.trainer.judge
    assert judge is not None
    first = judge.value(job.trainer.average)
    torch.manual_seed(7)
    assert judge.value(job.trainer.average) == first


def test_a_run_resumes_with_its_figure(tmp_path) -> None:
    out = tmp_path / "run"
    for _ in zip(
        pi.training("digits", recipe="vae-mlp", steps=20, best="coverage", out=out),
        range(6),
        strict=False,
    ):
        pass
    again = pi.resume(out)
    assert again.trainer.judge is not None
    assert again.trainer.judge.name == "coverage"


def test_what_cannot_judge_is_refused_before_anything_is_written(tmp_path) -> None:
    with pytest.raises(InputError, match=r"--best.*coverage"):
        pi.training("digits", recipe="vae-mlp", best="coverag", out=tmp_path / "a")
    with pytest.raises(InputError, match="no encoder"):
        pi.training("digits", recipe="gan-mlp", best="squared-error", out=tmp_path / "b")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_prefers_what_is_like_the_real_images(name: str) -> None:
    numbers = torch.Generator().manual_seed(0)
    real, other = torch.randn(2, 300, 8, generator=numbers)
    figure = FIGURES[name]
    if figure.reconstructions:
        other = real + 0.01 * other
    good, bad = figure.of(other, real), figure.of(other + 3, real)
    assert good > bad if figure.higher else good < bad


def test_narrow_samples_are_precise_and_wide_ones_recall() -> None:
    numbers = torch.Generator().manual_seed(0)
    real, other = torch.randn(2, 300, 2, generator=numbers)
    for scale, precise in ((0.1, True), (10.0, False)):
        precision, recall = (FIGURES[n].of(scale * other, real) for n in ("precision", "recall"))
        assert (precision > recall) == precise
