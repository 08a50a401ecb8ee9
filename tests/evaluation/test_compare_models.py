"""`preimage.compare`: what it takes, what it writes, what it refuses."""

import json
import shutil
from dataclasses import replace

import pytest

import preimage as pi
from preimage.api.comparison import compare

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    steps = []
    found = compare(
        "digits", recipes=("vae-mlp", "gan-mlp"), out=out, steps=3, progress=steps.append
    )
    return out, found, steps


def test_one_command_trains_and_reports(compared):
    out, found, steps = compared
    assert [c.name for c in found.contenders] == ["vae-mlp", "gan-mlp"]
    vae, gan = (c.scores for c in found.contenders)
    assert vae.error is not None
    assert gan.error is None
    numbers = json.loads((out / "comparison.json").read_text())
    assert numbers["scores"]["vae-mlp"]["coverage"]["value"] == vae.coverage.value
    page = (out / "report.html").read_text()
    assert "Sharpness" in page
    assert "http:" not in page
    assert "https:" not in page
    stages = [step.stage for step in steps]
    assert stages[0].startswith("vae-mlp: ")
    assert stages[-1] == "comparing"


def test_finished_runs_score_the_same(compared):
    out, found, _ = compared
    again = compare(out / "vae-mlp", out / "gan-mlp")
    assert again.to_json() == found.to_json()


def test_a_run_whose_images_have_gone_may_have_seen_the_real_ones(compared, tmp_path):
    out, found, _ = compared
    shutil.copytree(out / "gan-mlp", tmp_path / "gone")
    config = json.loads((tmp_path / "gone" / "config.json").read_text())
    config["data"]["source"] = str(tmp_path / "images")
    (tmp_path / "gone" / "config.json").write_text(json.dumps(config))
    again = compare(out / "vae-mlp", tmp_path / "gone")
    vae, gone = (contender.scores for contender in again.contenders)
    assert vae == found.contenders[0].scores
    assert gone == replace(found.contenders[1].scores, novelty=None)
    assert "What gone was trained on could not be read" in again.notes[0]


def test_models_of_one_name_are_told_apart(compared):
    model = pi.load(compared[0] / "vae-mlp")
    found = compare(model, model, source=pi.dataset("digits"), n=60)
    assert [c.name for c in found.contenders] == ["Autoencoder", "Autoencoder 2"]
    assert found.contenders[0].scores == found.contenders[1].scores


def test_what_cannot_be_compared(compared, tmp_path):
    out = compared[0]
    model = pi.load(out / "vae-mlp")
    with pytest.raises(pi.InputError, match="nothing to compare"):
        compare()
    with pytest.raises(pi.InputError, match="one model has nothing to be compared with"):
        compare(out / "vae-mlp")
    with pytest.raises(pi.InputError, match="need source="):
        compare(model, model)
    with pytest.raises(pi.InputError, match="exists already"):
        compare("digits", out=out)
    with pytest.raises(pi.InputError, match="fewer than two"):
        compare("digits", recipes=("gan",), out=tmp_path / "new")
    with pytest.raises(pi.InputError, match="'steps' is an option of training"):
        compare(out / "vae-mlp", out / "gan-mlp", steps=10)
    assert not (tmp_path / "new").exists()
