"""`preimage anomaly fit|score|evaluate`: from folders to findings, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score

import preimage as pi
from preimage.applications.anomaly import suite
from preimage.runs.detecting import FiledDetection

SIZE = (48, 64)  # height and width of the photographs
PLACE = (slice(20, 30), slice(34, 46))  # where a defect is planted
GOOD, RATE = 40, 0.1
PHOTO = ("--view", "photo", "--scores", "patches", "--false-alarms", RATE)


def texture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A photograph of a rough surface: (H, W) in [−1, 1]."""
    rng = np.random.default_rng(seed)
    return np.clip(ndimage.gaussian_filter(rng.normal(size=size), 1.2), -1, 1)


def grey(values: np.ndarray) -> np.ndarray:
    return np.rint((values + 1) * 127.5).astype(np.uint8)


def broken(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    values = texture(seed, size)
    values[PLACE] = 0.8
    return values


def folder(path: Path, images: dict[str, np.ndarray]) -> Path:
    for name, values in images.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path / name)
    return path


def scores(out: Path) -> list[dict[str, str]]:
    with (out / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = {f"{i:03d}.png": grey(texture(i)) for i in range(GOOD)}
    return folder(tmp_path_factory.mktemp("good") / "good", images)


@pytest.fixture(scope="session")
def fitted(vae: Path, good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a detector of photographs at their own size."""
    copy = tmp_path_factory.mktemp("anomaly") / "run"
    shutil.copytree(vae, copy)
    found = pi.fit_detector(
        copy, good, view="photo", scores="patches", false_alarms=RATE, device="cpu"
    )
    pi.save_detector(copy, found)
    return copy


@pytest.fixture
def mixed(here: Path) -> Path:
    """Six good photographs, two broken ones, and a file that is none."""
    images = {f"good/{i}.png": grey(texture(100 + i)) for i in range(6)}
    images |= {f"{i}.png": grey(broken(200 + i)) for i in range(2)}
    path = folder(here / "mixed", images)
    (path / "notes.txt").write_text("no picture")
    return path


def test_fit_says_what_it_promises_and_names_suspects(preimage, vae, good, here: Path) -> None:
    run, images = here / "run", here / "images"
    shutil.copytree(vae, run)
    shutil.copytree(good, images)
    folder(images, {"odd.png": grey(broken(7)), "other.png": grey(broken(8))})
    (images / "notes.txt").write_text("no picture")
    done = preimage("anomaly", "fit", run, images, "--name", "steel", *PHOTO)
    assert done.status == 0, done.err
    assert "no more than 10 % are called anomalous" in done.out
    assert "odd.png" in done.out
    assert "other.png" in done.out
    assert "notes.txt" in done.err
    assert sorted(p.name for p in (run / "detectors/steel").iterdir()) == [
        "detector.json",
        "detector.safetensors",
    ]
    again = preimage("anomaly", "fit", run, images, "--name", "steel", *PHOTO)
    assert again.status == 2
    assert "--replace" in again.err
    replaced = preimage(
        "anomaly", "fit", run, good, "--name", "steel", *PHOTO, "--replace", "--json"
    )
    assert replaced.status == 0, replaced.err
    assert replaced.json["suspects"] == []
    assert replaced.json["heldout"] + replaced.json["learned"] == GOOD
    assert [p.name for p in (run / "detectors").iterdir()] == ["steel"]  # nothing left aside


def test_a_folder_is_looked_through(preimage, fitted, mixed, here: Path) -> None:
    done = preimage("anomaly", "score", fitted, mixed, "--out", "out", "--json")
    assert done.status == 0, done.err
    rows = {row["name"]: row for row in done.json["images"]}
    assert len(rows) == 8
    assert done.json["skipped"][0]["name"] == "notes.txt"
    for i in range(2):
        row = rows[f"{i}.png"]
        assert row["verdict"] == "anomalous"
        assert row["p_value"] == pytest.approx(1 / (1 + 10))  # odder than all ten held out
        mask = np.asarray(Image.open(here / "out" / row["mask"]))
        assert mask.shape == SIZE
        assert mask.sum() == row["area"] == sum(r["area"] for r in row["regions"])
        assert mask[PLACE].mean() > 0.8
        box = row["regions"][0]
        inside = mask[
            box["top"] : box["top"] + box["height"], box["left"] : box["left"] + box["width"]
        ]
        assert inside.sum() == mask.sum() - sum(r["area"] for r in row["regions"][1:])
    called = [row for row in rows.values() if row["verdict"] == "anomalous"]
    assert len(called) <= 4
    for row in rows.values():
        assert (row["mask"] is None) == (row["verdict"] == "good")
        assert (here / "out" / row["heat"]).is_file()
    with (here / "out/scores.csv").open(newline="") as file:
        table = {row["name"]: row for row in csv.DictReader(file)}
    assert table.keys() == rows.keys()
    for name, row in table.items():
        assert float(row["score"]) == rows[name]["score"]
        boxes = [box for box in row["boxes"].split("; ") if box]
        assert len(boxes) == len(rows[name]["regions"])
    page = (here / "out/report.html").read_text()
    assert page.index("0.png: anomalous") < page.index("good/0.png")  # the worst first
    assert 'src="http' not in page
    assert json.loads((here / "out/anomalies.json").read_text()) == done.json
    assert Image.open(here / "out/explanations.png").height > 100


def test_what_is_learned_by_default_is_kept(preimage, vae, here: Path) -> None:
    """So many good images that the model takes part, which has features."""
    run, digits = here / "run", pi.dataset("digits").images[-240:, 0]
    shutil.copytree(vae, run)
    folder(here, {f"good/{i}.png": image for i, image in enumerate(digits)})
    done = preimage("anomaly", "fit", run, "good", "--false-alarms", "0.05", "--json")
    assert done.status == 0, done.err
    opened = pi.load_detector(run)
    assert {"reconstruction", "feature-residual", "density"} <= opened.detector.scores.keys()
    assert opened.threshold == done.json["threshold"]
    assert preimage("anomaly", "score", run, "good/0.png", "--out", "out").status == 0


def test_scores_that_learned_together_say_the_same_when_opened(vae, here: Path) -> None:
    run, digits = here / "run", pi.dataset("digits")
    shutil.copytree(vae, run)
    scores = ("reconstruction", "feature-residual", "density")
    made = pi.fit_detector(
        run, digits.batch(range(60)), scores=scores, false_alarms=RATE, device="cpu"
    )
    pi.save_detector(run, made)
    x = digits.batch(range(60, 90))
    first, again = made.detector.explain(x), pi.load_detector(run).detector.explain(x)
    assert len(first.parts) >= len(scores)
    assert all(torch.equal(first.parts[name], again.parts[name]) for name in first.parts)
    assert torch.equal(first.scores, again.scores)


def test_deep_tiffs_page_by_page(preimage, vae, here: Path) -> None:
    """Contrast of a hundredth of 16 bits: at 8 bits the surface would be flat."""

    def deep(values: np.ndarray) -> Image.Image:
        return Image.fromarray(np.rint(30_000 + 300 * values).astype(np.uint16))

    run = here / "run"
    shutil.copytree(vae, run)
    (here / "good").mkdir()
    for part in range(4):
        pages = [deep(texture(10 * part + i)) for i in range(10)]
        pages[0].save(here / f"good/{part}.tif", save_all=True, append_images=pages[1:])
    done = preimage("anomaly", "fit", run, "good", *PHOTO, "--json")
    assert done.status == 0, done.err
    low, high = done.json["framing"]["range"]
    assert 29_600 < low < 29_900 < 30_100 < high < 30_400
    assert done.json["heldout"] == 10
    pages = [deep(texture(300)), deep(broken(301)), deep(texture(302))]
    pages[0].save(here / "scan.tif", save_all=True, append_images=pages[1:])
    done = preimage("anomaly", "score", run, "scan.tif", "--out", "out", "--json")
    assert done.status == 0, done.err
    rows = done.json["images"]
    assert [(row["name"], row["page"], row["pages"]) for row in rows] == [
        ("scan.tif", page, 3) for page in (1, 2, 3)
    ]
    assert rows[1]["verdict"] == "anomalous"
    assert rows[1]["score"] > max(rows[0]["score"], rows[2]["score"])
    assert rows[1]["mask"] == "masks/scan.tif.page2.png"
    assert np.asarray(Image.open(here / "out" / rows[1]["mask"]))[PLACE].mean() > 0.8
    assert "scan.tif, page 2" in (here / "out/report.html").read_text()


def test_what_was_stopped_goes_on_and_comes_to_the_same(preimage, fitted, mixed, here) -> None:
    whole = preimage("anomaly", "score", fitted, mixed, "--out", "whole", "--json")
    job = pi.detect_files(fitted, mixed, out=here / "part", device="cpu")
    for k, _ in enumerate(job):
        if k == 2:
            job.stop()
    result = job.finish()
    assert not result["finished"]
    assert result["looked_at"] == 3
    assert not {"scores.csv", "report.html", "anomalies.json"} & {
        p.name for p in (here / "part").iterdir()
    }
    with (here / "part/rows.jsonl").open("a") as file:
        file.write('{"index": 3, "name"')  # killed in the middle of a line
    refused = preimage("anomaly", "score", fitted, mixed, "--out", "part")
    assert refused.status == 2
    assert "--resume" in refused.err
    resumed = preimage("anomaly", "score", fitted, mixed, "--out", "part", "--resume", "--json")
    assert resumed.status == 0, resumed.err
    first, second = (scores(here / p) for p in ("whole", "part"))
    assert [{**r, "score": ""} for r in first] == [{**r, "score": ""} for r in second]
    for a, b in zip(first, second, strict=True):  # photographs are scored together: to rounding
        assert float(a["score"]) == pytest.approx(float(b["score"]), rel=1e-5)
    assert [r["name"] for r in resumed.json["images"]] == [r["name"] for r in whole.json["images"]]
    other = preimage("anomaly", "score", fitted, mixed / "good", "--out", "part", "--resume")
    assert other.status == 2
    assert "was begun with" in other.err


def test_a_folder_to_resume_is_not_believed(preimage, fitted, mixed, here: Path) -> None:
    first = preimage("anomaly", "score", fitted, mixed, "--out", "out", "--json")
    (here / "out/heat" / f"{first.json['images'][0]['name']}").unlink()
    lines = (here / "out/rows.jsonl").read_text().splitlines()
    elsewhere = json.loads(lines[1]) | {"heat": "../../secret.png"}
    another = json.loads(lines[2]) | {"name": "../other.png"}
    beyond = json.loads(lines[3]) | {"index": 99}
    for broken in (elsewhere, another, beyond):
        (here / "out/rows.jsonl").write_text("\n".join([lines[0], json.dumps(broken)]) + "\n")
        again = preimage("anomaly", "score", fitted, mixed, "--out", "out", "--resume", "--json")
        assert again.status == 0, again.err
        for what in ("name", "verdict", "heat", "mask"):
            assert [r[what] for r in again.json["images"]] == [
                r[what] for r in first.json["images"]
            ]
    for name, content in (("rows.jsonl", '{"index": "x"}\n'), ("settings.json", "[1]")):
        (here / "out" / name).write_text(content)
        said = bad(preimage, "score", fitted, mixed, "--out", "out", "--resume")
        assert "choose another --out" in said


def test_fewer_can_be_asked_for_when_it_goes_on(preimage, fitted, mixed) -> None:
    preimage("anomaly", "score", fitted, mixed, "--out", "out")
    fewer = preimage(
        "anomaly", "score", fitted, mixed, "--out", "out", "--resume", "-n", 3, "--json"
    )
    assert fewer.json["finished"]
    assert len(fewer.json["images"]) == 3


def test_ctrl_c_says_how_to_go_on(preimage, fitted, mixed, monkeypatch) -> None:
    def interrupted(self: FiledDetection):
        steps = FiledDetection.__dict__["steps"](self)
        yield next(steps)
        signal = __import__("signal")
        signal.raise_signal(signal.SIGINT)
        yield from steps

    monkeypatch.setattr(FiledDetection, "steps", FiledDetection.__iter__, raising=False)
    monkeypatch.setattr(FiledDetection, "__iter__", interrupted)
    done = preimage("anomaly", "score", fitted, mixed, "--out", "out")
    assert done.status == 130
    assert "of 8; go on with: preimage anomaly score" in done.out
    assert done.out.rstrip().endswith("--resume")


def test_evaluation_of_a_folder_laid_out_as_mvtec(preimage, fitted, here: Path) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[PLACE] = 255
    images = {f"test/good/{i}.png": grey(texture(400 + i)) for i in range(8)}
    images |= {f"test/hole/{i}.png": grey(broken(500 + i)) for i in range(4)}
    images |= {f"test/none/{i}.png": grey(texture(600 + i)) for i in range(3)}
    images |= {f"ground_truth/hole/{i}_mask.png": mask for i in range(4)}
    images |= {f"ground_truth/none/{i}_mask.png": np.roll(mask, 9, 0) for i in range(3)}
    folder(here / "parts", images)
    done = preimage("anomaly", "evaluate", fitted, "parts", "--out", "judged", "--json")
    assert done.status == 0, done.err
    scores, rows = done.json["scores"], done.json["images"]
    wrong, s = [row["kind"] != "good" for row in rows], [row["score"] for row in rows]
    assert scores["image_auroc"]["value"] == pytest.approx(roc_auc_score(wrong, s))
    assert done.json["kinds"]["hole"]["value"] == 1
    assert done.json["kinds"]["none"]["value"] < 1
    assert scores["found"]["value"] >= 4 / 7
    assert 0.5 < scores["pro"]["value"] < 1
    assert 0.5 < scores["pixel_auroc"]["value"] < 1
    for score in scores.values():
        assert score["low"] <= score["value"] <= score["high"]
    assert "the rate asked for" in scores["false_alarms"]["word"]
    page = (here / "judged/report.html").read_text()
    assert "PRO (FPR ≤ 0.3)" in page
    assert "were missed" in page
    shown = preimage("anomaly", "evaluate", fitted, "parts/test/good", "parts/test/hole")
    assert "Image AUROC" in shown.out
    assert "PRO" not in shown.out  # without masks
    given = preimage(
        "anomaly", "evaluate", fitted, "parts/test/good", "parts/test/hole",
        "--masks", "parts/ground_truth/hole", "--json",
    )  # fmt: skip
    assert given.json["scores"]["pixel_auroc"]["value"] > 0.95
    assert given.json["scores"]["pro"]["value"] > 0.9


def test_evaluation_leaves_out_what_is_no_image_and_knows_what_it_learned_from(
    preimage, fitted, good, here: Path
) -> None:
    shutil.copytree(fitted, here / "run")
    run = here / "run"
    facts = json.loads((run / "detectors/default/detector.json").read_text())
    (run / "detectors/default/detector.json").write_text(json.dumps({**facts, "source": str(good)}))
    odd = folder(here / "odd", {f"{i}.png": grey(broken(700 + i)) for i in range(3)})
    (odd / "notes.txt").write_text("no picture")
    (odd / "part.png").write_bytes((odd / "0.png").read_bytes()[:300])  # its header is whole
    done = preimage("anomaly", "evaluate", run, good, odd, "--out", "judged", "--json")
    assert done.status == 0, done.err
    assert [row["label"] for row in done.json["images"]][GOOD:] == ["0.png", "1.png", "2.png"]
    seen, *left_out = done.json["notes"]
    assert seen.startswith(f"{GOOD} of {GOOD} good images are from {good}, which the detector")
    assert [note.split(" cannot")[0] for note in left_out] == [
        "left out: notes.txt",
        "left out: part.png",
    ]
    assert "Left out: part.png" in (here / "judged/report.html").read_text()
    again = bad(preimage, "evaluate", run, good, odd, "--out", "judged")
    assert "judged exists already; choose another --out" in again
    assert preimage("anomaly", "evaluate", run, odd, odd).err.count("left out") == 4


def test_masks_that_do_not_fit(preimage, fitted, here: Path) -> None:
    mask = np.full((20, 20), 255, np.uint8)
    folder(here, {f"good/{i}.png": grey(texture(i)) for i in range(3)})
    folder(here, {f"bad/{i}.png": grey(broken(i)) for i in range(3)})
    folder(here, {f"masks/{i}.png": mask for i in range(3)})
    done = preimage("anomaly", "evaluate", fitted, "good", "bad", "--masks", "masks")
    assert done.status == 2
    assert "0.png is of 20×20 pixels, and 0.png of 64×48" in done.err
    (here / "masks/1.png").unlink()
    done = preimage("anomaly", "evaluate", fitted, "good", "bad", "--masks", "masks")
    assert done.status == 2
    assert "has no mask of 1.png" in done.err


def bad(preimage, *arguments: object) -> str:
    done = preimage("anomaly", *arguments)
    assert done.status == 2, done.err
    assert done.err.count("\n") == 1, done.err
    assert done.out == ""
    return done.err


def test_too_few_good_images_says_how_many_it_takes(preimage, vae, good) -> None:
    said = bad(preimage, "fit", vae, good, "--false-alarms", "0.01")
    assert "1 good image is too few" in bad(preimage, "fit", vae, good / "000.png")
    assert "40 good images are too few for a false-alarm rate of 0.01: it takes 198" in said
    assert "--false-alarms 0.048 or more" in said
    assert not (vae / "detectors").exists()


def test_what_is_refused(preimage, fitted, vae, good, mixed, here: Path) -> None:
    said = bad(preimage, "score", fitted, mixed, "--detector", "defualt")
    assert "did you mean 'default'?" in said
    assert "fit one with: preimage anomaly fit" in bad(preimage, "score", vae, mixed)
    assert "no view 'phto'; did you mean 'photo'?" in bad(
        preimage, "fit", fitted, good, "--name", "x", "--view", "phto"
    )
    assert "no anomaly score 'pathces'; did you mean 'patches'?" in bad(
        preimage, "fit", fitted, good, "--name", "x", "--scores", "pathces", "--false-alarms", ".1"
    )
    assert "cannot name a detector" in bad(preimage, "fit", fitted, good, "--name", "a/b")
    assert "between 0 and 1" in bad(
        preimage, "fit", fitted, good, "--name", "x", "--false-alarms", "2"
    )
    for tile in (2, 16_385, 100_000):
        assert f"tiles of {tile} pixels (--tile): give a number from 4 to 16384" in bad(
            preimage, "fit", fitted, good, "--name", "x", "--false-alarms", "0.1", "--tile", tile
        )
    (here / "text").mkdir()
    (here / "text/notes.txt").write_text("no picture")
    assert "notes.txt cannot be used" in bad(
        preimage, "score", fitted, here / "text", "--out", "out"
    )
    assert not (here / "out").exists()
    (here / "file").write_text("something")
    said = bad(preimage, "evaluate", fitted, mixed / "good", mixed, "--out", "file")
    assert "file exists already; choose another --out" in said
    (here / "empty").mkdir()
    assert "empty holds no bad images to judge by" in bad(
        preimage, "evaluate", fitted, mixed / "good", "empty"
    )
    assert "text holds no good images to judge by: notes.txt cannot be used" in bad(
        preimage, "evaluate", fitted, "text", mixed / "good"
    )
    assert "neither test/good nor good" in bad(preimage, "evaluate", fitted, mixed / "good")
    assert "no detection to resume" in bad(
        preimage, "score", fitted, mixed, "--out", "nowhere", "--resume"
    )
    assert pi.saved_detectors(fitted) == ["default"]


def test_a_detector_of_another_model_and_broken_ones(preimage, vae, mixed, here: Path) -> None:
    run = here / "run"
    shutil.copytree(vae, run)
    digits = pi.dataset("digits")
    found = pi.fit_detector(
        run, digits.batch(range(60)), scores="density", false_alarms=RATE, device="cpu"
    )
    saved = pi.save_detector(run, found, name="digits")
    facts = json.loads((saved / "detector.json").read_text())
    assert pi.load_detector(run, name="digits").threshold == found.threshold
    facts["model"] = "0123456789abcdef"
    (saved / "detector.json").write_text(json.dumps(facts))
    said = bad(preimage, "score", run, mixed, "--detector", "digits")
    assert "detectors/digits was fitted with other weights of the model; fit it again" in said
    pi.save_detector(run, found, name="digits", replace=True)
    tensors = saved / "detector.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    assert "detector.safetensors is broken" in bad(
        preimage, "score", run, mixed, "--detector", "digits"
    )
    tensors.unlink()
    assert "detector.safetensors is broken" in bad(
        preimage, "score", run, mixed, "--detector", "digits"
    )
    (saved / "detector.json").write_text("{")
    assert "not valid JSON" in bad(preimage, "score", run, mixed, "--detector", "digits")


def test_every_score_is_named_in_the_help(preimage) -> None:
    said = "".join(preimage("anomaly", "fit", "--help").out.split())  # names are hyphenated
    assert all(name in said for name in suite.NAMES)


def test_two_lines_of_python(fitted: Path) -> None:
    inspector = pi.load_detector(fitted)
    found = inspector.inspect(torch.from_numpy(broken(900)).float()[None])
    assert found.anomalous
    assert found.map.shape == found.mask.shape == SIZE
    assert found.map[PLACE].mean() > 3 * np.abs(found.map).mean()


def test_alone_it_shows_its_help(preimage) -> None:
    shown = preimage("anomaly")
    assert (shown.status, shown.err) == (0, "")
    assert "evaluate" in shown.out
    assert shown.out.count("\n") > 5
