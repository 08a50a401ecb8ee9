"""`preimage edit`: photographs whole again, and what is refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import preimage as pi
from preimage.exploration.direction import Direction, owner
from preimage.runs.directions import save_direction
from preimage.runs.editing import FiledEdit


@pytest.fixture(scope="session")
def run(vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with directions, planted: its images answer to them as they may."""
    copy = tmp_path_factory.mktemp("edited") / "run"
    shutil.copytree(vae, copy)
    model = pi.load(copy)
    for i, name in enumerate(("smile", "glasses", "hair:red", "hair:grey")):
        w = torch.zeros(model.space.shape)
        w[i] = 1.0
        w[i + 1] = 0.5
        n = w / w.square().sum()
        save_direction(
            copy, Direction(name, n, owner(model), "planted", normal=w, mean=0.4, deviation=0.5)
        )
    other = Direction("other", torch.ones(model.space.shape), "0123456789abcdef", "planted")
    save_direction(copy, other)
    return copy


@pytest.fixture
def photos(here: Path) -> Path:
    """Photographs of several sizes, and a file that is none."""
    folder = here / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (40, 30)), ("b.jpg", (20, 60)), ("more/c.webp", (16, 16))):
        pixels = rng.integers(60, 200, (*size, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x0110] = "Camera 7"
        Image.fromarray(pixels).resize(size).save(folder / name, exif=exif)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_is_edited_file_by_file(preimage, run, photos, here: Path) -> None:
    done = preimage(
        "edit", run, photos, "--by", "smile=2", "--to", "glasses=0.9", "--keep", "hair", "--strip",
        "-2..2", "--out", "out", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    rows = done.json["images"]
    assert [row["name"] for row in rows] == ["a.png", "b.jpg", "more/c.webp"]
    for row in rows:
        before, after = Image.open(photos / row["name"]), Image.open(here / row["file"])
        assert Path(row["file"]) == Path("out/edited") / row["name"]
        assert (after.size, after.format) == (before.size, before.format)
        assert after.info["exif"] == before.info["exif"]
        assert row["strengths"]["smile"] == 2
        assert row["after"]["glasses"] == pytest.approx(0.9, abs=1e-4)
    assert done.json["skipped"] == [
        {"name": "notes.txt", "reason": "notes.txt cannot be used: not an image"}
    ]
    assert json.loads((here / "out/edit.json").read_text()) == done.json
    x = torch.stack([pi.images(photos / row["name"], pi.load(run).data)[0] for row in rows])
    found = pi.edit(run, x, by={"smile": 2}, to={"glasses": 0.9}, keep=["hair"])
    with np.load(here / "out/latents.npz") as arrays:
        assert np.allclose(arrays["latents"], found.z.numpy(), atol=1e-4)
        assert np.allclose(arrays["edited"], found.moved.numpy(), atol=1e-4)
    for picture in ("sheet.png", "strip-smile.png", "strip-glasses.png"):
        assert Image.open(here / "out" / picture).width > 100


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--residual", "whole"],
        ["--mask", "mask.png"],
        pytest.param(["--tune", "-n", 1], marks=pytest.mark.slow),
    ],
)
def test_strength_nothing_gives_the_very_files(preimage, run, photos, here: Path, options) -> None:
    Image.new("L", (8, 8), 255).save(here / "mask.png")
    done = preimage("edit", run, photos, "--by", "smile=0", "--out", "out", *options, "--json")
    assert done.status == 0, done.err
    for row in done.json["images"]:
        assert (here / row["file"]).read_bytes() == (photos / row["name"]).read_bytes()


def test_photographs_are_fitted_as_the_runs_own_images_were(preimage, run, photos, here) -> None:
    copy = here / "run"
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    changed = {}
    for fit in ("crop", "pad"):
        config["data"]["options"]["fit"] = fit
        (copy / "config.json").write_text(json.dumps(config))
        done = preimage(
            "edit", copy, photos / "a.png", "--by", "smile=9", "--residual", "none", "--out", fit
        )
        assert done.status == 0, done.err
        after = np.asarray(Image.open(here / fit / "edited/a.png")).astype(int)
        changed[fit] = np.abs(after - np.asarray(Image.open(photos / "a.png"))).max(2) > 0
    assert not changed["crop"][:, :5].any()  # 40×30: five columns on either side are not seen
    assert changed["pad"][:, :5].any()


def test_images_of_an_archive_are_edited_at_the_models_size(preimage, run, photos, here) -> None:
    with zipfile.ZipFile(here / "all.zip", "w") as archive:
        for path in photos.rglob("*.*"):
            archive.write(path, path.relative_to(photos))
    done = preimage("edit", run, "all.zip", "--by", "smile=2", "--out", "out", "--json")
    assert done.status == 0, done.err
    files = [Path(row["file"]) for row in done.json["images"]]
    assert [str(file) for file in files] == [
        f"out/edited/{name}" for name in ("a.png", "b.jpg.png", "more/c.webp.png")
    ]
    found = pi.edit(run, "all.zip", by={"smile": 2})
    pixels = np.asarray(Image.open(here / files[0]).convert("L")).astype(float)
    assert np.abs(pixels - (found.images[0, 0].numpy() + 1) * 127.5).max() <= 0.51


def test_of_several_pages_the_first_is_edited_and_that_is_said(preimage, run, here: Path) -> None:
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    pages[0].save(here / "pages.tif", save_all=True, append_images=pages[1:])
    done = preimage("edit", run, "pages.tif", "--by", "smile=2", "--out", "out")
    assert "only the first of 2 frames of pages.tif was edited and written" in done.err


def test_ctrl_c_keeps_what_is_done(preimage, run, photos, here: Path, monkeypatch) -> None:
    iterate = FiledEdit.__iter__

    def interrupted(self):
        for step in iterate(self):
            yield step
            self.stop()

    monkeypatch.setattr(FiledEdit, "__iter__", interrupted)
    done = preimage("edit", run, photos, "--by", "smile=2", "--out", "out", "--json")
    assert [row["name"] for row in done.json["images"]] == ["a.png"]
    assert done.json["stopped"]
    assert done.json["asked"] == 4
    assert json.loads((here / "out/edit.json").read_text())["images"] == done.json["images"]


def test_a_class_is_found_where_the_model_needs_one(preimage, cvae, photos, here: Path) -> None:
    run = here / "run"
    shutil.copytree(cvae, run)
    model = pi.load(run)
    w = torch.ones(model.space.shape) / model.space.size
    save_direction(run, Direction("smile", w, owner(model), "planted"))
    for options in ([], ["--label", model.classes[3]]):
        out = f"out{len(options)}"
        done = preimage("edit", run, photos / "a.png", "--by", "smile=2", "--out", out, *options)
        assert done.status == 0, done.err
        assert (here / out / "edited/a.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to change; give a direction and how far, as in --by smile=2"),
        (["--by", "smil=2"], "no direction 'smil'; did you mean 'smile'"),
        (["--by", "smile"], "'smile' is not DIRECTION=VALUE"),
        (["--by", "smile=much"], "'much' is no number"),
        (["--by", "smile=1", "--by", "smile=2"], "given twice"),
        (["--to", "smile=ja"], "'ja' is no number; give one, as in smile=0.8"),
        (["--by", "smile=1", "--to", "smile=1"], "give one of --by and --to"),
        (["--by", "smile=1", "--strip", "0..nan"], "--strip nan: 'nan' is no number"),
        (["--by", "smile=1", "--keep", "smile"], "cannot move and be kept at once"),
        (["--by", "smile=1", "--keep", "hiar"], "no"),
        (["--by", "other=1"], "fitted on model 0123456789abcdef"),
        (["--by", "smile=1", "--mask", "small.png"], "is of 7×5 pixels; give one of a.png's 40×30"),
        (["--by", "smile=1", "--mask", "black.png"], "is black"),
        (["--by", "smile=1", "--mask", "none.png"], "none.png cannot be used"),
        (["--by", "smile=1", "--residual", "sum"], "no residual 'sum'"),
        (["--by", "smile=1", "--method", "adm"], "no method 'adm'"),
        (["--by", "smile=1", "--strip", "wide"], "no range of strengths"),
        (["--by", "smile=1", "--label", "3"], "without classes"),
        (["--by", "smile=1", "--out", "photos"], "exists already"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_and_nothing_is_written(
    preimage, run, photos, here: Path, options: list[str], message: str
) -> None:
    Image.new("L", (7, 5), 255).save(here / "small.png")
    Image.new("L", (40, 30), 0).save(here / "black.png")
    done = preimage("edit", run, photos / "a.png", *(["--out", "out"]), *options)
    assert done.status == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (here / "out").exists()


@pytest.mark.parametrize("source", ["photos/notes.txt", "nothing", "empty"])
def test_what_holds_no_image_is_refused_in_a_line(preimage, run, photos, here, source) -> None:
    (here / "empty").mkdir()
    done = preimage("edit", run, source, "--by", "smile=2", "--out", "out")
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1
    assert not (here / "out").exists()


def test_memory_does_not_grow_with_the_folder(run, photos, here: Path) -> None:
    """No photograph is held when the next is opened."""
    job = pi.edit_files(run, photos, out=here / "out", by={"smile": 1})
    for _ in job:
        pass
    held = [done for done, _ in job._shown]
    assert all(done.content == b"" for done in held)
    assert max(done.before.numel() for done in held) <= 3 * 192 * 192
