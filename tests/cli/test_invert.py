"""`preimage invert`: what it leaves behind, and how it goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import preimage as pi
from preimage.inversion import thorough


@pytest.fixture
def photos(vae: Path, here: Path) -> Path:
    """Five images of the model's own, as files."""
    return pi.save_images(pi.load(vae).sample(5, seed=3), here / "photos")


def test_it_finds_what_python_finds_and_writes_it_down(preimage, vae, photos, here: Path) -> None:
    done = preimage("invert", vae, photos, "--out", "found", "--calibration", 0, "--json")
    assert done.status == 0, done.err
    model = pi.load(vae)
    found = pi.invert(model, photos)
    with np.load(here / "found/latents.npz") as arrays:
        assert np.allclose(arrays["latents"], found.z.numpy(), atol=1e-4)
    assert torch.allclose(
        load_file(here / "found/latents.safetensors")["latents"], found.z, atol=1e-4
    )
    rows = json.loads((here / "found/inversion.json").read_text())["images"]
    assert [row["name"] for row in rows] == [f"{i:05d}.png" for i in range(5)]
    assert [row["error"] for row in rows] == pytest.approx(found.error.tolist(), rel=1e-2, abs=1e-9)
    assert done.json["images"] == rows
    for picture in ("sheet.png", "trace.png"):
        assert Image.open(here / "found" / picture).width > 100


def test_a_verdict_is_calibrated_once_and_kept_with_the_run(preimage, vae, photos, here) -> None:
    run = here / "run"
    shutil.copytree(vae, run)
    first = preimage(
        "invert", run, photos, "--out", "a", "--calibration", 40, "--steps", 5, "--json"
    )
    assert all("verdict" in row and 0 < row["p_value"] <= 1 for row in first.json["images"])
    kept = run / "inversion/prepared.safetensors"
    written = kept.stat().st_mtime_ns
    second = preimage(
        "invert", run, photos, "--out", "b", "--calibration", 30, "--steps", 5, "--json"
    )
    assert kept.stat().st_mtime_ns == written
    assert [r["p_value"] for r in second.json["images"]] == [
        r["p_value"] for r in first.json["images"]
    ]
    silent = preimage(
        "invert", run, photos, "--out", "d", "--calibration", 0, "--steps", 5, "--json"
    )
    assert not any("verdict" in row for row in silent.json["images"])
    assert kept.stat().st_mtime_ns == written
    more = preimage("invert", run, photos, "--out", "e", "--calibration", 50, "--steps", 5)
    assert more.status == 0
    assert kept.stat().st_mtime_ns > written
    kept.write_bytes(b"broken")  # as after a crash of something else: it is made anew
    assert (
        preimage("invert", run, photos, "--out", "c", "--steps", 5, "--calibration", 40).status == 0
    )


def test_a_stopped_inversion_goes_on_where_it_was(preimage, vae, photos, here: Path) -> None:
    options = ["--calibration", 0, "--batch-size", 2]
    whole = preimage("invert", vae, photos, "--out", "whole", *options, "--json")
    preimage("invert", vae, photos, "--out", "part", *options)
    parts = sorted((here / "part/parts").iterdir())
    parts[1].unlink()  # as if it had been killed after the first batch
    parts[2].unlink()
    again = preimage("invert", vae, photos, "--out", "part", "--resume", *options, "--json")
    assert again.status == 0, again.err
    assert [row["name"] for row in again.json["images"]] == [
        row["name"] for row in whole.json["images"]
    ]
    a, b = (load_file(here / name / "latents.safetensors")["latents"] for name in ("whole", "part"))
    assert torch.allclose(a, b, atol=1e-5)


def test_ctrl_c_keeps_what_is_done(preimage, vae, photos, here: Path, monkeypatch) -> None:
    from preimage.inversion import Inverting

    iterate = Inverting.__iter__

    def interrupted(self):
        for step in iterate(self):
            yield step
            if step.stage == "invert" and step.step >= 2:
                self.stop()

    monkeypatch.setattr(Inverting, "__iter__", interrupted)
    options = ["--out", "found", "--calibration", 0, "--batch-size", 2]
    stopped = preimage("invert", vae, photos, *options)
    assert "--resume" in stopped.out
    some = json.loads((here / "found/inversion.json").read_text())
    assert 0 < len(some["images"]) < 5
    assert (some["asked"], some["finished"]) == (5, False)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    done = preimage("invert", vae, photos, *options, "--resume", "--json")
    assert len(done.json["images"]) == 5
    assert (done.json["asked"], done.json["finished"]) == (5, True)


def test_what_a_mask_hides_is_filled_from_the_model(preimage, vae, photos, here: Path) -> None:
    mask = np.full((8, 8), 255, np.uint8)
    mask[:, :3] = 0
    Image.fromarray(mask).save(here / "mask.png")
    options = ["--through", "mask=mask.png", "--out", "found"]
    done = preimage("invert", vae, photos, *options, "--json")
    assert done.status == 0, done.err
    found = load_file(here / "found/latents.safetensors")
    assert (found["error"] < 1e-3).all()
    Image.fromarray(mask.T.copy()).save(here / "mask.png")  # another mask under the same name
    mixed = preimage("invert", vae, photos, *options, "--resume")
    assert mixed.status == 2
    assert "other content in --through mask=mask.png; give the same" in mixed.err


def test_it_is_said_how_images_were_fitted(preimage, vae, here: Path) -> None:
    folder = here / "photos"
    folder.mkdir()
    for name, mode in (("colour", "RGB"), ("clear", "LA")):
        Image.new(mode, (20, 12)).save(folder / f"{name}.png")
    done = preimage("invert", vae, folder, "--out", "found", "--calibration", 0)
    assert done.status == 0, done.err
    for note in (
        "Images of 20×12 are fitted to 8×8.",
        "Images with transparency are laid on the background.",
        "Images with colour channels are made grey.",
    ):
        assert note in done.err
    Image.new("L", (8, 8)).save(here / "fits.png")
    assert "Images" not in preimage("invert", vae, here / "fits.png", "--out", "one").err


def test_files_that_cannot_be_used_are_named_and_left_out(preimage, vae, photos, here) -> None:
    (photos / "note.txt").write_text("no image")
    options = ["--calibration", 0, "--steps", 2]
    done = preimage("invert", vae, photos, "--out", "found", *options)
    assert done.status == 0, done.err
    assert done.err.count("skipped note.txt: not an image") == 1
    found = json.loads((here / "found/inversion.json").read_text())
    assert found["skipped"] == [{"name": "note.txt", "reason": "not an image"}]
    assert (found["asked"], found["finished"]) == (5, True)
    with pytest.warns(UserWarning, match=r"skipped note\.txt: not an image"):
        pi.latents(vae, photos)


def test_what_was_asked_for_is_shown_and_nothing_else(preimage, vae, photos, here) -> None:
    plain = preimage("invert", vae, photos, "--out", "a", "--calibration", 0, "-n", 2)
    assert plain.out.split()[:3] == ["error", "search", "image"]
    assert "· invert · error " in plain.err
    assert not any(line.endswith("· ") for line in plain.err.splitlines())
    options = ["--posterior", "--restarts", 1, "--calibration", 0, "-n", 1, "--out", "b"]
    asked = preimage("invert", vae, photos, *options)
    (row,) = json.loads((here / "b/inversion.json").read_text())["images"]
    assert f"00000.png: {row['solutions']}\n00000.png: {row['undetermined']}" in asked.out


def test_small_images_need_be_of_no_size_that_a_net_takes(preimage, vae, here: Path) -> None:
    small = pi.save_images(pi.Downsample(2)(pi.load(vae).sample(5, seed=3)), here / "small")
    done = preimage("invert", vae, small, "--through", "downsample=2", "--out", "found", "--json")
    assert done.status == 0, done.err
    found = load_file(here / "found/latents.safetensors")
    assert (found["error"] < 1e-3).all()


def test_a_learned_encoder_is_where_the_search_begins(preimage, gan, here: Path) -> None:
    run = here / "run"
    shutil.copytree(gan, run)
    photos = pi.save_images(pi.load(run).sample(3, seed=5), here / "photos")
    assert preimage("encoder", run, "--steps", 10).status == 0
    done = preimage(
        "invert", run, photos, "--method", "encoder", "--out", "found", "--calibration", 0, "--json"
    )
    assert done.status == 0, done.err
    assert {row["iterations"] for row in done.json["images"]} == {0}


def test_a_thorough_cascade_is_made_once_and_kept_with_the_run(
    preimage, vae, photos, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = here / "run"
    shutil.copytree(vae, run)
    options = ["--calibration", 0, "--steps", 5, "--json"]
    assert preimage("invert", run, photos, "--out", "quick", *options).status == 0
    for name, value in {"PAIRS": 128, "STAGES": 3, "MISSED": -1.0, "WORTH": 9.0}.items():
        monkeypatch.setattr(thorough, name, value)
    options += ["--cascade", "thorough"]
    first = preimage("invert", run, photos, "--out", "first", *options)
    assert first.status == 0, first.err
    monkeypatch.setattr("preimage.inversion.inverter.preparing", None)  # not needed again
    again = preimage("invert", run, photos, "--out", "again", *options)
    assert again.status == 0, again.err
    assert again.json["images"] == first.json["images"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "lm"], "no method 'lm'"),
        (["--loss", "l3"], "no loss 'l3'"),
        (["--loss", "l2=much"], "no number"),
        (["--through", "smear=2"], "no 'smear'"),
        (["--through", "blur=wide"], "'wide' is no number"),
        (["--through", "mask=none.png"], "none.png"),
        (["--through", "mask=photos"], "--through mask=photos: photos cannot be used: Is a dir"),
        (["--through", "mask=wrong.png"], "a mask of 5×7 pixels; give one of 8×8"),
        (["--through", "mask=white.png"], "the mask is white, so nothing is hidden"),
        (["--through", "downsample=2", "--through", "mask=seen.png"], "8×8 pixels; give one of 4"),
        (["--through", "grey=2"], "--through grey=2: grey takes no value"),
        (["--through", "downsample=2.5"], "of 8×8 images; give a whole number, 2 to 8"),
        (["--through", "downsample=16"], "--through downsample=16: of 8×8 images; give a whole"),
        (["--through", "downsample=inf"], "of 8×8 images; give a whole number, 2 to 8"),
        (["--through", "downsample="], "'' is no number"),
        (["--label", "3"], "without classes"),
        (["--resume"], "no inversion to resume"),
        (["--cascade", "thorogh"], "did you mean 'thorough'"),
        (["--cascade", "thorough", "--start", "mean"], "a thorough cascade goes with"),
        (["--start", "encodr"], "did you mean 'encoder'"),
        (["--loss", "l1", "--method", "gauss-newton"], "no sum of squares"),
        (["--through", "downsample=2", "--method", "encoder"], "sees whole images only"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_and_nothing_is_written(
    preimage, vae: Path, photos: Path, here: Path, options: list[str], message: str
) -> None:
    for name, shape, value in (("wrong", (7, 5), 9), ("white", (8, 8), 255), ("seen", (8, 8), 9)):
        Image.fromarray(np.full(shape, value, np.uint8)).save(here / f"{name}.png")
    done = preimage("invert", vae, photos, "--out", "found", "--calibration", 0, *options)
    assert done.status == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (here / "found").exists()


def test_a_folder_of_other_options_is_not_gone_on_with(preimage, vae, photos, here) -> None:
    preimage("invert", vae, photos, "--out", "found", "--calibration", 0)
    taken = preimage("invert", vae, photos, "--out", "found", "--calibration", 0)
    assert taken.status == 2
    assert "exists already" in taken.err
    other = preimage(
        "invert", vae, photos, "--out", "found", "--calibration", 0, "--resume", "--loss", "l1"
    )
    assert other.status == 2
    assert "loss" in other.err


def test_what_is_done_can_be_resumed_to_no_effect(preimage, vae, photos, here: Path) -> None:
    options = ["invert", vae, photos, "--out", "found", "--calibration", 0, "--json"]
    done = preimage(*options)
    again = preimage(*options, "--resume")
    assert again.status == 0, again.err
    assert again.json["images"] == done.json["images"]


def test_other_images_and_calibrations_are_not_gone_on_with(preimage, vae, photos, here) -> None:
    options = ["invert", vae, photos, "--out", "found"]
    preimage(*options, "--calibration", 0, "-n", 2)
    refused = preimage(*options, "--calibration", 20, "--resume")
    assert (refused.status, "calibration = 0, not 20" in refused.err) == (2, True)
    pi.save_images(pi.load(vae).sample(5, seed=4), photos)  # as many, under the same names
    refused = preimage(*options, "--calibration", 0, "--resume")
    assert (refused.status, "begun with images = 5," in refused.err) == (2, True)


@pytest.mark.parametrize("written", ['{"format": "x"}', "[]", "{}", "no JSON"])
def test_a_broken_folder_is_refused_in_a_line(preimage, vae, photos, here, written: str) -> None:
    (here / "found").mkdir()
    (here / "found/settings.json").write_text(written)
    done = preimage("invert", vae, photos, "--out", "found", "--calibration", 0, "--resume")
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1


def test_given_starts_are_no_procedure_that_a_verdict_could_be_held_against(vae, photos) -> None:
    found = pi.invert(str(vae), str(photos), start=torch.zeros(5, 20), steps=3)
    assert found.verdicts is None
