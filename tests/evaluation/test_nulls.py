"""Beside each score stands the same of what it is said to be held against, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.core import ImageSpec, LatentSpace
from preimage.evaluation import Material, evaluate
from preimage.evaluation.evaluate import Report
from preimage.evaluation.membership import Candidates
from preimage.evaluation.sides import Held
from preimage.metrics import Moments, extract, frechet_distance
from preimage.metrics.extractors import extractor
from preimage.metrics.inception_score import inception_score
from preimage.metrics.memorisation import nearest_ratio

SPEC = ImageSpec(1, 4, 4)


def images(n: int, *, seed: int, scale: float = 1.0) -> Tensor:
    numbers = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, *SPEC.shape, generator=numbers).clamp(-1, 1)


def taken(material: Material, *names: str) -> Report:
    *_, report = evaluate(material, metrics=names, pictures=False)
    assert isinstance(report, Report)
    return report


class Halved(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z / 2


def halving() -> pi.LatentModel:
    """Every image comes back half as bright, so that its error is a quarter of its square."""
    return pi.wrap(Halved(), encoder=nn.Identity(), data=SPEC, space=LatentSpace(SPEC.shape))


def test_copies_are_held_against_what_new_images_score() -> None:
    train, fresh = images(300, seed=0), images(300, seed=1)
    net = extractor("random", channels=1)
    report = taken(
        Material(Held(fresh), Held(train), net, train=Held(train)), "fid", "memorisation", "support"
    )
    null = {score.name: score.null.value for score in report.scores if score.null is not None}
    features = [extract(net.net, [x]) for x in (fresh[:150], train, fresh[150:])]
    assert null["novelty"] == pytest.approx(nearest_ratio(*features).value)
    assert null["authenticity"] > 0.2
    assert null["copies"] == pytest.approx(0.01, abs=0.003)
    assert report["copies"].measure.value == 1
    assert null["support"] > 300
    assert null["fid"] == pytest.approx(
        frechet_distance(*(Moments(extract(net.net, [x])) for x in (fresh, train))), rel=1e-6
    )


def test_reconstructions_are_held_against_those_of_training_images() -> None:
    real, train = images(100, seed=0), images(100, seed=1, scale=0.5)
    material = Material(
        Held(real), None, extractor("random", channels=1), model=halving(), train=Held(train)
    )
    score = taken(material, "mse")["mse"]
    assert score.null is not None
    assert score.measure.value == pytest.approx(real.square().mean().item() / 4, rel=1e-5)
    assert score.null.value == pytest.approx(train.square().mean().item() / 4, rel=1e-5)


def test_codes_that_are_the_factors_are_held_against_codes_that_know_nothing() -> None:
    spec = ImageSpec(1, 2, 1)
    model = pi.wrap(nn.Identity(), encoder=nn.Identity(), data=spec, space=LatentSpace(spec.shape))
    factors = np.random.default_rng(0).integers(0, 3, (2, 600))
    pixels = torch.from_numpy(factors.T.copy()).float().view(-1, 1, 2, 1) - 1
    material = Material(
        Held(pixels),
        None,
        extractor("random", channels=1),
        model=model,
        factors={"first": factors[0], "second": factors[1]},
    )
    report = taken(material, "mig", "dci-disentanglement", "sap")
    assert [score.name for score in report.scores] == ["mig", "dci-disentanglement", "sap"]
    for score in report.scores:
        assert score.null is not None
        assert score.measure.value > 0.4, score.name
        assert score.null.value < 0.2, score.name


def test_members_that_nothing_tells_are_found_no_oftener_than_by_guessing() -> None:
    known = Candidates(images(500, seed=0), images(500, seed=1))
    material = Material(
        Held(images(50, seed=2)),
        None,
        extractor("random", channels=1),
        model=halving(),
        candidates=known,
    )
    report = taken(material, "membership")
    assert report["membership-auc"].measure.value == pytest.approx(0.5, abs=0.1)
    assert report["membership-tpr"].measure.value < 0.1


def test_a_classifier_may_give_logits_or_probabilities() -> None:
    real, made = images(200, seed=0), images(200, seed=1)

    def logits(x: Tensor) -> Tensor:
        return x.flatten(1)[:, :3]

    scores = [
        taken(
            Material(Held(real), Held(made), extractor("random", channels=1), classifier=judge),
            "inception-score",
            "modes",
        )
        for judge in (logits, lambda x: logits(x).softmax(1))
    ]
    one, other = (report["inception-score"].measure.value for report in scores)
    assert one == pytest.approx(other, rel=1e-5)
    assert one == pytest.approx(inception_score(logits(made)).value, rel=1e-5)
    assert scores[0]["inception-score"].stamp is None  # it is of the classifier, not of features
    for report in scores:
        assert report["modes"].null is not None
        assert report["modes"].null.value == 3


def test_paths_on_the_sphere_are_others_than_straight_ones() -> None:
    """Of a linear decoder the straight path has 2 ‖A‖²; the great circle is longer."""
    report = pi.evaluate(
        halving(), images(60, seed=0), metrics=("path-length", "path-length-slerp")
    )
    straight, round_ = (report[n].measure.value for n in ("path-length", "path-length-slerp"))
    assert straight != pytest.approx(round_, rel=1e-3)
