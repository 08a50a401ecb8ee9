"""Wrong input gets one line that names it and the mend, status 2, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file


def assert_refused(outcome, *words: str) -> None:
    assert outcome.status == 2, outcome.err
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.startswith("preimage: ")
    for word in words:
        assert word in outcome.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("trian", ["'trian'", "'train'"]),
        ("train digits --recip x", ["'--recip'", "'--recipe'"]),
        ("train", ["SOURCE"]),
        ("train digit", ["'digit'", "'digits'"]),
        ("train nowhere/at/all", ["nowhere/at/all"]),
        ("train digits --recipe vaegan", ["'vaegan'", "'vae-gan'"]),
        ("train digits --latent many", ["--latent"]),
        ("train digits --latent 0", ["latent"]),
        ("train digits --recipe gan --beta 2", ["'beta'"]),
        ("train digits --likelihood gausian", ["'gausian'", "gaussian"]),
        ("train digits --learning-rate -1", ["learning_rate"]),
        ("train digits --set lattent=3", ["'lattent'", "'latent'"]),
        ("train digits --set latent", ["--set", "key=value"]),
        ("train digits --set latent=[1]", ["latent"]),
        ("train digits --set betas=[1,2]", ["betas"]),
        ("train digits --set seed=3", ["--seed"]),
        ("train digits --steps 3 --minutes 1", ["--steps", "--minutes"]),
        ("train digits --steps 0", ["--steps"]),
        ("train digits --minutes 0", ["--minutes"]),
        ("train digits --minutes nan", ["--minutes nan is no length; give more than 0"]),
        ("train digits --minutes inf", ["--minutes inf"]),
        ("train digits --size 33", ["33", "32"]),
        ("train digits --size big", ["--size", "32x64"]),
        ("train digits --channels 2", ["2"]),
        ("train digits --fit crp", ["'crp'", "'crop'"]),
        ("train digits --background blurple", ["'blurple'"]),
        ("train digits --range 3,1", ["range"]),
        ("train digits --device abacus", ["'abacus'", "--device"]),
        ("train digits --precision fp7", ["'fp7'"]),
        ("train faces:64 --recipe cvae", ["class"]),
        ("train faces:64 --recipe vae-mlp --conditional", ["class"]),
        ("train --resume nowhere", ["nowhere"]),
        ("train --resume nowhere --steps 9", ["--steps"]),
        ("train digits --resume nowhere", ["SOURCE"]),
        ("sample", ["RUN"]),
        ("sample nowhere", ["nowhere"]),
        ("sample nowhere -n 0", ["-n"]),
        ("sample nowhere --truncation -1", ["--truncation"]),
        ("reconstruct nowhere digits", ["nowhere"]),
        ("compare digits --recipes vae-mlp", ["--recipes"]),
        ("compare digits --recipes vae-mlp,nope --steps 2", ["'nope'"]),
        ("compare faces:64 --recipes vae-mlp,cvae --steps 2", ["class"]),
        ("compare digits --recipes vae-mlp,gan-mlp --minutes nan", ["--minutes nan"]),
        ("compare nowhere", ["nowhere"]),
        ("compare nowhere elsewhere", ["nowhere"]),
        ("recipes vaegan", ["'vae-gan'"]),
        ("recipes gan --for nowhere", ["nowhere"]),
        ("cache --downloads", ["--clear"]),
        ("--verson", ["--version"]),
    ],
)
def test_a_command_that_cannot_be_carried_out(
    preimage, here: Path, command: str, words: list[str]
) -> None:
    assert_refused(preimage(*command.split()), *words)
    assert not list(here.iterdir())


def test_a_folder_that_exists(preimage, here: Path) -> None:
    (here / "out").mkdir()
    (here / "out" / "thesis.tex").write_text("years of work")
    assert_refused(preimage("train", "digits", "--out", "out", "--steps", 3), "out", "--resume")
    assert [path.name for path in (here / "out").iterdir()] == ["thesis.tex"]


def test_an_out_that_cannot_be_written(preimage, here: Path) -> None:
    (here / "file").write_text("")
    assert_refused(preimage("train", "digits", "--out", "file/run", "--steps", 3), "file/run")


def test_a_folder_without_an_image(preimage, here: Path) -> None:
    (here / "notes").mkdir()
    (here / "notes" / "a.txt").write_text("no image")
    (here / "notes" / "b.png").write_bytes(b"\x89PNG broken")
    assert_refused(preimage("train", "notes", "--out", "run"), "notes")
    assert not (here / "run").exists()


def test_arrays_that_hold_pickled_objects(preimage, here: Path) -> None:
    np.savez(here / "bad.npz", images=np.array([{"a": 1}], dtype=object))
    assert_refused(preimage("train", "bad.npz", "--out", "run"), "bad.npz")
    assert not (here / "run").exists()


def png_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 99).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_zip_that_climbs_out(preimage, here: Path) -> None:
    with zipfile.ZipFile(here / "bad.zip", "w") as archive:
        archive.writestr("../../escaped.png", png_bytes())
    assert_refused(preimage("train", "bad.zip", "--out", "run"), "bad.zip")
    assert not list(here.parent.rglob("escaped.png"))
    assert not (here / "run").exists()


def test_a_tar_that_climbs_out(preimage, here: Path) -> None:
    with tarfile.open(here / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("../escaped.png")
        member.size = len(png_bytes())
        archive.addfile(member, io.BytesIO(png_bytes()))
    assert_refused(preimage("train", "bad.tar", "--out", "run"), "bad.tar")
    assert not list(here.parent.rglob("escaped.png"))


def test_labels_that_do_not_match(preimage, here: Path) -> None:
    (here / "photos").mkdir()
    for i in range(4):
        Image.new("L", (8, 8), 60 * i).save(here / "photos" / f"{i}.png")
    (here / "labels.csv").write_text("file,label\nother.png,cat\n")
    outcome = preimage("train", "photos", "--labels", "labels.csv", "--out", "run", "--steps", 3)
    assert_refused(outcome, "labels.csv")
    assert not (here / "run").exists()


# --- runs that are not what they should be ---


@pytest.fixture
def copy(vae: Path, here: Path) -> Path:
    """A run that a test may damage."""
    shutil.copytree(vae, here / "run")
    return here / "run"


def edited(run: Path, **facts: object) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, **facts}))


COMMANDS = [("sample",), ("reconstruct",), ("train", "--resume")]


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("damage", ["no config", "half a config", "no format", "newer", "unknown"])
def test_a_folder_that_is_no_usable_run(preimage, copy: Path, verb, damage: str) -> None:
    config = copy / "config.json"
    match damage:
        case "no config":
            config.unlink()
        case "half a config":
            config.write_text(config.read_text()[:200])
        case "no format":
            config.write_text("{}")
        case "newer":
            edited(copy, format=99, preimage="9.0")
        case "unknown":
            plan = json.loads(config.read_text())["plan"]
            edited(copy, plan={**plan, "model": {**plan["model"], "wisdom": 3}})
    images = ["digits"] if verb == ("reconstruct",) else []
    assert_refused(preimage(*verb, copy, *images), "run")


def test_weights_that_do_not_fit(preimage, copy: Path) -> None:
    weights = {
        name: tensor.clone() for name, tensor in load_file(copy / "weights.safetensors").items()
    }
    weights.pop(sorted(weights)[0])
    save_file(weights, copy / "weights.safetensors")
    assert_refused(preimage("sample", copy), "weights.safetensors", "does not fit")


def test_weights_that_are_broken(preimage, copy: Path) -> None:
    (copy / "weights.safetensors").write_bytes(b"half")
    assert_refused(preimage("sample", copy), "weights.safetensors")


def test_a_checkpoint_that_is_broken(preimage, copy: Path) -> None:
    last = copy / "checkpoints" / (copy / "checkpoints" / "last").read_text()
    (last / "state.safetensors").write_bytes(b"half")
    assert_refused(preimage("train", "--resume", copy), "checkpoint")


def test_weights_that_never_came(preimage, copy: Path) -> None:
    (copy / "weights.safetensors").unlink()
    assert_refused(preimage("sample", copy), "--resume")


def test_what_a_model_cannot_do(preimage, vae: Path, gan: Path, cvae: Path, here: Path) -> None:
    assert_refused(preimage("reconstruct", gan, "digits", "--out", "o"), "encoder")
    assert_refused(preimage("sample", vae, "--label", "3", "--out", "o"), "classes")
    assert_refused(preimage("sample", cvae, "--label", "seven", "--out", "o"), "'seven'")
    assert_refused(preimage("sample", vae, "--prior", "norml", "--out", "o"), "'normal'")
    assert_refused(preimage("reconstruct", cvae, "faces:40", "--out", "o"), "--label")
    assert not list(here.iterdir())
