"""Thorough preparation: the way that suits a generator, kept only if fresh samples gain by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from toys import bent_generator, linear_layer, mirrored_generator, relative, wrapped

import preimage as pi
from preimage.core import InputError, LatentModel, Step, Unsupported
from preimage.inversion import Inverter, Settings, thorough
from preimage.inversion import inverter as inverter_module
from preimage.inversion.cascade import Cascade, fit
from preimage.inversion.learned_cascade import LearnedCascade
from preimage.inversion.learned_cascade_training import learning
from preimage.inversion.operators import Downsample, Identity
from preimage.inversion.solvers.anderson import FixedPoint


@pytest.fixture(scope="module")
def bent() -> LatentModel:
    return bent_generator(6)


@pytest.fixture(scope="module")
def linear() -> LatentModel:
    return wrapped(linear_layer(), 5)


def lame(cascade: Cascade) -> Cascade:
    """The same start, from which no step leads on."""
    maps = cascade.maps.clone()
    maps[1:] = 0
    return replace(cascade, maps=maps)


def made(model: LatentModel, cascade: Cascade, **options: Any) -> thorough.Thorough | None:
    *_, last = thorough.preparing(model, cascade, **options)
    assert not isinstance(last, Step)
    return last


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the longer chain a short one."""

    def of(*, stages: int, pairs: int) -> None:
        monkeypatch.setattr(thorough, "STAGES", stages)
        monkeypatch.setattr(thorough, "PAIRS", pairs)

    return of


def outcome(model: LatentModel, cascade: FixedPoint) -> tuple[float, float]:
    trial = thorough._trial(model, Identity(), 0, None, None)
    return thorough._outcome(trial, cascade)


def test_a_linear_generator_is_inverted_by_the_first_regression(linear: LatentModel) -> None:
    cascade = fit(linear, pairs=512, stages=2)
    missed, decodings = outcome(linear, cascade)
    assert missed == 0
    assert decodings <= 3


def test_an_image_that_is_missed_costs_a_jacobian_more(bent: LatentModel) -> None:
    """The start, five steps that change nothing, and as many decodings as there are latents."""
    missed, decodings = outcome(bent, lame(fit(bent, pairs=512, stages=2)))
    assert missed == 1
    assert decodings == 1 + 5 + 6


def test_a_longer_chain_where_many_images_are_missed(
    bent: LatentModel, chain: Callable[..., None]
) -> None:
    chain(stages=8, pairs=2048)
    short = lame(fit(bent, pairs=512, stages=2))
    longer = made(bent, short)
    assert isinstance(longer, Cascade)
    assert len(longer.maps) == 8
    assert outcome(bent, longer)[1] < outcome(bent, short)[1]


def test_none_where_the_longer_chain_takes_as_many_decodings(
    bent: LatentModel, chain: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(stages=1, pairs=8)
    monkeypatch.setattr(thorough, "MISSED", -1.0)
    assert made(bent, fit(bent, pairs=2048)) is None


def test_none_where_it_is_no_better_than_the_quick_one(
    bent: LatentModel, chain: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(stages=6, pairs=2048)
    monkeypatch.setattr(thorough, "MISSED", -1.0)
    quick = fit(bent, pairs=2048)
    assert made(bent, quick) is None
    monkeypatch.setattr(thorough, "WORTH", 1.0)  # the same one, all but made twice
    assert isinstance(made(bent, quick), Cascade)


def test_none_for_many_latents(monkeypatch: pytest.MonkeyPatch, linear: LatentModel) -> None:
    monkeypatch.setattr(thorough, "DENSE", 4)
    assert list(thorough.preparing(linear, fit(linear, pairs=512))) == [None]


@pytest.mark.parametrize("better", ["nearer, and in fewer decodings", "nearer", "not nearer"])
def test_a_learned_cascade_where_nearly_all_arrive(
    linear: LatentModel, monkeypatch: pytest.MonkeyPatch, better: str
) -> None:
    monkeypatch.setattr(thorough, "WORTH", 9.0 if "fewer" in better else 0.0)

    def brief(model: LatentModel, cascade: Cascade, *rest: Any, **more: Any) -> Any:
        error = torch.zeros(1) if "not" in better else torch.ones(1)
        yield from learning(
            model, replace(cascade, errors=error), *rest, pairs=256, steps=2, **more
        )

    monkeypatch.setattr(thorough, "learning", brief)
    found = made(linear, fit(linear, pairs=512))
    assert isinstance(found, LearnedCascade) if "fewer" in better else found is None


def test_nothing_is_made_for_noisy_observations(linear: LatentModel) -> None:
    assert list(thorough.preparing(linear, fit(linear, pairs=512, noise=0.1))) == [None]


@pytest.mark.parametrize("through", [None, Downsample(2)], ids=["as it is", "smaller"])
def test_it_is_told_the_class_and_the_operator(
    chain: Callable[..., None], monkeypatch: pytest.MonkeyPatch, through: Any
) -> None:
    monkeypatch.setattr(thorough, "WORTH", 9.0)
    model = mirrored_generator()
    chain(stages=3, pairs=512)
    assert isinstance(made(model, lame(fit(model, through, pairs=64)), through=through), Cascade)


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A learned cascade, taught for a moment, as if regressions left so large an error."""

    def teach(error: float = 9.0, **options: Any) -> None:
        def lesson(
            model: LatentModel, cascade: Cascade, *rest: Any, **more: Any
        ) -> Iterator[Step | LearnedCascade | None]:
            hopeless = replace(cascade, errors=torch.tensor([error]))
            del more["tangents"]
            return learning(model, hopeless, *rest, **{**more, **options})

        monkeypatch.setattr(inverter_module, "preparing", lesson)

    return teach


@pytest.mark.parametrize("through", [None, Downsample(2)], ids=["as it is", "smaller"])
def test_inversion_by_it_finds_planted_latents(
    linear: LatentModel, briefly: Callable[..., None], through: Any
) -> None:
    briefly(pairs=1024, steps=200)
    ready = Inverter(linear)
    z = ready.model.space.sample(12, seed=2)
    x = ready.model.decode(z)
    y = x if through is None else through(x)
    found = pi.invert(ready, y, through=through, cascade="thorough")
    assert relative(found.z, z).max() < 1e-2
    (cascade,) = ready.thorough.values()
    assert cascade is not None
    settings = Settings.of(through=through, cascade="thorough")
    assert torch.equal(found.start, cascade.start(ready.problem(y, settings=settings)))


def test_where_none_is_better_the_quick_one_is_taken_and_it_is_said(
    linear: LatentModel, briefly: Callable[..., None]
) -> None:
    briefly(error=0.0, pairs=512, steps=10)
    ready = Inverter(linear)
    settings = Settings.of(cascade="thorough")
    for times in (1, 0):  # it is said once
        notes = [note for step in ready.prepare(settings) for note in step.notes]
        assert len([n for n in notes if "the quick one is taken" in n]) == times
    assert ready.thorough == {"Identity": None}
    assert ready.cascade(Identity(), settings) is ready.cascades["Identity"]


def test_what_is_prepared_is_for_the_operator(
    bent: LatentModel, chain: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(stages=4, pairs=1024)
    monkeypatch.setattr(thorough, "MISSED", -1.0)
    monkeypatch.setattr(thorough, "WORTH", 9.0)
    ready = Inverter(bent)
    z = bent.space.sample(64, seed=2)
    settings = Settings.of(through=Downsample(2), cascade="thorough")
    start = ready.invert(Downsample(2)(bent.decode(z)), settings=settings).start
    assert relative(start, z).median() < 0.8
    (better,) = ready.thorough.values()
    assert isinstance(better, Cascade)
    assert len(better.maps) == 4
    assert len(better.features.values) == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cascade": "thorogh"}, "thorough"),
        ({"cascade": "thorough", "method": "adam"}, "goes with the method and the start 'auto'"),
        ({"cascade": "thorough", "start": "mean"}, "goes with the method and the start 'auto'"),
    ],
)
def test_settings_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings.of(**options)


def test_none_can_be_made_where_there_is_no_cascade() -> None:
    large = Inverter(wrapped(nn.Linear(600, 64), 600))
    with pytest.raises(Unsupported, match="leave cascade='thorough' out"):
        pi.invert(large, torch.zeros(1, 1, 8, 8), cascade="thorough")
