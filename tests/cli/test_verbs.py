"""What each verb does when all is well."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import preimage as pi

PREIMAGE = [sys.executable, "-m", "preimage"]


def test_train_sample_reconstruct(preimage, here: Path) -> None:
    trained = preimage(
        "train", "digits", "--recipe", "vae-mlp", "--steps", 20, "--latent", 5, "--set",
        "warmup=2", "--validations", 2, "--out", "run", "--json",
    )  # fmt: skip
    assert trained.status == 0
    assert trained.json["finished"]
    assert trained.json["step"] == trained.json["steps"] == 20
    assert "1797 images" in trained.err  # what was decided is said on the way

    drawn = preimage("sample", "run", "-n", 6, "--separate", "--out", "drawn", "--json").json
    assert drawn["prior"] == "normal"
    assert len(list((here / "drawn").glob("0*.png"))) == 6
    with np.load(drawn["latents"]) as arrays:
        assert arrays["latents"].shape == (6, 5)
    assert Image.open(drawn["sheet"]).width > 48

    made = preimage("reconstruct", "run", "drawn/00003.png", "--out", "made", "--json").json
    assert [image["name"] for image in made["images"]] == ["00003.png"]
    assert made["error"] == made["images"][0]["error"] < 1


def test_the_command_line_makes_what_python_makes(preimage, vae: Path, here: Path) -> None:
    preimage("sample", vae, "-n", 9, "--seed", 4, "--out", "drawn")
    with np.load(here / "drawn" / "latents.npz") as arrays:
        latents = arrays["latents"]
    assert np.array_equal(latents, pi.load(vae).space.sample(9, seed=4).numpy())


def test_sample_7_is_the_same_however_many(preimage, vae: Path, here: Path) -> None:
    preimage("sample", vae, "-n", 8, "--separate", "--out", "few")
    preimage("sample", vae, "-n", 20, "--separate", "--out", "many")
    assert (here / "few/00007.png").read_bytes() == (here / "many/00007.png").read_bytes()


def test_classes_of_a_conditional_model(preimage, cvae: Path, here: Path) -> None:
    preimage("sample", cvae, "-n", 4, "--label", "7", "--out", "sevens")
    with np.load(here / "sevens" / "latents.npz") as arrays:
        assert arrays["labels"].tolist() == [7] * 4
    assert preimage("reconstruct", cvae, "digits", "-n", 5, "--out", "made").status == 0


def test_models_side_by_side(preimage, vae: Path, gan: Path, here: Path) -> None:
    outcome = preimage("compare", vae, gan, "-n", 60, "--out", "both", "--json")
    assert outcome.json["scores"].keys() == {"vae-mlp", "gan-mlp", "real images"}
    assert "<img" in (here / "both" / "report.html").read_text()


def test_tables(preimage) -> None:
    recipes = preimage("recipes", "--json").json["recipes"]
    assert {recipe["name"] for recipe in recipes} == pi.recipes().keys()
    assert "Kingma" in preimage("recipes", "vae-mlp").out
    datasets = preimage("datasets", "--json").json["datasets"]
    assert {dataset["name"] for dataset in datasets} >= {"digits", "faces", "mnist", "cifar10"}


def test_the_plan_of_a_recipe(preimage) -> None:
    shown = preimage("recipes", "vae-gan", "--for", "digits")
    assert "stage 2, adversarial" in shown.out
    plan = preimage("recipes", "--for", "digits", "--json").json
    assert plan["reason"]
    assert plan["plan"]["stages"][0]["steps"] > 0


def test_the_cache_is_shown_and_cleared(preimage, here: Path) -> None:
    (here / "photos").mkdir()
    for i in range(3):
        Image.new("L", (8, 8), 60 * i).save(here / "photos" / f"{i}.png")
    pi.dataset(here / "photos")
    (entry,) = preimage("cache", "--json").json["entries"]
    assert entry["images"] == 3
    assert preimage("cache", "--clear", "--json").json["freed"] >= entry["bytes"]
    assert preimage("cache", "--json").json == {"entries": [], "bytes": 0}


def test_bad_files_are_reported_and_not_fatal(preimage, here: Path) -> None:
    (here / "photos").mkdir()
    for i in range(4):
        Image.new("L", (8, 8), 60 * i).save(here / "photos" / f"{i}.png")
    (here / "photos" / "broken.png").write_bytes(b"\x89PNG")
    outcome = preimage("train", "photos", "--recipe", "vae-mlp", "--steps", 2, "--out", "run")
    assert outcome.status == 0
    assert "broken.png" in outcome.err


@pytest.mark.parametrize(
    "command",
    [
        "arithmetic RUN photos --out out",
        "map RUN photos --out out",
        "restore RUN photos --from grey --starts 1 --no-calibration --out out",
        "compare RUN RUN --source photos --out out",
    ],
)
def test_a_bad_file_is_said_once(preimage, vae: Path, here: Path, command: str) -> None:
    folder = pi.save_images(pi.load(vae).sample(4, seed=3), here / "photos")
    (folder / "note.txt").write_text("no image")
    outcome = preimage(*(vae if word == "RUN" else word for word in command.split()))
    assert outcome.err.count("skipped note.txt: not an image") == 1


def test_a_name_cannot_steer_the_terminal(preimage, here: Path, vae: Path) -> None:
    (here / "photos").mkdir()
    name = "\x1b[2J\x9b31m\nnice\udcff.png"  # clears the screen, if it is printed as it stands
    Image.new("L", (8, 8), 60).save(here / "photos" / name)
    (here / "photos" / f"bad {name}").write_bytes(b"\x89PNG")
    outcome = preimage("reconstruct", vae, "photos", "--out", "made")
    assert outcome.status == 0
    printed = outcome.out + outcome.err
    assert printed.count(r"\u001b[2J\u009b31m") == 2
    assert r"\udcff.png" in printed
    assert not {"\x1b", "\x9b", "\udcff"} & set(printed)
    (image,) = preimage("reconstruct", vae, "photos", "--out", "made", "--json").json["images"]
    assert image["name"] == name
    assert r"\u001b" in preimage("train", "no\x1bwhere").err


def test_options_with_a_flag_and_without_and_two_sides_of_a_size(preimage, here: Path) -> None:
    options = ("--latent", 3, "--set", "warmup=200", "--size", "8x16", "--steps", 1)
    assert preimage("train", "digits", *options, "--out", "run").status == 0
    plan = json.loads((here / "run" / "config.json").read_text())["plan"]
    assert (plan["model"]["latent"], plan["stages"][0]["warmup"]) == (3, 200)
    assert plan["model"]["data"]["shape"] == [1, 8, 16]


def test_one_is_not_plural(preimage, here: Path) -> None:
    (here / "photos").mkdir()
    for i in range(4):
        Image.new("L", (8, 8), 60 * i).save(here / "photos" / f"{i}.png")
    (here / "photos" / "broken.png").write_bytes(b"\x89PNG")
    trained = preimage("train", "photos", "--recipe", "vae-mlp", "--steps", 1, "--out", "run")
    assert "1 file skipped" in trained.err
    assert "trained 1 step:" in trained.out
    assert preimage("sample", "run", "-n", 1).out.startswith("1 sample:")


def test_what_was_decided_names_the_option(preimage, here: Path) -> None:
    (here / "photos").mkdir()
    for i in range(4):
        pixels = np.full((20, 30), 900 * i, np.uint16)
        Image.fromarray(pixels).save(here / "photos" / f"{i}.png")
    outcome = preimage("train", "photos", "--recipe", "vae-mlp", "--steps", 1, "--out", "run")
    assert "--size" in outcome.err
    assert "--range" in outcome.err


def test_the_label_of_a_verb_is_explained_for_that_verb(preimage) -> None:
    drawn, made = (" ".join(preimage(v, "--help").out.split()) for v in ("sample", "reconstruct"))
    assert "unset, the classes in turn." in drawn
    assert "unset, each image's own." in made


def test_our_own_faults_say_so(preimage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("preimage.api.basics.datasets", broken)
    monkeypatch.setitem(pi.__dict__, "datasets", broken)
    outcome = preimage("datasets")
    assert outcome.status == 1
    assert outcome.out == ""
    assert "our fault" in outcome.err.splitlines()[-1]
    assert "ZeroDivisionError: a bug" in outcome.err


def test_version_and_help(preimage) -> None:
    assert preimage("--version").out == f"preimage {pi.__version__}\n"
    assert preimage().out == preimage("--help").out


# --- in a process of its own ---


def test_help_loads_no_heavy_library() -> None:
    program = (
        "import sys; from preimage.cli.main import run; run(['train', '--help']);"
        "heavy = {'torch', 'numpy', 'matplotlib', 'sklearn', 'PIL', 'scipy'} & sys.modules.keys();"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away_is_fine() -> None:
    program = f"{sys.executable} -m preimage train --help | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", program], capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_resume_goes_on(sent: signal.Signals, here: Path) -> None:
    train = [*PREIMAGE, "train", "digits", "--recipe", "vae-mlp", "--validations", "20"]
    train += ["--steps", "300", "--device", "cpu"]
    subprocess.run([*train, "--out", "whole"], check=True, capture_output=True)
    process = subprocess.Popen(
        [*train, "--out", "stopped"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if re.match(r"step [1-9]", line):
            break
    process.send_signal(sent)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + sent
    assert re.search(r"stopped at step \d+ of 300; .*preimage train --resume stopped", out)
    subprocess.run([*PREIMAGE, "train", "--resume", "stopped"], check=True, capture_output=True)
    whole, stopped = (
        load_file(here / name / "weights.safetensors") for name in ("whole", "stopped")
    )
    assert all((whole[name] == stopped[name]).all() for name in whole)


def test_an_interrupt_before_training_is_quiet(here: Path) -> None:
    program = (
        "import preimage as pi; from preimage.cli.main import run; import sys\n"
        "def interrupted(): raise KeyboardInterrupt\n"
        "pi.datasets = interrupted\n"
        "sys.exit(run(['datasets']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
