"""`preimage sample --method`: what it writes, what it keeps, and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import preimage as pi
from preimage.runs.files import read_json, write_json
from preimage.runs.ratios import FILE, load_ratio, save_ratio


@pytest.fixture
def run(gan: Path, tmp_path: Path) -> Path:
    """A GAN that is hardly trained, in a folder of its own."""
    return Path(shutil.copytree(gan, tmp_path / "run"))


def test_a_method_writes_samples_and_keeps_the_ratio(preimage, run: Path, here: Path) -> None:
    asked = ("--method", "metropolis-hastings", "--set", "steps=3", "--json")
    first = preimage("sample", run, "-n", 5, "--out", "a", *asked).json
    assert first["decodes"] == 5  # three steps, the start, and the image itself
    kept = (run / FILE).read_bytes()
    preimage("sample", run, "-n", 3, "--out", "b", *asked)
    assert (run / FILE).read_bytes() == kept
    many, few = (np.load(here / name / "latents.npz")["latents"] for name in ("a", "b"))
    assert np.array_equal(many[:3], few)


def test_a_ratio_of_other_weights_or_broken_is_fitted_anew(run: Path) -> None:
    ratio = pi.density_ratio(run)
    (path,) = run.glob(FILE)
    belongs = {"weights": "another", "prior": "normal", "seed": "0"}
    save_ratio(run, ratio, **belongs)
    assert load_ratio(run, weights="these", prior="normal", seed="0") is None
    assert load_ratio(run, **belongs) is not None
    save_ratio(run, replace(ratio, sampled=ratio.sampled[:0]), **belongs)
    assert load_ratio(run, **belongs) is None
    save_ratio(run, ratio, **belongs)
    assert pi.density_ratio(run).ridge == ratio.ridge
    path.write_bytes(path.read_bytes()[:100])
    assert np.allclose(pi.density_ratio(run).weights, ratio.weights, atol=1e-5)


def test_a_vae_with_its_own_prior_and_a_conditional_one(preimage, vae: Path, cvae: Path) -> None:
    for run, more in ((vae, ()), (cvae, ("--label", "7"))):
        asked = ("-n", 4, "--out", run.name, "--set", "steps=2", "--json", *more)
        found = preimage("sample", run, "--method", "langevin", *asked)
        assert found.status == 0, found.err
        assert found.json["decodes"] == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "rejecton"), "did you mean 'rejection'?"),
        (("--method", "langevin", "--set", "stepsize=1"), "did you mean 'step_size'?"),
        (("--method", "rejection", "--strength", "-1"), "strength=-1"),
        (("--strength", "1"), "go with a method"),
        (("--method", "rejection", "--truncation", "0.5"), "leave them out"),
        (("--method", "rejection", "--real", "nowhere"), "nowhere"),
        (("--method", "rejection", "--label", "7"), "without classes"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(
    preimage, gan: Path, here: Path, options: tuple[str, ...], said: str
) -> None:
    found = preimage("sample", gan, "--out", "drawn", *options)
    assert found.status == 2
    assert said in " ".join(found.err.split())
    assert not (here / "drawn").exists()


def test_a_run_whose_images_are_gone_says_so(preimage, run: Path) -> None:
    config = read_json(run / "config.json")
    config["data"]["source"] = "/gone/photos"
    write_json(run / "config.json", config)
    found = preimage("sample", run, "--method", "rejection")
    assert found.status == 2
    assert "/gone/photos" in found.err
    assert "--real" in found.err
    assert preimage("sample", run, "--method", "rejection", "--real", "digits").status == 0
