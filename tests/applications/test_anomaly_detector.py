"""The whole detector: planted anomalies found, kept and opened again, told what it cannot do."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import pytest
import torch
from test_anomaly_scores import SIDE, good_images, linear_model
from torch import Tensor

from preimage.applications.anomaly import Detector, suite, tuning
from preimage.applications.anomaly.calibration import BorderCalibration, Standard
from preimage.applications.anomaly.combining import auroc
from preimage.applications.anomaly.defects import FORMS, clouds
from preimage.applications.anomaly.scores.score import Reading
from preimage.applications.anomaly.scores.unet import PlantedDefects
from preimage.applications.anomaly.tuning import Tuning
from preimage.core import InputError, Step

RATE = 0.05


def odd_images(n: int, seed: int) -> Tensor:
    """Good ones with a second bar."""
    x = good_images(n, seed)
    x[:, :, 15:20, 3:9] = 0.6
    return x


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(false_alarms=RATE).fit(
        good_images(200), model=linear_model(), validation=good_images(120, seed=21)
    )


def test_what_is_odd_is_found_and_what_is_good_mostly_left_alone(detector: Detector) -> None:
    good, odd = good_images(300, seed=11), odd_images(40, seed=12)
    assert detector.predict(odd).float().mean() > 0.95
    assert detector.predict(good).float().mean() < RATE + 0.06
    p = detector.p_values(odd)
    assert (p <= RATE).double().mean() > 0.95
    assert torch.equal(detector.predict(good), (detector.p_values(good) <= RATE).long())
    both = detector.predict_proba(good)
    assert torch.allclose(both.sum(1), torch.ones(300, dtype=torch.float64))


def test_heat_maps_point_at_what_is_odd(detector: Detector) -> None:
    rise = (detector.maps(odd_images(20, 13)) - detector.maps(good_images(20, 13))).mean(0)
    assert rise.shape == (SIDE, SIDE)
    assert rise[15:20, 3:9].mean() > 3 * rise[:12, 12:].abs().mean()
    maps = detector.maps(good_images(200, seed=14))
    assert abs(float(maps.mean())) < 0.5  # below 0: calibrated by scores fitted to half of them
    assert 0.6 < float(maps.std()) < 1.4


def test_a_model_that_knows_its_images_by_heart_does_no_harm() -> None:
    """It redraws what it has learnt to the last bit, and all else with an error."""
    known, fresh, good = good_images(150), good_images(260, seed=22), good_images(300, seed=23)
    model = linear_model(known, rank=149)
    odd, g = good.clone(), torch.Generator().manual_seed(0)
    odd[:, :, 15:20, 3:9] += 0.12 * torch.rand(300, 1, 1, 1, generator=g)
    names = ("hog-neighbours", "hog-distance")
    alone, both = (
        Detector(scores=scores, false_alarms=RATE).fit(known, model=model, validation=fresh)
        for scores in (names, (*names, "reconstruction"))
    )

    def area(found: Detector) -> float:
        scores = [found.decision_function(x)[:, None] for x in (odd, good)]
        return float(auroc(*scores))

    assert area(both) > area(alone) - 0.005
    assert both.predict(good).float().mean() < RATE + 0.04
    notes: list[str] = []
    found = Detector(false_alarms=RATE).fit(
        known, model=model, progress=lambda step: notes.extend(step.notes)
    )
    assert not found.uses_model  # nothing is fresh
    assert any("the model takes no part" in note for note in notes)


def test_images_are_judged_alike_in_any_batch(detector: Detector) -> None:
    x = torch.cat([good_images(3, 15), odd_images(3, 15)])
    whole = detector.decision_function(x)
    alone = torch.cat([detector.decision_function(x[i : i + 1]) for i in range(6)])
    assert torch.allclose(whole, alone, atol=2e-3)


def test_opened_again_it_judges_the_same(detector: Detector) -> None:
    tensors, config = detector.state()
    again = Detector.from_state(tensors, json.loads(json.dumps(config)), linear_model())
    x = odd_images(5, seed=16)
    assert torch.equal(again.decision_function(x), detector.decision_function(x))
    assert torch.equal(again.maps(x), detector.maps(x))  # type: ignore[arg-type]
    assert again.threshold == detector.threshold
    assert again.suspects == detector.suspects
    with pytest.raises(InputError, match="give its model"):
        Detector.from_state(tensors, config, None)


def test_an_explanation_adds_up(detector: Detector) -> None:
    x = odd_images(4, seed=17)
    found = detector.explain(x)
    assert found.reconstruction is not None
    assert torch.allclose(found.residual, x - found.reconstruction)  # type: ignore[arg-type]
    total = sum(found.weights[name] * values for name, values in found.parts.items())
    assert torch.allclose(total, found.scores, atol=1e-4)  # type: ignore[arg-type]
    assert sum(found.weights.values()) == pytest.approx(1, abs=1e-5)


def test_anomalies_among_the_good_images_are_listed() -> None:
    images = good_images(200, seed=18)
    planted = [7, 60, 151]
    images[planted] = odd_images(3, seed=19)
    found = Detector(false_alarms=RATE).fit(images).suspects
    assert set(planted) <= set(found)
    assert len(found) <= 8


def test_images_of_many_sizes_are_judged_together() -> None:
    g = torch.Generator().manual_seed(0)
    images = [torch.randn(1, 30 + i % 3, 40, generator=g) * 0.2 for i in range(60)]
    detector = Detector(false_alarms=0.1).fit(images, groups=[i // 2 for i in range(60)])
    maps = detector.maps(images[:4])
    assert isinstance(maps, list)
    assert [tuple(m.shape) for m in maps] == [tuple(x.shape[1:]) for x in images[:4]]
    spoilt = [x.clone() for x in images[:9]]
    for x in spoilt:
        x[:, 10:18, 10:18] += 0.8
    assert detector.predict(spoilt).float().mean() > 0.8


def test_photographs_of_one_thing_are_never_apart() -> None:
    groups = [i // 4 for i in range(80)]
    fitted, held = Detector(false_alarms=0.1)._split(torch.zeros(80, 1, 8, 8), None, groups)
    assert not {groups[i] for i in fitted.tolist()} & {groups[i] for i in held.tolist()}
    assert len(held) >= 20
    folds = Tuning({}, None, torch.zeros(80, 1, 8, 8))._folds(torch.tensor(groups))
    assert all(len(folds[4 * i : 4 * i + 4].unique()) == 1 for i in range(20))
    assert folds.bincount().tolist() == [40, 40]


def test_images_of_one_group_cannot_be_halved() -> None:
    images, one = good_images(60), [0] * 60
    with pytest.raises(InputError, match="all good images are of one group"):
        Detector(false_alarms=0.1).fit(images, groups=one, validation=good_images(60, seed=2))
    made = Detector(scores="density", false_alarms=0.1).fit(
        images, model=linear_model(), groups=one, validation=good_images(80, seed=2)
    )
    assert len(made.good) == 40


def test_a_threshold_is_set_on_as_many_as_its_rate_takes_and_on_none_that_weighed(
    detector: Detector,
) -> None:
    few = Detector(false_alarms=RATE, heldout=0.01)._split(torch.zeros(80, 1, 8, 8), None, None)
    assert [len(part) for part in few] == [61, 19]
    assert len(detector.good) == 60  # of the 120 that were fresh, half weighed the model's scores


def test_maps_are_summed_by_their_weights() -> None:
    g = torch.Generator().manual_seed(0)
    maps = {name: torch.rand(3, 8, 9, generator=g) for name in ("one", "two", "none")}
    plain = BorderCalibration(torch.zeros(1, 1), torch.full((1, 1), 0.5))
    parts = suite.Parts(dict.fromkeys(maps, plain), {"one": 0.25, "two": 0.75}, ())
    _, total = parts({name: Reading(maps=m) for name, m in maps.items()}, (8, 9))
    assert torch.allclose(total, (0.25 * maps["one"] + 0.75 * maps["two"]) / 0.5)


def test_what_only_one_map_shows_makes_an_image_as_odd_as_that_map_alone_would() -> None:
    g = torch.Generator().manual_seed(0)
    names = ("one", "two", "three", "four")
    plain = BorderCalibration(torch.zeros(1, 1), torch.ones(1, 1))
    parts = suite.Parts(dict.fromkeys(names, plain), dict.fromkeys(names, 0.25), ())

    def images(n: int, spot: float) -> dict[str, Tensor]:
        maps = {name: (k + 1) * torch.randn(n, 40, 50, generator=g) for k, name in enumerate(names)}
        maps["one"][:, 5:7, 5:7] += spot  # of the smallest noise, and drowned by the others'
        return maps

    good = images(400, 0)
    tops = Standard.fit(suite.highest_of(good, parts.summed(good)))
    parts = replace(parts, tops=tops)
    assert parts.names == ("map: highest", "map: stands out", "map: mean", "map: oddest")
    sides = [
        parts({k: Reading(maps=m) for k, m in images(400, s).items()}, (40, 50))[0] for s in (0, 4)
    ]
    areas = dict(zip(parts.names, auroc(sides[1], sides[0]).tolist(), strict=True))
    assert areas["map: highest"] < 0.7
    assert areas["map: oddest"] > 0.95
    known = [Reading(maps=torch.zeros(2, 40, 50)) for _ in names]
    (row, _), total = parts(dict(zip(names, known, strict=True)), (40, 50))
    assert row[-1] == pytest.approx(float((-tops.middle / tops.spread).max()))
    assert not total.any()


def surfaces(n: int, seed: int) -> Tensor:
    """Photographs of a rough surface."""
    g = torch.Generator().manual_seed(seed)
    return torch.stack([0.2 * clouds((64, 72), 0.5, g)[None] for _ in range(n)]).clamp(-1, 1)


def test_on_surfaces_a_net_takes_part_that_is_weighed_on_images_it_has_not_learnt_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brief = functools.partial(PlantedDefects, steps=8, width=4)
    monkeypatch.setitem(suite.ALONE, "planted-defects", brief)
    images = surfaces(200, seed=1)
    odd = [77, 140]
    images[odd, :, 20:40, 20:40] = torch.tensor([1.0, 1, -1, -1]).repeat(20, 5)
    steps: list[Step] = []
    made = Detector(scores=("patches", "planted-defects"), false_alarms=RATE)
    made.fit(images, progress=steps.append)
    assert "teach a net planted defects" in {step.stage for step in steps}
    assert len(made.good) == 200 * 0.25 - 25  # the others weighed the scores
    assert set(odd) <= set(made.suspects)
    assert len(made.suspects) < 20
    tensors, config = made.state()
    again = Detector.from_state(tensors, json.loads(json.dumps(config)), None)
    x = surfaces(3, seed=2)
    assert torch.equal(again.decision_function(x), made.decision_function(x))
    for n, there in ((200, True), (60, False)):
        steps.clear()
        auto = Detector(false_alarms=RATE).fit(images[:n], progress=steps.append)
        assert ("planted-defects" in auto.options) is there
        notes = [note for step in steps for note in step.notes]
        assert (
            any("a net that is taught planted defects takes no part" in n for n in notes)
            is not there
        )


def test_a_net_that_planted_defects_flatter_has_a_third_of_the_map(monkeypatch) -> None:
    class Same:
        def read(self, x: Tensor) -> Reading:
            return Reading(maps=x[:, 0])

    names = ("patches", "planted-defects")
    images, masks = good_images(4), [torch.rand(SIDE, SIDE) < 0.5 for _ in range(4)]
    found = Tuning({}, None, images)
    plain = BorderCalibration(torch.zeros(1, 1), torch.ones(1, 1))
    found.parts = suite.Parts(dict.fromkeys(names, plain), dict.fromkeys(names, 0.5), ())
    monkeypatch.setattr(tuning, "weights", lambda good, bad: torch.tensor([0.1, 0.9]))
    planted = dict.fromkeys(FORMS, (torch.arange(4), list(images), masks))
    fitted: list = [dict.fromkeys(names, Same())]
    w = found._map_weights(fitted, torch.zeros(4, dtype=torch.long), planted)
    assert w == pytest.approx({"patches": 2 / 3, "planted-defects": 1 / 3})


@pytest.mark.parametrize(
    ("options", "n", "words"),
    [
        ({"false_alarms": 0.01}, 150, "150 good images are too few .* it takes 198"),
        ({"false_alarms": 1.5}, 150, "must lie between 0 and 1"),
        ({"heldout": 0.0}, 150, "must lie between 0 and 1"),
        ({"scores": "hog-neighbour"}, 200, "did you mean 'hog-neighbours'"),
        ({"scores": ("density",)}, 200, "give a model"),
        ({"scores": ()}, 200, "names no score"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(options: dict, n: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Detector(**options).fit(good_images(n))


def test_images_that_cannot_be_used_are_named() -> None:
    detector = Detector(false_alarms=RATE)
    spoilt = good_images(60)
    spoilt[3, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="image 3 holds values that are not finite"):
        detector.fit(spoilt)
    with pytest.raises(InputError, match="give \\(N, C, H, W\\)"):
        detector.fit(torch.zeros(60, 24, 24))
    with pytest.raises(InputError, match="no images were given"):
        detector.fit([])
    with pytest.raises(InputError, match="the model draws"):
        detector.fit(torch.zeros(60, 1, 10, 10), model=linear_model())
    with pytest.raises(InputError, match="3 good validation images are too few"):
        detector.fit(good_images(60), validation=good_images(3))
