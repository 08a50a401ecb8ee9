"""`preimage direction` and `preimage traverse`, and the functions behind them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import preimage as pi


@pytest.fixture
def run(vae: Path, here: Path) -> Path:
    return Path(shutil.copytree(vae, here / "run"))


@pytest.fixture
def sides(here: Path) -> Path:
    """Folders of zeros and of ones, and all of them with a file of what is known."""
    data = pi.dataset("digits")
    assert data.labels is not None
    lines = ["file,round,ink,mark"]
    for digit, name in ((0, "zeros"), (1, "ones")):
        for i in np.flatnonzero(data.labels == digit)[:30]:
            pixels = data.images[i, 0].repeat(4, 0).repeat(4, 1)
            for folder in (name, "both"):
                (here / folder).mkdir(exist_ok=True)
                Image.fromarray(pixels).save(here / folder / f"{i}.png")
            lines.append(f"{i}.png,{'yes' if digit == 0 else 'no'},{pixels.mean()},{i % 3}")
    (here / "known.csv").write_text("\n".join(lines))
    return here


def test_from_two_folders(preimage, run: Path, sides: Path) -> None:
    outcome = preimage(
        "direction", run, "--positive", "zeros", "--negative", "ones", "--name", "round", "--json"
    )
    assert outcome.status == 0, outcome.err
    (found,) = outcome.json["directions"]
    assert (found["name"], found["method"]) == ("round", "mean-difference")
    assert (found["positive"], found["negative"]) == (30, 30)
    assert found["accuracy"]["value"] > 0.9
    assert Path(outcome.json["sheet"]).is_file()
    saved = pi.load_direction(run, "round")
    zeros, ones = (pi.latents(run, sides / name) for name in ("zeros", "ones"))
    assert saved.read(zeros).mean().item() == pytest.approx(1, abs=1e-3)  # (1 − p)/σ, p = ½
    assert saved.read(ones).mean().item() == pytest.approx(-1, abs=1e-3)


def test_from_attributes_listed_shared_removed(preimage, run: Path, sides: Path) -> None:
    source = ("--images", "both", "--labels", "known.csv")
    outcome = preimage("direction", run, "--all", *source, "--json")
    assert outcome.status == 0, outcome.err
    names = [found["name"] for found in outcome.json["directions"]]
    assert names == ["round", "ink", "mark"]
    assert {found["method"] for found in outcome.json["directions"]} == {"joint"}
    assert {found["examples"] for found in outcome.json["directions"]} == {60}

    listed = preimage("direction", run, "--list")
    assert all(name in listed.out for name in names)
    assert preimage("direction", run, "--share", "ink.safetensors", "--name", "ink").status == 0
    assert preimage("direction", run, "--remove", "ink", "--json").json["removed"] == "ink"
    assert preimage("direction", run, "--from", "ink.safetensors").status == 0
    assert sorted(pi.saved_directions(run)) == ["ink", "mark", "round"]

    kept = preimage(
        "direction",
        run,
        "--attribute",
        "round",
        "--keep",
        "ink",
        "--method",
        "svm",
        *source,
        "--json",
    )
    assert kept.status == 0, kept.err
    (found,) = kept.json["directions"]
    assert found["conditioned"] == ["ink"]
    ink, moved = pi.load_direction(run, "ink"), pi.load_direction(run, "round")
    assert ink.normal is not None
    assert abs((ink.normal * moved.vector).sum()) < 1e-4


def test_the_classes_of_the_runs_own_images(preimage, run: Path) -> None:
    outcome = preimage(
        "direction", run, "--attribute", "class:3", "--no-calibrate", "-n", 400, "--json"
    )
    assert outcome.status == 0, outcome.err
    (found,) = outcome.json["directions"]
    assert found["examples"] == 400
    assert found["accuracy"]["value"] > 0.8


@pytest.mark.parametrize("method", ["pca", "features", "sefa", "jacobian"])
def test_without_labels(preimage, run: Path, method: str) -> None:
    outcome = preimage("direction", run, "--unlabelled", method, "--count", 3, "-n", 200, "--json")
    assert outcome.status == 0, outcome.err
    names = [found["name"] for found in outcome.json["directions"]]
    assert names == [f"{method}-{k}" for k in (1, 2, 3)]
    assert all(0 < found["share"] <= 1 for found in outcome.json["directions"])


def test_a_gan_without_an_encoder(preimage, gan: Path, here: Path) -> None:
    shutil.copytree(gan, here / "gan")
    outcome = preimage("direction", "gan", "--unlabelled", "pca")
    assert outcome.status == 2
    assert "alike in all directions" in outcome.err
    assert preimage("direction", "gan", "--unlabelled", "sefa", "--count", 2).status == 0
    model = pi.load("gan")
    left = pi.direction(model, classifier=lambda x: x[..., :4].mean((1, 2, 3)), name="left", n=600)
    assert left.report["r_squared"]["value"] > 0.4  # type: ignore[index]
    # calibrated through the classifier itself
    z = model.space.sample(200, seed=9)
    with torch.no_grad():
        before, after = (
            model.decode(moved)[..., :4].mean((1, 2, 3)) for moved in (z, left.move(z, 0.5))
        )
    assert ((after - before).mean() / left.deviation).item() == pytest.approx(0.5, rel=0.2)
    with pytest.raises(pi.InputError, match="one value of each"):
        pi.direction(model, classifier=lambda x: x, n=50)


def test_a_conditional_model(preimage, cvae: Path, here: Path, sides: Path) -> None:
    shutil.copytree(cvae, here / "cvae")
    arguments = ("--attribute", "ink", "--images", "both", "--labels", "known.csv")
    outcome = preimage("direction", "cvae", *arguments, "--label", "0", "--json")
    assert outcome.status == 0, outcome.err
    walked = preimage("traverse", "cvae", "--by", "ink", "--label", "1", "--json")
    assert walked.status == 0, walked.err


def test_traverse(preimage, run: Path, sides: Path) -> None:
    assert preimage("traverse", run).status == 2  # there are none yet
    preimage("direction", run, "--unlabelled", "sefa", "--count", 2)
    outcome = preimage(
        "traverse", run, "--images", "random:4", "-n", 2, "--animation", "gif", "--json"
    )
    assert outcome.status == 0, outcome.err
    assert [len(outcome.json[part]) for part in ("sheets", "animations", "directions")] == [2, 2, 2]
    assert all(
        Path(path).is_file() for path in (*outcome.json["sheets"], *outcome.json["animations"])
    )
    assert outcome.json["strengths"] == [-3, -2, -1, 0, 1, 2, 3]
    assert preimage("traverse", run, "--animation", "avi", "--out", "half").status == 2
    assert not Path("half").exists()  # not even the sheet
    assert preimage("traverse", run).status == 0  # in the place of the earlier one
    Path("mine").mkdir()
    Path("mine/precious").touch()
    refused = preimage("traverse", run, "--out", "mine")
    assert refused.status == 2
    assert "exists already" in refused.err
    real = preimage(
        "traverse", run, "--by", "sefa-2", "--images", "zeros/0.png", "--steps", 3, "--out", "real",
        "--json",
    )  # fmt: skip
    assert real.json["starts"] == ["0.png"]
    assert real.json["strengths"] == [-3, 0, 3]


def test_a_direction_of_other_weights_is_refused_naming_both(
    preimage, run: Path, vae: Path
) -> None:
    pi.train("digits", recipe="vae-mlp", out="other", steps=2, validations=1, device="cpu", seed=1)
    preimage("direction", run, "--unlabelled", "sefa", "--count", 1)
    preimage("direction", run, "--share", "s.safetensors", "--name", "sefa-1")
    names = [pi.unlabelled_directions(pi.load(r), "sefa", count=1)[0].model for r in (run, "other")]
    shutil.copytree(run / "directions", "other/directions")
    for command in (
        ("direction", "other", "--from", "s.safetensors"),
        ("traverse", "other", "--by", "sefa-1"),
    ):
        outcome = preimage(*command)
        assert outcome.status == 2
        assert all(name in outcome.err for name in names)


def test_bad_input_is_one_line_and_nothing_is_written(preimage, run: Path, sides: Path) -> None:
    few = sides / "few"
    few.mkdir()
    for path in sorted((sides / "ones").iterdir())[:3]:
        shutil.copy(path, few)
    source = ("--images", "both", "--labels", "known.csv")
    for arguments, words in [
        ((), "give one of --positive"),
        (("--all", "--list"), "give one of --positive"),
        (("--positive", "zeros"), "give both"),
        (("--positive", "zeros", "--negative", "few"), "3 examples of 'negative'; at least 5"),
        (("--positive", "zeros", "--negative", "nowhere"), "nowhere"),
        (("--attribute", "round"), "no attribute 'round'"),
        (("--attribute", "rond", *source), "did you mean 'round'"),
        (("--attribute", "class", "--name", "all", "-n", "300"), "cannot have one name"),
        (("--attribute", "ink", "--method", "magic", *source), "no method 'magic'"),
        (("--attribute", "round", "--keep", "round", *source), "cannot move and be kept"),
        (("--attribute", "round", "--keep", "nose", *source), "by the name 'nose'"),
        (("--unlabelled", "ica"), "no method 'ica'"),
        (("--unlabelled", "sefa", "--count", "1000"), "directions to find"),
        (("--remove", "smile"), "no direction 'smile'"),
        (("--share", "x", "--name", "smile"), "no direction 'smile'"),
        (("--share", "x"), "--name"),
        (("--from", "known.csv"), "known.csv is broken"),
        (("--positive", "zeros", "--negative", "ones", "--name", "../up"), "cannot name"),
    ]:
        outcome = preimage("direction", run, *arguments)
        assert outcome.status == 2, arguments
        assert words in outcome.err.splitlines()[-1], (arguments, outcome.err)
    assert not (run / "directions").exists()
    assert preimage("direction", "nowhere", "--list").status == 2
    assert preimage("traverse", run, "--reach", "nan").status == 2


def test_counterfactuals_are_fitted_listed_used_and_removed(preimage, run, sides, here) -> None:
    source = ("--images", "both", "--labels", "known.csv")
    fitted = preimage("direction", run, "--counterfactual", *source, "--json")
    assert fitted.status == 0, fitted.err
    assert Path(fitted.json["file"]) == run / "counterfactual.safetensors"
    assert fitted.json["examples"] == 60
    assert [row["name"] for row in fitted.json["attributes"]] == ["round", "ink", "mark"]
    unread = [row["name"] for row in fitted.json["attributes"] if row["r_squared"] <= 0]
    said = preimage("direction", run, "--list").out
    assert ("by its mean: " + ", ".join(unread) in said) == bool(unread)
    listed = preimage("direction", run, "--list", "--json").json
    assert listed["directions"] == []
    assert listed["counterfactual"]["attributes"] == fitted.json["attributes"]
    assert "counterfactual: of 60 images" in preimage("direction", run, "--list").out
    image = min((here / "zeros").iterdir())
    asked = ("--to", "round=no", "--by", "ink=90", "--strip", "-1,1")
    edited = preimage("edit", run, image, *asked, "--out", "edited", "--json")
    assert edited.status == 0, edited.err
    (row,) = edited.json["images"]
    assert set(row["strengths"]) == {"round", "ink"}
    assert "'ink' went" in row["notes"][0]
    assert (edited.json["move"], edited.json["by"]) == ("auto", {"ink": 90})
    linear = preimage("edit", run, image, "--by", "ink=1", "--move", "linear", "--out", "no")
    assert (linear.status, "no direction 'ink'" in linear.err) == (2, True)
    gone = preimage("direction", run, "--remove", "counterfactual")
    assert gone.status == 0, gone.err
    for refused in (
        ("direction", run, "--remove", "counterfactual"),
        ("edit", run, image, "--by", "ink=1", "--move", "counterfactual", "--out", "no"),
    ):
        outcome = preimage(*refused)
        assert outcome.status == 2
        assert len(outcome.err.strip().splitlines()) == 1
        assert "counterfactual" in outcome.err
    some = ("--attribute", "ink,round")
    fitted = preimage("direction", run, "--counterfactual", *some, *source, "--json")
    assert [row["name"] for row in fitted.json["attributes"]] == ["round", "ink"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--attribute", "inc"), "no attribute 'inc'"),
        (("--all",), "give one of"),
        (("--attribute", "ink", "-n", "8"), "at least 10 are needed"),
    ],
)
def test_counterfactuals_that_cannot_be_are_refused(preimage, run, sides, options, message) -> None:
    source = ("--images", "both", "--labels", "known.csv")
    outcome = preimage("direction", run, "--counterfactual", *source, *options)
    assert outcome.status == 2
    assert message in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not (run / "counterfactual.safetensors").exists()
