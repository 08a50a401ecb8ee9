"""A run finds its images again, as they were: read alike, and with the same of them held out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import preimage as pi
from preimage.api import basics


@pytest.fixture(autouse=True)
def here(working_folder: Path) -> Path:
    return working_folder


def picture(seed: int, top: int = 256) -> np.ndarray:
    """(8, 8), unlike that of any other seed."""
    kind = np.uint8 if top <= 256 else np.uint16
    return np.random.default_rng(seed).integers(0, top, (8, 8)).astype(kind)


def photos(name: str | bytes = "photos", seeds=range(40), top: int = 256) -> Path:
    folder = Path(os.fsdecode(name))
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        Image.fromarray(picture(seed, top)).save(folder / f"{seed:03d}.png")
    return folder


def trained(source: Path | str, recipe: str = "ae", **options) -> pi.Run:
    options = {"steps": 2, "validations": 1, "device": "cpu", "out": "run", **options}
    return pi.train(source, recipe=recipe, **options)


def heldout(data: pi.Dataset) -> set[str]:
    return {data.names[i] for i in data.heldout}


def test_what_was_held_out_stays_so_without_the_cache() -> None:
    pi.dataset(photos(seeds=range(25)))  # these sides are remembered, and new images join them
    photos(seeds=range(25, 40))
    job = pi.training("photos", recipe="ae", steps=2, validations=1, out="run", device="cpu")
    first, run = heldout(job.trainer.data), job.run
    pi.clear_cache()
    assert heldout(pi.dataset("photos")) != first
    assert heldout(basics.run_dataset(run)) == first
    del job
    assert heldout(pi.resume("run").trainer.data) == first
    photos(seeds=range(40, 60))
    grown = heldout(basics.run_dataset(run))
    assert {name for name in grown if int(name[:3]) < 40} == first


def test_sides_that_are_not_ours_are_one_line() -> None:
    run = trained(photos())
    run.split_path.write_text('{"train": [5]}')
    with pytest.raises(pi.InputError, match=r"split\.json is broken"):
        basics.run_dataset(run)


def test_a_colour_image_among_grey_ones_is_read_as_they_are() -> None:
    run = trained(photos())
    Image.new("RGB", (16, 16), "red").save("photos/red.png")
    assert basics.run_dataset(run).spec == run.plan.model.data
    with pytest.raises(pi.InputError, match="have changed"):
        pi.resume("run")


def test_a_brighter_image_does_not_darken_the_others() -> None:
    run = trained(photos(top=4096))
    before = basics.run_dataset(run)
    Image.fromarray(picture(99, 65536)).save("photos/bright.png")
    after = basics.run_dataset(run)
    assert after.value_range == before.value_range
    assert np.array_equal(after.images[:40], before.images)


def test_a_set_s_name_means_the_set_though_a_folder_is_called_so() -> None:
    photos("digits")
    job = pi.training("digits", recipe="ae", steps=2, out="run", device="cpu")
    assert job.run.config["data"]["source"] == "digits"
    assert "digits is the data set of that name; ./digits is what lies here." in job.notes
    del job
    assert len(pi.resume("run").trainer.data) == 1797
    assert trained("./digits", out="other").config["data"]["source"].endswith("/here/digits")


def labelled(shift: int) -> None:
    lines = (f"{i:03d}.png,{'ab'[(i >> shift) % 2]}\n" for i in range(40))
    Path("labels.csv").write_text("file,label\n" + "".join(lines))


def test_other_labels_are_other_data(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    labelled(0)
    trained(photos(), "cvae", data={"labels": "~/labels.csv"})
    assert pi.resume("run").finished
    labelled(1)
    with pytest.raises(pi.InputError, match=r"labels of .* have changed"):
        pi.resume("run")


def test_labels_that_a_model_is_not_told_may_change() -> None:
    labelled(0)
    trained(photos(), data={"labels": "labels.csv"})
    labelled(1)
    assert pi.resume("run").finished


def test_a_run_among_its_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos())
    run = trained(".", out=None)
    assert run.path == Path("runs/photos-ae")
    assert pi.resume(run.path).finished
    assert len(pi.dataset(".")) == 40


def test_names_that_are_not_unicode() -> None:
    run = trained(photos(b"gr\xfcn"))
    assert os.fsencode(pi.Run.open("run").config["data"]["source"]).endswith(b"gr\xfcn")
    del run
    assert pi.resume("run").finished


def test_images_beside_those_of_one_side() -> None:
    photos()
    for side, files in (("train", range(30)), ("test", range(30, 40))):
        folder = Path("photos", side)
        folder.mkdir()
        for i in files:
            Path("photos", f"{i:03d}.png").rename(folder / f"{i}.png")
    run = trained("photos", data={"split": "train"})
    assert len(basics.run_dataset(run)) == 30
    assert len(pi.fitted(photos("others"), run)) == 40


def test_images_that_are_gone() -> None:
    run = trained(photos())
    shutil.move("photos", "elsewhere")
    with pytest.raises(pi.InputError, match=r"run was trained on .*/photos, which is gone; put it"):
        basics.run_dataset(run)
    assert len(pi.fitted("elsewhere", run)) == 40
