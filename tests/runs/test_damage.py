"""Run folders that were damaged or tampered with: one line each, and nothing thrown away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import preimage as pi
from preimage.core import InputError
from preimage.runs.checkpoint import load_checkpoint, save_checkpoint
from preimage.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps."""
    out = tmp_path_factory.mktemp("damaged") / "run"
    pi.train("digits", recipe="vae-mlp", out=out, steps=4, validations=1, device="cpu")
    return out


@pytest.mark.parametrize("content", [b"../../x", b"\xff\xfe", b"00000009-0", b""])
def test_a_damaged_pointer_never_begins_again(run: Path, tmp_path: Path, content: bytes) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    kept = sorted(path.name for path in (copy / "checkpoints").iterdir())
    (copy / "checkpoints" / "last").write_bytes(content)
    with pytest.raises(InputError, match="names no checkpoint"):
        pi.resume(copy)
    assert sorted(path.name for path in (copy / "checkpoints").iterdir()) == kept


def test_a_lost_pointer_goes_on_from_the_latest_checkpoint(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "checkpoints" / "last").unlink()
    job = pi.resume(copy)
    assert job.finished
    assert (copy / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    "name", ["checkpoints", "samples", ".lock", "metrics.jsonl", "weights.safetensors"]
)
def test_training_does_not_write_through_links(run: Path, tmp_path: Path, name: str) -> None:
    copy, theirs = shutil.copytree(run, tmp_path / "run"), tmp_path / "theirs"
    (copy / name).rename(theirs)
    before = theirs.is_file() and theirs.read_bytes()
    (copy / name).symlink_to(theirs)
    with pytest.raises(InputError, match=f"{name} is a link"):
        pi.resume(copy)
    assert (theirs.is_file() and theirs.read_bytes()) == before


def test_training_prunes_checkpoints_alone(run: Path, tmp_path: Path) -> None:
    theirs, old = run / "checkpoints" / "thesis", run / "checkpoints" / "00000001-0"
    theirs.mkdir()
    old.mkdir()
    (state,) = (run / "checkpoints").glob("00000004-*")
    save_checkpoint(run / "checkpoints", 4, load_checkpoint(state), is_best=True)
    assert theirs.is_dir()
    assert not old.is_dir()
    theirs.rmdir()


MODEL = ("plan", "model")
HOSTILE = {
    "latent of 10¹³": ((*MODEL, "latent"), 10**13),
    "latent below zero": ((*MODEL, "latent"), -3),
    "latent of 10³⁰": ((*MODEL, "latent"), 10**30),
    "latent a word": ((*MODEL, "latent"), "many"),
    "widths": ((*MODEL, "net", "widths"), [10**12]),
    "shape": ((*MODEL, "data", "shape"), [1, 10**9, 10**9]),
    "no shape": ((*MODEL, "data", "shape"), []),
    "linear": ((*MODEL, "linear"), "no"),
    "stages": (("plan", "stages"), 5),
    "latent of 10⁹": ((*MODEL, "latent"), 10**9),
    "shape of words": ((*MODEL, "data", "shape"), [1, 8, "a"]),
    "another plan": (("plan",), {"type": "MLP", "widths": [1]}),
    "another model": (MODEL, {"type": "MLP", "widths": [1]}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_refused_in_one_line(run: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (*parents, last), value = HOSTILE[name]
    config = json.loads((copy / "config.json").read_text())
    place = config
    for parent in parents:
        place = place[parent]
    place[last] = value
    (copy / "config.json").write_text(json.dumps(config))
    for use in (pi.load, pi.resume, lambda run: pi.fitted("digits", Run.open(run))):
        with pytest.raises(InputError) as refused:
            use(copy)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"source": "digits", "options": [], "fingerprint": ""},
        {"source": "digits", "options": {"nope": 1}, "fingerprint": ""},
        {"source": "digits", "options": {"size": "x"}, "fingerprint": ""},
        {"source": "digits", "options": {"labels": 5}, "fingerprint": ""},
        {"source": "digits", "options": {}, "range": [5], "fingerprint": ""},
        {"source": "digits", "options": {}, "range": 5, "fingerprint": ""},
    ],
)
def test_hostile_facts_of_images_are_refused_in_one_line(
    run: Path, tmp_path: Path, data: object
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "data": data}))
    for use in (pi.resume, lambda run: pi.fitted("digits", Run.open(run))):
        with pytest.raises(InputError, match="no valid data") as refused:
            use(copy)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [("data", "source", 4), ("training", "seed", "x"), ("training", "colour", 1)],
)
def test_a_config_that_cannot_go_on(
    run: Path, tmp_path: Path, place: str, name: str, value: object
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    config[place][name] = value
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"{place}.{name}"):
        pi.resume(copy)


def test_a_config_without_a_recipe(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    del config["recipe"]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="no valid recipe"):
        pi.resume(copy)


def test_a_config_nested_without_end(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "config.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        pi.load(copy)


@pytest.mark.parametrize("content", ["{}", "[]"])
def test_a_broken_checkpoint_state(run: Path, tmp_path: Path, content: str) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (checkpoint,) = (copy / "checkpoints").glob("*-*")
    (checkpoint / "state.json").write_text(content)
    with pytest.raises(InputError, match="checkpoint"):
        pi.resume(copy)


def test_figures_that_are_not_ours_are_left_out(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    good = len(Run.open(copy).metrics())
    with (copy / "metrics.jsonl").open("ab") as file:
        file.write(b"[]\n\xff\xfe\n")
    assert len(Run.open(copy).metrics()) == good
