"""Thresholds, p-values, borders and weights: closed forms, exact rates, and a second opinion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from preimage.applications.anomaly.calibration import (
    BorderCalibration,
    Standard,
    conformal_p_values,
    conformal_threshold,
    needed,
)
from preimage.applications.anomaly.combining import auroc, balanced_weights, capped, weights
from preimage.applications.anomaly.normalise import normalised
from preimage.core import InputError
from preimage.inversion.operators import Blur


@pytest.mark.parametrize(("n", "rate"), [(19, 0.05), (50, 0.05), (100, 0.1), (30, 0.33)])
def test_the_rate_of_false_alarms_is_exact_for_exchangeable_scores(n: int, rate: float) -> None:
    g = torch.Generator().manual_seed(0)
    trials = 20_000
    good = torch.randn(trials, n, generator=g).exp()
    fresh = torch.randn(trials, generator=g).exp()
    rank = sorted(range(1, n + 1))[int(np.ceil((n + 1) * (1 - rate) - 1e-9)) - 1]
    thresholds = torch.tensor([conformal_threshold(row, rate) for row in good[:200]])
    assert torch.allclose(thresholds, good[:200].sort(1).values[:, rank - 1])
    alarms = (fresh > good.sort(1).values[:, rank - 1]).double().mean().item()
    expected = (n + 1 - rank) / (n + 1)  # exactly, and at most the rate
    assert expected <= rate < expected + 1 / (n + 1)
    assert abs(alarms - expected) < 4 * (expected / trials) ** 0.5


def test_an_alarm_is_a_p_value_up_to_the_rate() -> None:
    good, fresh = torch.randn(99), torch.randn(1000)
    alarms = fresh > conformal_threshold(good, 0.07)
    assert torch.equal(alarms, conformal_p_values(fresh, good) <= 0.07)


def test_p_values_count_good_images_as_odd() -> None:
    p = conformal_p_values(torch.tensor([0.0, 2.0, 2.5, 9.0]), torch.tensor([3.0, 1.0, 2.0]))
    assert p.tolist() == [1.0, 3 / 4, 2 / 4, 1 / 4]


@pytest.mark.parametrize(("rate", "least"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.03, 33)])
def test_too_few_good_images_are_refused_by_number(rate: float, least: int) -> None:
    assert needed(rate) == least
    conformal_threshold(torch.randn(least), rate)
    with pytest.raises(InputError, match=f"needs {least}"):
        conformal_threshold(torch.randn(least - 1), rate)


def test_stationary_noise_has_unit_variance_everywhere_once_its_border_is_calibrated() -> None:
    g = torch.Generator().manual_seed(0)

    def maps(n: int) -> torch.Tensor:  # a blur, whose edges repeat, has more variance near them
        return Blur(2.0)(torch.randn(n, 1, 24, 30, generator=g))[:, 0] + 0.7

    raw, border = maps(4000), BorderCalibration.fit([maps(2000), maps(2000)])
    spread = raw.std(0)
    assert spread[0, 0] > 1.5 * spread[12, 15]
    z = border(raw)
    assert (z.std(0) - 1).abs().max() < 0.06
    assert z.mean(0).abs().max() < 0.08


def test_a_border_learnt_on_small_maps_serves_large_ones() -> None:
    border = BorderCalibration.fit([torch.randn(50, 9, 9)])
    assert border(torch.zeros(1, 60, 80)).isfinite().all()


def test_outliers_move_neither_middle_nor_spread_much() -> None:
    clean = torch.randn(5000, 2, generator=torch.Generator().manual_seed(1))
    spoilt = clean.clone()
    spoilt[:50] = 1e4
    for a, b in ((clean, clean), (spoilt, clean)):
        z = Standard.fit(a)(b)
        assert (z.median(0).values).abs().max() < 0.05
        assert (z.std(0) - 1).abs().max() < 0.15


def test_areas_are_scikit_learns() -> None:
    g = torch.Generator().manual_seed(0)
    good, bad = (
        torch.randint(0, 9, (80, 3), generator=g),
        torch.randint(3, 12, (50, 3), generator=g),
    )
    labels = [0] * 80 + [1] * 50
    both = torch.cat([good, bad])
    expected = [roc_auc_score(labels, both[:, i]) for i in range(3)]
    assert np.allclose(auroc(bad.float(), good.float()), expected)


def test_scores_that_help_share_the_weight_and_noise_has_none() -> None:
    g = torch.Generator().manual_seed(0)
    good = torch.randn(2000, 3, generator=g)
    shift = torch.tensor([1.5, 1.5, 0.0])
    bad = [torch.randn(500, 3, generator=g) + shift for _ in range(3)]
    w = weights(good, bad)
    assert w.sum() == pytest.approx(1)
    assert w[2] == 0
    assert abs(w[0] - w[1]) < 0.2


def test_no_kind_of_defect_decides_alone() -> None:
    """Of two kinds that are told by one score each, leaving out either leaves the other's."""
    g = torch.Generator().manual_seed(0)
    good = torch.randn(2000, 2, generator=g)
    kinds = [torch.randn(500, 2, generator=g) + 3 * torch.eye(2)[i] for i in range(2)]
    assert torch.allclose(weights(good, kinds), torch.tensor([0.5, 0.5]), atol=1e-6)
    assert torch.equal(weights(good, kinds[:1]), torch.tensor([1.0, 0.0]))


def test_what_was_taught_the_defects_it_is_weighed_by_has_at_most_a_third() -> None:
    shown = torch.tensor([False, True, False])
    for given, kept in (
        ([0.1, 0.6, 0.3], [1 / 6, 1 / 3, 1 / 2]),
        ([0.4, 0.3, 0.3], [0.4, 0.3, 0.3]),
        ([0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3]),
    ):
        found = capped(torch.tensor(given), shown)
        assert torch.allclose(found, torch.tensor(kept))
    assert capped(torch.ones(1), torch.tensor([True])) == 1


def test_a_score_that_tells_nothing_of_parts_counts_where_wholes_are_told_by_it() -> None:
    g = torch.Generator().manual_seed(0)
    good = torch.randn(1000, 2, generator=g)

    def seen(by: int) -> torch.Tensor:
        return torch.randn(300, 2, generator=g) + 2.5 * torch.eye(2)[by]

    parts = {kind: seen(0) for kind in ("spot", "scratch")}
    wholes = {kind: seen(1) for kind in ("turned", "warped", "halved")}
    assert torch.allclose(balanced_weights(good, {**parts, **wholes}), torch.tensor([0.5, 0.5]))
    texture = {kind: torch.randn(300, 2, generator=g) for kind in wholes}
    assert torch.equal(balanced_weights(good, {**parts, **texture}), torch.tensor([1.0, 0.0]))


def test_a_trusted_score_yields_only_to_one_that_is_far_better() -> None:
    g = torch.Generator().manual_seed(0)

    def seen(n: int, shift: list[float]) -> torch.Tensor:  # two scores that say nearly the same
        noise = torch.randn(n, 1, generator=g) + 0.2 * torch.randn(n, 2, generator=g)
        return noise + torch.tensor(shift)

    good = seen(2000, [0, 0])
    for shift, yields in (([1.5, 1.8], False), ([1.5, 4.0], True)):
        bad = {kind: seen(500, shift) for kind in ("spot", "turned")}
        assert (balanced_weights(good, bad, trusted=0)[1] > 0) == yields
        assert balanced_weights(good, bad)[1] > 0


def test_light_that_falls_off_is_evened_out() -> None:
    g = torch.Generator().manual_seed(0)
    surface = 120 + 10 * torch.randn(1, 1, 64, 64, generator=g)
    light = torch.linspace(0.5, 1.0, 64)
    lit = [normalised((surface * falloff).clamp(0, 255) / 127.5 - 1) for falloff in (1.0, light)]
    inside = (..., slice(8, -8), slice(8, -8))
    a, b = (u[inside].flatten() for u in lit)
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.98
    assert 0.7 < (b[: len(b) // 2].std() / b[len(b) // 2 :].std()) < 1.4
