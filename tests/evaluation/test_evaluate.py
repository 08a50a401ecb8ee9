"""A report says what was planted: real images pass, copies, collapse and noise are found."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.core import ImageSpec, InputError, LatentSpace
from preimage.data import from_arrays
from preimage.evaluation import Material, evaluate
from preimage.evaluation.evaluate import SCORES, Report
from preimage.evaluation.meanings import GROUPS, MEANINGS
from preimage.evaluation.scorecard import HEADINGS, scorecard
from preimage.evaluation.sides import Held, Samples
from preimage.metrics.extractors import Features, extractor

SPEC = ImageSpec(1, 8, 8)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Real digits (N, 1, 8, 8) in a random order, and their classes."""
    data = pi.dataset("digits")
    order = np.random.default_rng(0).permutation(len(data))
    labels = data.batch_labels(order)
    assert labels is not None
    return data.batch(order), labels


def judged(made: Tensor, digits: tuple[Tensor, Tensor], *metrics: str, n: int = 600) -> Report:
    """Images beside the first n digits; the rest was trained on."""
    images, labels = digits
    material = Material(
        Held(images[:n]),
        Held(made),
        extractor("random", channels=1),
        train=Held(images[n:]),
        labels=labels[:n],
        train_labels=labels[n:],
        classes=tuple("0123456789"),
    )
    *_, report = evaluate(material, metrics=metrics or None, pictures=False)
    assert isinstance(report, Report)
    return report


def test_each_score_has_a_meaning_a_group_and_a_heading() -> None:
    assert set(GROUPS) == set(SCORES) == set(HEADINGS)


def test_real_images_in_the_place_of_samples_cannot_be_told_from_real_ones(digits) -> None:
    images, _ = digits
    made = images[600:1200]  # that were trained on, but not copied one by one to all
    report = judged(made, digits, "quality", "fidelity", "collapse")
    names = ("fid", "fid-infinity", "kid", "precision", "recall", "density", "coverage", "support")
    for name in names:
        assert "indistinguishable" in report[name].word, name
    assert report["modes"].measure.value == 10


def test_noise_is_worse_than_real_images(digits) -> None:
    noise = torch.rand(600, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    report = judged(noise, digits, "fid", "kid", "precision")
    assert {score.word for score in report.scores} == {"worse than real data"}


def test_planted_copies_are_found(digits) -> None:
    report = judged(digits[0][600:1200], digits, "memorisation")
    assert report["copies"].measure.value == 1
    assert report["novelty"].measure.high < 0.1
    assert report["c-t"].measure.value < -10
    assert report["authenticity"].word == "below real data"
    assert "600 samples equal those of a training image" in report["copies"].note


def test_planted_collapse_is_found(digits) -> None:
    images, labels = digits
    ones = images[600:][labels[600:] == 1]
    made = ones[torch.arange(600) % len(ones)]
    report = judged(made, digits, "fidelity", "collapse")
    assert report["modes"].measure.value < 4
    right = re.search(r"missing: (.*)\. A classifier.* right about ([\d.]+)%", report["modes"].note)
    assert right is not None
    assert "1" not in right[1].split(", ")  # the class there is
    assert float(right[2]) > 85
    assert report["coverage"].word == "worse than real data"
    assert report["support"].measure.high < 600
    assert report["support"].word == "worse than real data"


def test_features_are_compared_with_features() -> None:
    numbers = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 900, 6, generator=numbers)
    report = pi.evaluate(fake + 1, real, metrics=("fid-infinity", "kid"))
    assert report["fid-infinity"].measure.low < 6 < report["fid-infinity"].measure.high
    assert report["kid"].word == "worse than real data"
    with pytest.raises(InputError, match=r"mse \(--metrics\)"):
        pi.evaluate(fake, real, metrics=("mse",))


def test_a_name_stands_for_itself_and_too_few_images_say_how_many_it_takes() -> None:
    rows = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
    report = pi.evaluate(rows, rows, metrics="kid")
    assert [score.name for score in report.scores] == ["kid"]
    with pytest.raises(InputError, match=r"^fid, kid \(--metrics\).* 79 real images.* give 80$"):
        pi.evaluate(rows, rows[1:], metrics=("fid", "kid"))
    with pytest.raises(InputError, match=r"^quality \(--metrics\)"):
        pi.evaluate(rows, rows[1:], metrics="quality")


def test_features_of_different_extractors_are_refused() -> None:
    rows = torch.randn(100, 4)
    with pytest.raises(InputError, match="compute both with the same"):
        pi.evaluate(Features(rows, "a"), Features(rows, "b"), metrics=("fid",))


def test_features_of_a_module_of_ones_own_are_those_it_computes_now() -> None:
    class Take(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.n = n  # in no tensor of the module

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, -self.n :]

    data = pi.dataset("digits")
    made = data.batch(np.arange(100, 200))
    for n in (4, 40):
        report = pi.evaluate(made, data, features=Take(n), metrics=("precision",), n=100)
        assert report["precision"].measure.value > 0.5


class Blobs(nn.Module):
    """z (B, 2) → images of one bright blob, at z."""

    def forward(self, z: Tensor) -> Tensor:
        y, x = torch.meshgrid(torch.linspace(-2, 2, 8), torch.linspace(-2, 2, 8), indexing="ij")
        distance = (x - z[:, :1, None]).square() + (y - z[:, 1:, None]).square()
        return (2 * torch.exp(-distance) - 1)[:, None]


def test_the_very_generator_of_the_real_images_is_as_good_as_they(tmp_path: Path) -> None:
    model = pi.wrap(Blobs(), data=SPEC, space=LatentSpace((2,)))
    real = model.sample(400, seed=1)
    report = pi.evaluate(
        model, real, metrics=("quality", "fidelity", "geometry"), out=tmp_path / "report"
    )
    for name in ("fid-infinity", "kid", "precision", "coverage"):
        assert "indistinguishable" in report[name].word, name
    assert report["condition-number"].measure.low >= 1
    written = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert written["scores"]["kid"]["value"] == pytest.approx(report["kid"].measure.value)
    assert "KID" in (tmp_path / "report" / "report.html").read_text()


def test_paths_are_measured_by_the_network_as_it_judges() -> None:
    model = pi.wrap(Blobs(), data=SPEC, space=LatentSpace((2,)))
    real = model.sample(100, seed=1)
    nets = [nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Dropout(0.9))]
    one, other = (
        pi.evaluate(model, real, features=net.train(), metrics=("path-length",))["path-length"]
        for net in nets
    )
    assert one.measure == other.measure


class Halved(nn.Module):
    """Images as they are for a latent, and half as bright when they come back."""

    def forward(self, z: Tensor) -> Tensor:
        return z / 2


def test_each_score_of_factors_is_taken_where_it_can_be() -> None:
    side = nn.Upsample(scale_factor=4)
    model = pi.wrap(side, encoder=nn.AvgPool2d(4), data=SPEC, space=LatentSpace((1, 2, 2)))
    n, numbers = 150, np.random.default_rng(0)
    images = np.kron(numbers.uniform(-1, 1, (n, 1, 2, 2)), np.ones((4, 4)))
    kind = np.where(numbers.random(n) < 0.3, 0, 1 + (images[:, 0, 0, 0] > 0))
    data = from_arrays(
        images,
        range=(-1, 1),
        attributes={"corner": images[:, 0, 7, 7], "kind": kind},
        categories={"kind": ("", "dark", "light")},
    )
    report = pi.evaluate(model, data, metrics=("disentanglement",))
    assert report.skipped == {"mig": "150 images are too few for 20 bins; give 200"}
    assert len(report.scores) == 6
    known = f"factor 'kind' is known of {(kind > 0).sum()} of 150 images"
    assert all(known in score.note for score in report.scores)
    assert report["sap"].measure.value > 0.65  # half of a word of two is guessed
    del data.attributes["kind"], data.categories["kind"]
    assert pi.evaluate(model, data, metrics=("sap",))["sap"].measure.value > 0.8  # of one factor
    with pytest.raises(InputError, match=r"factor-vae \(--metrics\).*2 factors"):
        pi.evaluate(model, data, metrics=("sap", "factor-vae"))


class Told(nn.Module):
    """What it is told, as a shade of grey or a latent, whatever else it is given."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, _: Tensor, labels: Tensor) -> Tensor:
        return (labels / 10).view(-1, *[1] * len(self.shape)).expand(-1, *self.shape)


def test_a_model_is_told_the_class_of_the_same_name() -> None:
    classes = tuple("0123456789")
    space = LatentSpace((2,))
    model = pi.wrap(Told(1, 8, 8), encoder=Told(2), data=SPEC, space=space, classes=classes)
    places = np.arange(100) % 2  # in the data's own classes, the folders 3 and 5
    images = np.where(places, 0.5, 0.3)[:, None, None, None] * np.ones((100, *SPEC.shape))
    data = from_arrays(images, np.array(["3", "5"])[places], range=(-1, 1))
    assert data.classes == ("3", "5")
    assert pi.evaluate(model, data, metrics=("mse",))["mse"].measure.value < 1e-4
    other = from_arrays(images, np.array(["3", "x"])[places], range=(-1, 1))
    with pytest.raises(InputError, match="these have none it knows"):
        pi.evaluate(model, other, metrics=("mse",))


def test_lpips_is_taken_where_it_is_asked_for(monkeypatch) -> None:
    class Net(nn.Module):  # stands in for the calibrated network
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return (x - y).square().mean((1, 2, 3), keepdim=True)

    spec = ImageSpec(3, 32, 32)
    model = pi.wrap(Halved(), encoder=nn.Identity(), data=spec, space=LatentSpace(spec.shape))
    images = torch.rand(40, *spec.shape, generator=torch.Generator().manual_seed(0))
    monkeypatch.setitem(sys.modules, "lpips", None)
    assert (
        "--metrics lpips"
        in pi.evaluate(model, images, metrics=("reconstruction",)).skipped["lpips"]
    )
    with pytest.raises(InputError, match="'lpips' needs an extra: pip install"):
        pi.evaluate(model, images, metrics=("lpips",))
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=lambda **_: Net()))
    found = pi.evaluate(model, images, metrics=("lpips", "mse"))
    expected = (images / 2).square().mean().item()
    assert found["lpips"].measure.value == pytest.approx(expected, rel=1e-5)
    assert found["mse"].measure.value == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="32 pixels"):
        pi.evaluate(images[..., :8, :8], images[..., :8, :8], metrics=("lpips",))


def test_samples_are_the_same_in_batches_and_one_by_one() -> None:
    model = pi.wrap(Blobs(), data=SPEC, space=LatentSpace((2,)))
    side = Samples(model, 300, seed=3)
    whole = torch.cat(list(side.batches()))
    assert torch.allclose(side.pick([0, 7, 299]), whole[[0, 7, 299]], atol=1e-6)


def test_a_function_is_a_generator() -> None:
    model = pi.wrap(Blobs(), data=SPEC, space=LatentSpace((2,)))

    def draw(n: int, seed: int) -> Tensor:
        return model.sample(n, seed=seed + 9)

    report = pi.evaluate(draw, model.sample(300, seed=1), metrics=("kid",))
    assert "indistinguishable" in report["kid"].word
    with pytest.raises(InputError, match="n and a seed"):
        pi.evaluate(lambda n, seed: draw(n - 1, seed), model.sample(300), metrics=("kid",))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return pi.train("digits", recipe="vae-mlp", steps=300, out=out).path


@pytest.mark.slow
def test_a_run_is_judged_by_what_it_held_out(run, tmp_path: Path) -> None:
    report = pi.evaluate(run, out=tmp_path / "report")
    assert set(report.skipped) == {"disentanglement", "lpips"}
    assert {MEANINGS[score.name].group for score in report.scores} == {*GROUPS} - {
        "disentanglement"
    }
    assert set(report.figures) == {"samples", "density", "nearest", "reconstructions", "classes"}
    assert report["elbo"].measure.value <= report["importance-bound"].measure.value
    assert report["elbo"].word == "indistinguishable from training images at this sample size"
    assert all(
        score.measure.low <= score.measure.value <= score.measure.high for score in report.scores
    )
    text = scorecard(report)
    assert "How good is run?" in text
    assert 'src="http' not in text


@pytest.mark.slow
def test_beside_other_images_copies_are_told_by_what_the_run_held_out(
    run, digits, tmp_path: Path
) -> None:
    names = ("novelty", "copies", "c-t")
    own = pi.evaluate(run, metrics=names)
    trained = pi.evaluate(run, "digits", metrics=(*names, "modes"), n=150)
    assert "trained on" in trained.notes[0]
    for name in names:  # images that were trained on are no yardstick of copies
        assert trained[name].measure.value == pytest.approx(own[name].measure.value, rel=0.7)
    pi.save_images(-digits[0][:100], tmp_path / "other")
    for kind in (3, 5):
        pi.save_images(digits[0][digits[1] == kind][:30], tmp_path / "two" / str(kind))
    two = pi.evaluate(run, tmp_path / "two", metrics=("modes",))["modes"]
    right = re.search(r"right about ([\d.]+)%", two.note)
    assert right is not None
    assert float(right[1]) > 85  # by their own names
    other = pi.evaluate(run, tmp_path / "other", metrics=("modes", "kid"))
    assert other["modes"].measure.value > 5  # by the classes of the run: the folder has none
    assert other["kid"].word == "worse than real data"


def test_folders_of_two_sizes_are_brought_to_one_and_it_is_said(digits, tmp_path: Path) -> None:
    images = digits[0]
    pi.save_images(images[:100], tmp_path / "real")
    pi.save_images(nn.functional.interpolate(images[100:200], scale_factor=2), tmp_path / "made")
    pi.save_images(images[200:300], tmp_path / "more")
    (note,) = pi.evaluate(tmp_path / "made", tmp_path / "real", metrics=("kid",)).notes
    assert "8×8 grey" in note
    assert "16×16 grey" in note
    assert not pi.evaluate(tmp_path / "more", tmp_path / "real", metrics=("kid",)).notes


def test_what_cannot_be_taken_is_said_and_asked_for_is_refused(digits) -> None:
    images, _ = digits
    report = pi.evaluate(images[:200], images[200:400], metrics=("quality", "collapse"))
    assert set(report.skipped) == {"inception-score", "modes"}
    assert "give a classifier" in report.skipped["modes"]
    for name in report.skipped:
        with pytest.raises(InputError, match=f"{name}.*give a classifier"):
            pi.evaluate(images[:200], images[200:400], metrics=("kid", name))


def test_where_nothing_can_be_measured_there_is_no_report(digits) -> None:
    rows, images = torch.randn(100, 4), digits[0]
    broken = torch.where(rows > 2, torch.nan, rows)
    with pytest.raises(InputError, match="NaN"):
        pi.evaluate(broken, rows)
    with pytest.raises(InputError, match="compute both with the same"):
        pi.evaluate(Features(rows, "a"), Features(rows, "b"))
    with pytest.raises(InputError, match=r"nothing could be measured.*NaN"):
        pi.evaluate(images[:99], images[99:], features=lambda x: x.flatten(1) * torch.nan)
    with pytest.raises(InputError, match="not the folder of a run"):
        pi.evaluate("no/such/run")


def test_what_cannot_be_judged_is_refused_in_a_line(tmp_path: Path, digits) -> None:
    images, _ = digits
    with pytest.raises(InputError, match="fid"):
        pi.evaluate(images, images, metrics=("fidd",))
    with pytest.raises(InputError, match="as the second argument"):
        pi.evaluate(images)
    with pytest.raises(InputError, match="too few"):
        pi.evaluate(images[:5], images)
    with pytest.raises(InputError, match="bring them to one size"):
        pi.evaluate(torch.zeros(50, 1, 16, 16), images)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(InputError, match="exists already"):
        pi.evaluate(images, images, out=tmp_path / "taken")


def test_only_what_is_asked_for_is_computed(digits, monkeypatch) -> None:
    """A single score of a group does not pay for the others."""
    images, _ = digits
    costly = {
        "preimage.metrics.quality": ("kernel_distances", "fidelities", "inception_score"),
        "preimage.evaluation.memory_scores": ("copying", "authenticity", "near_copies"),
        "preimage.evaluation.variety_scores": ("birthday",),
        "preimage.evaluation.material": ("LogisticRegression",),
    }

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("nobody asked for this")

    with monkeypatch.context() as patched:
        for module, names in costly.items():
            for name in names:
                patched.setattr(sys.modules[module], name, forbidden)
        report = judged(images[600:1200], digits, "fid", "novelty")
        assert [score.name for score in report.scores] == ["fid", "novelty"]
    whole = judged(images[600:1200], digits, "quality", "memorisation")
    assert whole["fid"] == report["fid"]
    assert whole["novelty"] == report["novelty"]


def test_neighbours_among_training_images_are_found_once(digits, monkeypatch) -> None:
    images, _ = digits
    asked = []
    material = sys.modules["preimage.evaluation.material"]
    plain = material.around
    monkeypatch.setattr(material, "around", lambda *sets: asked.append(0) or plain(*sets))
    judged(images[600:1200], digits, "memorisation")
    assert len(asked) == 2  # around samples, and around what was held out
