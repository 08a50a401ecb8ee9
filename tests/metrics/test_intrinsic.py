"""Planted dimensions are recovered, and both estimators are scikit-dimension's."""

import pytest
import torch
from sklearn.manifold import trustworthiness as reference

from preimage.metrics.intrinsic import levina_bickel, two_nn
from preimage.metrics.measure import group_of
from preimage.metrics.trustworthiness import trustworthiness


def rows(n: int, d: int, *, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def isometry(d: int, D: int) -> torch.Tensor:
    return torch.linalg.qr(rows(D, d, seed=9)).Q.T


def plane(d: int, *, seed: int = 0) -> torch.Tensor:
    return rows(2000, d, seed=seed) @ isometry(d, 20)


def sphere(d: int, *, seed: int = 0) -> torch.Tensor:
    x = rows(2000, d + 1, seed=seed)
    return (x / x.norm(dim=1, keepdim=True)) @ isometry(d + 1, 20)


@pytest.mark.parametrize(("points", "d"), [(plane(2, seed=1), 2), (plane(5), 5), (sphere(2), 2)])
def test_the_planted_dimension_lies_within_the_interval(points: torch.Tensor, d: int) -> None:
    for found in (two_nn(points), levina_bickel(points)):
        assert found.low <= d <= found.high
        assert found.high - found.low < 0.45 * d


@pytest.mark.slow
def test_agreement_with_scikit_dimension() -> None:
    skdim = pytest.importorskip("skdim")
    for points in (plane(3), sphere(4)):
        theirs = skdim.id.TwoNN().fit(points.numpy()).dimension_
        assert two_nn(points).value == pytest.approx(theirs, rel=1e-9)
        theirs = skdim.id.MLE().fit(points.numpy(), n_neighbors=20).dimension_
        assert levina_bickel(points).value == pytest.approx(theirs, rel=1e-9)


def test_the_interval_is_that_of_looking_for_neighbours_again() -> None:
    """A tenth left out by hand, neighbours and all, is what the jackknife has seen."""
    points = plane(3)[:300]
    kept = torch.unique(points, dim=0)
    values = []
    for g in range(10):
        part = kept[group_of(300, 10) != g]
        distances = torch.cdist(part, part).sort(1).values[:, 1:21]
        values.append(1 / (distances[:, -1:] / distances[:, :-1]).log().mean())
    error = 2.262157 * (9 * torch.stack(values).var(correction=0)).sqrt()
    found = levina_bickel(points)
    assert found.high - found.value == pytest.approx(error.item(), rel=1e-5)


def test_points_may_be_an_array() -> None:
    points = plane(2)[:200]
    for estimate in (two_nn, levina_bickel):
        assert estimate(points.numpy()) == estimate(points)


def test_equal_points_change_nothing() -> None:
    points = plane(2)[:200]
    twice = torch.cat([points, points[:50]])
    assert two_nn(twice).value == pytest.approx(two_nn(points).value, rel=1e-9)


def test_too_few_points_are_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match="41 different points; at least 42"):
        levina_bickel(plane(2)[:41])


def test_trustworthiness_is_scikit_learns() -> None:
    points, positions = rows(300, 8, seed=1), rows(300, 2, seed=2)
    positions[:, 0] += points[:, 0]
    for k in (1, 5, 12):
        theirs = reference(points.numpy(), positions.numpy(), n_neighbors=k)
        assert trustworthiness(points, positions, k=k)[0].value == pytest.approx(theirs, abs=1e-12)


def test_some_points_stand_for_all() -> None:
    points, positions = rows(3000, 8, seed=1), rows(3000, 8, seed=1)[:, :2]
    whole, _ = trustworthiness(points, positions)
    some, _ = trustworthiness(points, positions, judged=500)
    assert some.n == 500
    assert some.low <= whole.value <= some.high


def test_a_map_that_changes_nothing_keeps_everything() -> None:
    points = rows(100, 2, seed=3)
    trusted, kept = trustworthiness(points, 3 * points + 1)
    assert trusted.value == kept.value == 1
