"""Options against learning by heart: one of each to train on, and no copies among samples."""

import shutil

import numpy as np
from PIL import Image


def test_duplicates_are_left_out_and_the_run_remembers(preimage, here):
    numbers = np.random.default_rng(0)
    (here / "photos").mkdir()
    for i in range(60):
        image = Image.fromarray(numbers.integers(0, 256, (8, 8), np.uint8))
        for copy in range(1 + i % 2):
            image.save(here / "photos" / f"{i}-{copy}.png")
    options = "train", "photos", "--recipe", "vae-mlp", "--steps", 4, "--validations", 1, "--json"
    once = preimage(*options, "--deduplicate", "--out", "once").json
    plain = preimage(*options, "--out", "plain").json
    assert once["data"]["options"]["deduplicate"]
    assert once["data"]["train"] < plain["data"]["train"]
    assert any("left out of training" in note for note in once["notes"])


def test_copies_are_refused_and_counted(preimage, vae):
    found = preimage("sample", vae, "-n", 4, "--no-copies", "--out", "sampled", "--json")
    assert found.status == 0
    assert found.json["copies_refused"] >= 0
    assert (
        preimage("sample", vae, "-n", 4, "--out", "plain", "--json").json["copies_refused"] is None
    )


def test_images_that_are_gone_cannot_be_watched(preimage, here):
    (here / "photos").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)):
        Image.fromarray(pixels).save(here / "photos" / f"{i}.png")
    preimage("train", "photos", "--recipe", "vae-mlp", "--steps", 2, "--out", "run")
    shutil.rmtree(here / "photos")
    found = preimage("sample", "run", "--no-copies", "--out", "sampled")
    assert found.status == 2
    assert "photos" in found.err
    assert not (here / "sampled").exists()
