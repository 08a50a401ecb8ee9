"""`preimage encoder`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import preimage as pi

SHORT = ("--steps", 4, "--refinements", 2, "--set", "batch_size=8", "--set", "pairs=128")


@pytest.mark.slow
def test_train_and_go_on(preimage, gan: Path, here: Path) -> None:
    shutil.copytree(gan, here / "run")
    outcome = preimage("encoder", "run", *SHORT, "--net", "mlp", "--json")
    assert outcome.status == 0
    assert outcome.json["finished"]
    assert outcome.json["step"] == outcome.json["steps"] == 4
    assert outcome.json["figures"]["heldout_loss"] > 0
    assert "ridge regression" in outcome.err
    assert pi.load_encoder(here / "run").can("encode")

    again = preimage("encoder", "run", *SHORT)
    assert again.status == 2
    assert "--resume" in again.err
    assert "--replace" in again.err
    assert preimage("encoder", "run", "--resume", "--json").json["finished"]
    alone = preimage("encoder", "run", "--resume", "--steps", 8)
    assert alone.status == 2
    assert "--steps" in alone.err


def test_generated_images_alone(preimage, gan: Path, here: Path) -> None:
    shutil.copytree(gan, here / "run")
    outcome = preimage("encoder", "run", *SHORT, "--net", "mlp", "--generated", "--json")
    assert outcome.json["data"]["source"] == "generated"
    assert "stand in for real ones" in outcome.err
    refused = preimage("reconstruct", gan, "digits", "-n", 4, "--out", "seen")
    assert (refused.status, "preimage encoder" in refused.err) == (2, True)
    made = preimage("reconstruct", "run", "digits", "-n", 4, "--out", "seen", "--json")
    assert (made.status, len(made.json["images"])) == (0, 4)


def test_bad_input_is_one_line(preimage, gan: Path, here: Path) -> None:
    shutil.copytree(gan, here / "run")
    for arguments, word in [
        (("encoder", "nowhere"), "nowhere"),
        (("encoder", "run", "--net", "cnov"), "conv"),
        (("encoder", "run", "--set", "latents=3"), "latent"),
        (("encoder", "run", "--set", "steps=0"), "use --steps"),
        (("encoder", "run", "--source", "nothing-there"), "nothing-there"),
        (("encoder", "run", "--minutes", "nan"), "--minutes nan is no length"),
        (("encoder", "run", "--generated", "--source", "digits"), "leave out --source"),
        (("encoder", "run", "--resume"), "no encoder"),
    ]:
        outcome = preimage(*arguments)
        assert outcome.status == 2
        assert word in outcome.err.splitlines()[-1]
    assert not (here / "run/encoder").exists()
