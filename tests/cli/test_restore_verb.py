"""`preimage restore` and `preimage inpaint`: what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preimage.runs.restoring import FiledInpainting

CLASSICAL = ("--mask", "box:1,1,3,3", "--method", "mean")


@pytest.fixture
def photos(here: Path) -> Path:
    folder = here / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (8, 8)), ("b.jpg", (24, 20))):
        Image.fromarray(rng.integers(60, 200, (*size[::-1], 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def mask(here: Path) -> Path:
    values = np.zeros((8, 8), np.uint8)
    values[2:5, 3:6] = 255
    Image.fromarray(values).save(here / "mask.png")
    return here / "mask.png"


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_photographs_are_filled_at_their_own_size(preimage, vae, photos, mask, here) -> None:
    done = preimage(
        "inpaint", vae, photos, "--mask", mask, "-n", 2, "--starts", 2, "--out", "out", "--json"
    )
    assert done.status == 0, done.err
    assert [row["name"] for row in done.json["images"]] == ["a.png", "b.jpg"]
    for row in done.json["images"]:
        assert len(row["files"]) == 2
        assert row["scores"][0] == 0
        assert Path(row["uncertainty"]).is_file()
    before, after = pixels(photos / "b.jpg"), pixels(here / "out/filled/b.jpg.png")
    assert before.shape == after.shape
    same = (before == after).all(2)
    assert not same[:, :6].all() or same[:, :4].all()
    assert same[:4].all()  # above the mask
    assert same[15:].all()  # and below
    assert json.loads((here / "out/inpaint.json").read_text())["mask"] == str(mask)
    assert (here / "out/sheet.png").is_file()
    arrays = np.load(here / "out/restored.npz")
    assert arrays["images"].shape[0] == 2


def test_a_folder_of_masks_serves_each_photograph(preimage, vae, photos, here) -> None:
    (here / "masks").mkdir()
    for name, size in (("a.png", (8, 8)), ("b.png", (24, 20))):
        values = np.zeros(size[::-1], np.uint8)
        values[5:7, 3:6] = 255
        Image.fromarray(values).save(here / "masks" / name)
    done = preimage(
        "inpaint", vae, photos, "--mask", here / "masks", "--method", "biharmonic", "--out", "out",
        "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert [row["filled"] for row in done.json["images"]] == [6, 6]
    known = np.ones((20, 24), bool)
    known[5:7, 3:6] = False
    before, after = pixels(photos / "b.jpg"), pixels(done.json["images"][1]["file"])
    assert np.array_equal(before[known], after[known])


def test_masks_are_found_by_their_whole_names(preimage, vae, here) -> None:
    names = ("a[1].png", "x/b.png", "y/b.png")
    for k, name in enumerate(names):
        for folder in ("photos", "masks"):
            (here / folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(here / "photos" / name)
        values = np.zeros((8, 8), np.uint8)
        values[: k + 1, 0] = 255
        Image.fromarray(values).save((here / "masks" / name).with_suffix(".tif"))
    done = preimage(
        "inpaint", vae, "photos", "--mask", "masks", "--method", "mean", "--out", "out", "--json"
    )
    assert done.status == 0, done.err
    assert {row["name"]: row["filled"] for row in done.json["images"]} == dict(
        zip(names, (1, 2, 3), strict=True)
    )


def test_a_filling_takes_no_other_photographs_name(preimage, vae, mask, here) -> None:
    (here / "photos").mkdir()
    for name in ("a.png", "a-2.png"):
        Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(here / "photos" / name)
    done = preimage(
        "inpaint", vae, "photos", "--mask", mask, "-n", 2, "--starts", 1, "--no-calibration",
        "--out", "out", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    files = [Path(file).name for row in done.json["images"] for file in row["files"]]
    assert sorted(files) == ["a--2.png", "a-2-2.png", "a-2.png", "a.png"]


def test_ctrl_c_says_how_many_are_done(preimage, vae, photos, monkeypatch) -> None:
    iterate = FiledInpainting.__iter__

    def interrupted(self):
        for step in iterate(self):
            yield step
            self.stop()

    monkeypatch.setattr(FiledInpainting, "__iter__", interrupted)
    done = preimage("inpaint", vae, photos, *CLASSICAL, "--out", "out")
    assert done.out.endswith("stopped at 1 of 3\n")


def test_of_several_pages_the_first_is_filled_and_that_is_said(preimage, vae, mask, here) -> None:
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    pages[0].save(here / "pages.tif", save_all=True, append_images=pages[1:])
    done = preimage(
        "inpaint", vae, "pages.tif", "--mask", mask, "--method", "mean", "--out", "out", "--json"
    )
    said = "only the first of 2 frames of pages.tif was filled and written"
    assert done.json["images"][0]["notes"] == [said]
    assert said in done.err


@pytest.mark.parametrize(
    ("verb", "options"), [("inpaint", ("--mask", "box:2,2,5,6")), ("restore", ("--from", "grey"))]
)
def test_what_is_not_to_be_trusted_is_said(
    preimage, vae, photos, monkeypatch, verb, options
) -> None:
    arguments = (verb, vae, photos / "a.png", *options, "--starts", 1, "--no-calibration", "--json")
    monkeypatch.setattr("preimage.applications.doubts.OPEN", 9.0)  # it is hardly trained
    done = preimage(*arguments, "--out", "trusted")
    assert done.json["images"][0]["notes"] == []
    monkeypatch.setattr("preimage.applications.doubts.FAR", 0.1)  # so that all is far
    done = preimage(*arguments, "--out", "doubtful")
    assert done.status == 0
    (note,) = done.json["images"][0]["notes"]
    assert note.startswith("a.png is far from what the model knows")
    assert note in done.err


@pytest.mark.parametrize("options", [(), ("--feather", 2), ("--method", "mean")])
def test_pixels_that_are_no_numbers_are_filled_or_refused(preimage, vae, here, options) -> None:
    values = np.random.default_rng(0).uniform(0, 1, (24, 24)).astype(np.float32)
    for name, few in (("few", (10, 11)), ("all", slice(None))):
        missing = values.copy()
        missing[few] = np.nan
        Image.fromarray(missing).save(here / f"{name}.tif")
    arguments = (*options, "--starts", 1, "--no-calibration", "--json", "--out")
    done = preimage("inpaint", vae, "few.tif", "--mask", "box:8,8,14,14", *arguments, "in")
    assert done.status == 0, done.err
    with Image.open(here / "in/filled/few.tif") as image:
        filled = np.asarray(image)
    assert np.isfinite(filled).all()
    known = np.ones((24, 24), bool)
    known[8:14, 8:14] = False
    assert (filled[known] == values[known]).all()
    for name, words in (("few", "few.tif: 1 of its pixels are NaN"), ("all", "no finite pixel")):
        done = preimage("inpaint", vae, f"{name}.tif", "--mask", "box:1,1,5,5", *arguments, "out")
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert words in done.err
        assert not (here / "out").exists()


@pytest.mark.parametrize("kind", [pytest.param("gan", marks=pytest.mark.slow), "cvae"])
def test_models_of_other_kinds_fill_as_well(preimage, request, kind, photos, here) -> None:
    run = request.getfixturevalue(kind)
    done = preimage(
        "inpaint", run, photos / "a.png", "--mask", "box:2,2,5,6", "--starts", 2, "-n", 2,
        "--no-calibration", "--out", "out", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    before, after = pixels(photos / "a.png"), pixels(here / "out/filled/a.png")
    known = np.ones((8, 8), bool)
    known[2:6, 2:5] = False
    assert np.array_equal(before[known], after[known])


@pytest.mark.parametrize(
    "options",
    [
        ("--from", "low-resolution", "--factor", 2),
        ("--from", "blur", "--sigma", 1, "--from", "noise", "--noise", 0.1),
        ("--from", "grey",),
    ],
)  # fmt: skip
def test_images_are_restored(preimage, vae, photos, here, options) -> None:
    done = preimage(
        "restore", vae, photos, *options, "--starts", 2, "--no-calibration", "--out", "out",
        "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    row = done.json["images"][0]
    assert pixels(row["file"]).shape == (8, 8, 3)
    assert row["mean_uncertainty"] > 0
    assert Path(done.json["sheet"]).is_file()


@pytest.mark.parametrize(
    ("verb", "options", "words"),
    [
        ("restore", ["--from", "fog"], "--from fog: no such"),
        ("restore", ["--from", "blur"], "--from blur needs --sigma"),
        ("restore", ["--from", "grey", "--factor", 2], "--factor says nothing without"),
        ("restore", ["--from", "mask", "--mask", "none.png"], ": --mask none.png cannot be used"),
        ("restore", ["--from", "low-resolution", "--factor", 99], "--factor 99: 8×8 images are"),
        ("restore", ["--from", "blur", "--sigma", -1], "--sigma -1.0: a blur of σ -1 pixels"),
        ("restore", ["--from", "noise", "--noise", 0], "--noise 0.0: a noise level of 0"),
        ("restore", ["--from", "blur", "--from", "blur", "--sigma", 1], "--from blur is given tw"),
        ("restore", ["--from", "mask", "--mask", "wrong.png"], "wrong.png: a mask of 5×7 pixels"),
        ("restore", ["--from", "mask", "--mask", "white.png"], "--mask white.png: the mask is wh"),
        ("restore", ["--from", "mask", "--mask", "black.png"], "--mask black.png: the mask cover"),
        ("restore", ["--from", "mask", "--mask", ""], ": --mask is empty; give the file"),
        ("inpaint", ["--mask", ""], "--mask is empty; give an image, box:"),
        ("inpaint", ["--mask", "none.png"], "none.png cannot be used"),
        ("inpaint", ["--mask", "photos/notes.txt"], "notes.txt cannot be used: not an image"),
        ("inpaint", ["--mask", "box:1,2,3"], "is no box"),
        ("inpaint", ["--mask", "box:0,0,99,99"], "beyond a.png as the model sees it, which is"),
        ("inpaint", ["--mask", "colour:#zz"], "is no colour"),
        ("inpaint", ["--mask", "colour:#f0f"], "of a.png is of that colour; paint over what"),
        ("inpaint", ["--mask", "black.png"], "nothing of a.png is to be filled"),
        ("inpaint", ["--mask", "white.png"], "all of a.png is to be filled"),
        ("inpaint", ["--mask", "wrong.png"], "is of 5×7 pixels"),
        ("inpaint", ["--mask", "box:1,1,3,3", "--method", "magic"], "no method 'magic'"),
        ("inpaint", ["--mask", "box:1,1,3,3", "--blend", "glue"], "no blend 'glue'"),
        ("inpaint", ["--mask", "box:1,1,3,3", "--label", "3"], "without classes"),
        ("inpaint", ["--mask", "box:1,1,3,3", "--feather", -1], "--feather"),
        ("inpaint", ["--mask", "box:1,1,3,3", "--feather", "nan"], "--feather"),
        ("inpaint", [*CLASSICAL, "-n", 3], "--method mean has one filling; leave out --fillings 3"),
        ("inpaint", [*CLASSICAL, "--tune"], "--tune says nothing with --method mean"),
        ("inpaint", [*CLASSICAL, "--context", 7], "--context says nothing with --method mean"),
        ("inpaint", [*CLASSICAL, "--blend", "none"], "--blend says nothing with --method mean"),
        ("inpaint", [*CLASSICAL, "--feather", 2], "--feather says nothing with --method mean"),
        ("inpaint", [*CLASSICAL, "--adversarial", 1], "--adversarial says nothing with"),
        ("inpaint", [*CLASSICAL, "--label", "cat"], "--label says nothing with --method mean"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(
    preimage, vae, photos, here, verb, options, words
) -> None:
    for name, shape, value in (("black", (8, 8), 0), ("white", (8, 8), 255), ("wrong", (7, 5), 9)):
        Image.fromarray(np.full(shape, value, np.uint8)).save(here / f"{name}.png")
    (photos / "b.jpg").unlink()
    done = preimage(verb, vae, photos, *options, "--out", "out")
    assert done.status == 2
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("inpaint", ("--mask", "black.png")),
        ("inpaint", ("--mask", "box:0,0,99,99")),
        ("restore", ("--from", "low-resolution", "--factor", 99)),
        ("inpaint", ("--mask", "box:1,1,3,3", "--adversarial", 1)),
        ("restore", ("--from", "grey", "--label", "cat")),
        ("inpaint", ("--mask", "box:1,1,3,3", "--out", "photos/a.png/out")),
        ("restore", ("--from", "grey", "--out", "photos/a.png/out")),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_long(
    preimage, vae, photos, here, monkeypatch, verb, options
) -> None:
    def learned(*_: object, **__: object) -> None:
        raise AssertionError("examples are looked at first")

    monkeypatch.setattr("preimage.api.restorations.explained", learned)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(here / "black.png")
    done = preimage(verb, vae, photos / "a.png", "--out", "out", *options)
    assert done.status == 2, done.err
    assert len(done.err.strip().splitlines()) == 1
