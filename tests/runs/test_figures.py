"""The figures of a run: in its own file, and for TensorBoard where that is asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import preimage as pi


class Recorder:
    """Stands for TensorBoard's writer, which is an extra: keeps what it is told."""

    made: list[Recorder]

    def __init__(self, log_dir: str):
        self.folder, self.closed = Path(log_dir), False
        self.scalars: list[tuple[str, float, int]] = []
        Recorder.made.append(self)

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        assert not self.closed
        self.scalars.append((tag, scalar_value, global_step))

    def close(self) -> None:
        self.closed = True


def test_tensorboard_is_told_what_the_run_writes_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Recorder.made = []
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Recorder
    monkeypatch.setitem(sys.modules, module.__name__, module)
    run = pi.train(
        "digits",
        recipe="vae-mlp",
        out=tmp_path / "run",
        steps=6,
        validations=2,
        device="cpu",
        tensorboard=True,
    )
    (writer,) = Recorder.made
    assert writer.closed
    assert writer.folder == run.path / "tensorboard"
    written = {
        (name, value, record["step"])
        for record in run.metrics()
        for name, value in record.items()
        if name not in ("step", "stage")
    }
    assert {"loss", "heldout_loss"} <= {name for name, *_ in written}
    assert set(writer.scalars) == written


def test_without_it_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(pi.InputError, match=r"--tensorboard needs an extra: .*\[tensorboard\]"):
        pi.training("digits", out=tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_a_misspelt_option_of_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pi.InputError, match=r"no option 'sise' of data; did you mean 'size'"):
        pi.training("digits", out=tmp_path / "run", data={"sise": 64})
    assert not (tmp_path / "run").exists()
