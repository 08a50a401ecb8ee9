"""Private training as it is typed: what it promises, what it refuses, and how it goes on."""

import json
import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from safetensors.torch import load_file

import preimage as pi

installed = pytest.mark.skipif(find_spec("opacus") is None, reason="needs the extra 'private'")
SHORT = "--steps", 4, "--validations", 2, "--device", "cpu"


@installed
def test_the_promise_is_printed_recorded_and_repeated(preimage, here):
    plain = "train", "digits", "--recipe", "vae-mlp", "--private", 4, *SHORT
    said = preimage(*plain, "--set", "noise_multiplier=1.5", "--out", "run").out
    assert "private, ε = " in said
    assert "with any one of the 1,617 training images left out" in said
    assert "share weights.safetensors" in said
    config = json.loads((here / "run" / "config.json").read_text())
    (stage,) = config["plan"]["stages"]
    assert stage["type"] == "PrivateLikelihood"
    assert (stage["epsilon"], stage["steps"], stage["max_grad_norm"]) == (4.0, 4, 1.0)
    assert stage["delta"] == pytest.approx(1 / 16170)
    assert stage["noise_multiplier"] == 1.5
    assert stage["sample_rate"] == pytest.approx(stage["batch_size"] / 1617)
    last = [line for line in pi.Run.open(here / "run").metrics() if "epsilon" in line][-1]
    assert 0 < last["epsilon"] <= 4
    assert not [p for p in (here / "run").rglob("state.json") if "secret" in p.read_text()]
    report = pi.evaluate(here / "run", metrics=("reconstruction",), n=100)
    assert any("The run is private, ε = 4" in note for note in report.notes)


@installed
def test_options_reach_the_run_and_json_has_the_promise(preimage, here):
    asked = "--delta", 1e-6, "--max-grad-norm", 0.5, "--json"
    found = preimage("train", "digits", "--private", 8, *asked, *SHORT, "--out", "run").json
    assert found["recipe"] == "vae-mlp"
    assert found["private"]["epsilon"] <= 8
    assert found["private"]["delta"] == 1e-6
    assert found["private"]["images"] == 1617
    (stage,) = pi.Run.open(here / "run").plan.stages
    assert stage.max_grad_norm == 0.5


@installed
def test_a_private_run_goes_on_exactly(here):
    options = {"private": 8, "noise_multiplier": 1.0, "device": "cpu", "validations": 4}
    job = pi.training("digits", steps=8, out="run", **options)
    for step in job:
        if step.step == 4:
            job.stop()
    assert not job.finished
    shutil.copytree("run", "again")
    ends = []
    for name in ("run", "again"):
        for _ in pi.resume(name):
            pass
        ends.append(load_file(here / name / "weights.safetensors"))
    assert all((ends[0][name] == ends[1][name]).all() for name in ends[0])


@installed
def test_a_private_run_does_not_go_on_at_another_price(preimage, here):
    options = {"noise_multiplier": 1.0, "device": "cpu"}
    job = pi.training("digits", steps=8, out="run", private=8, **options)
    for step in job:
        if step.step == 2:
            job.stop()
    config = json.loads((here / "run" / "config.json").read_text())
    config["plan"]["stages"][0]["epsilon"] = 20.0
    (here / "run" / "config.json").write_text(json.dumps(config))
    found = preimage("train", "--resume", "run")
    assert found.status == 2
    assert "epsilon=8" in found.err
    assert "20" in found.err


@installed
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--private", 0), "epsilon=0 (--private)"),
        (("--private", -1), "epsilon=-1 (--private)"),
        (("--private", "nan"), "epsilon=nan (--private)"),
        (("--private", 100), "epsilon=100 (--private)"),
        (("--private", 8, "--delta", 0.5), "delta=0.5"),
        (("--private", 8, "--delta", 0), "delta=0"),
        (("--private", 8, "--max-grad-norm", 0), "max_grad_norm=0"),
        (("--private", 8, "--best", "frechet"), "'frechet' (--best)"),
        (("--private", 8, "--recipe", "gan"), "recipe 'gan' cannot hide its images"),
        (("--private", 8, "--recipe", "vae-pca"), "stands on principal axes"),
        (("--private", 8, "--set", "linear=true"), "linear starts from"),
        (("--private", 8, "--likelihood", "learned-sigma"), "learned-sigma"),
        (("--delta", 1e-5), "give --private EPSILON"),
    ],
)
def test_what_cannot_be_private_is_said_in_one_line(preimage, here, options, said):
    found = preimage("train", "digits", *options, *SHORT, "--out", "run")
    assert found.status == 2
    assert said in found.err
    assert len(found.err.strip().splitlines()) == 1
    assert not (here / "run").exists()


@installed
def test_a_range_that_would_be_read_off_the_images_is_refused(preimage, here):
    numbers = np.random.default_rng(0)
    np.save(here / "deep.npy", numbers.integers(0, 5000, (120, 8, 8)).astype(np.uint16))
    train = "train", "deep.npy", "--private", 8, *SHORT
    found = preimage(*train, "--out", "run")
    assert found.status == 2
    assert "--range LOW,HIGH" in found.err
    assert not (here / "run").exists()
    assert preimage(*train, "--range", "0,65535", "--out", "run").status == 0


def test_without_the_extra_a_line_says_what_to_install(preimage, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus", None)
    found = preimage("train", "digits", "--private", 8, *SHORT, "--out", "run")
    assert found.status == 2
    assert "pip install 'preimage[private]'" in found.err
    assert len(found.err.strip().splitlines()) == 1
    assert not (here / "run").exists()
