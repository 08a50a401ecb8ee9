"""A disk that refuses: one clear line, and the last checkpoint whole."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

import preimage as pi
from preimage.core import InputError
from preimage.runs import files
from preimage.runs.checkpoint import load_checkpoint, pointed
from preimage.runs.files import check_makeable


def small(out: Path, **options) -> pi.Training:
    return pi.training(
        "digits", recipe="vae-mlp", out=out, steps=9, validations=3, device="cpu", **options
    )


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = small(tmp_path / "run")
    steps = iter(job)
    while next(steps).step < 4:
        pass
    before = pointed(job.run.checkpoints, "last")
    weights = job.run.weights.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(pi.InputError, match="disk is full") as caught:
            for _ in steps:
                pass
    assert "\n" not in str(caught.value)
    assert pointed(job.run.checkpoints, "last") == before
    assert before is not None
    load_checkpoint(before)
    assert job.run.weights.read_bytes() == weights
    assert not list((tmp_path / "run").rglob("*.part"))
    del job, steps, caught
    for _ in (resumed := pi.resume(tmp_path / "run")):
        pass
    assert resumed.finished


def test_a_file_larger_than_the_system_allows(tmp_path: Path) -> None:
    """A real refusal, in the middle of a real write."""
    job = small(tmp_path / "run")
    steps = iter(job)
    while next(steps).step < 4:
        pass
    before = pointed(job.run.checkpoints, "last")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(pi.InputError, match="cannot write"):
            for _ in steps:
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert before is not None
    assert pointed(job.run.checkpoints, "last") == before
    load_checkpoint(before)
    assert pi.load(tmp_path / "run").data.shape == (1, 8, 8)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(pi.InputError, match="no permission; choose another folder"):
        small(tmp_path / "closed" / "run")


def test_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(pi.InputError, match="cannot write"):
        small(tmp_path / "file" / "run")
    assert not list(tmp_path.rglob("*.part"))


def test_a_refused_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(pi.InputError, match="disk is full"):
        small(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_be_made_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "a/b/c", tmp_path / "there", tmp_path / "there/d"):
        check_makeable(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*; choose another folder with --out"):
        check_makeable(tmp_path / "file/in/out")
    assert {path.name for path in tmp_path.rglob("*")} == {"there", "file"}
