"""Nearest neighbours and pairs by rough products: what they leave open is settled exactly."""

import importlib

import pytest
import torch

from preimage.core.neighbours import nearest, smallest
from preimage.metrics import distances
from preimage.metrics.distances import Rough, Rows, neighbours, pairs_within
from preimage.metrics.fidelity import prdc

FIDELITY = importlib.import_module(
    "preimage.metrics.fidelity"
)  # the package has a function so named


def normal(n, d, *, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def twice(x):
    return torch.cat([x, x])


SETS = {
    "many features": normal(900, 300, seed=0),
    "two features": normal(900, 2, seed=1),
    "tight clusters": normal(9, 50, seed=2).repeat(100, 1) + 1e-3 * normal(900, 50, seed=3),
    "equal rows": twice(normal(450, 20, seed=4)),
    "heavy tails": normal(900, 40, seed=5) / normal(900, 1, seed=6).abs().clamp_min(1e-2),
    "whole numbers": normal(900, 3, seed=7).round(),
}


@pytest.fixture(params=SETS)
def rows(request):
    return SETS[request.param]


@pytest.mark.parametrize("bfloat16", [True, False])
def test_the_kth_distance_is_exact(rows, bfloat16):
    x = Rows.of(rows, rows.mean(0), bfloat16=bfloat16)
    found = neighbours(x, 8, exact=(3, 5))
    truth = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()
    truth.fill_diagonal_(torch.inf)
    truth = truth.sort(dim=1).values
    for k in (3, 5):
        torch.testing.assert_close(found.radii(k), truth[:, k - 1], rtol=1e-9, atol=1e-12)
    scale = truth[:, :8] + rows.square().sum(1, keepdim=True)
    assert ((found.squared - truth[:, :8]).abs() / scale.clamp_min(1e-12)).max() < 1e-4


@pytest.mark.parametrize("bfloat16", [True, False])
def test_no_pair_is_on_the_wrong_side_of_an_edge(rows, bfloat16):
    a, b = rows[::2] + 0.0, rows[1::2] * 1.01
    centre = rows.mean(0)
    x, y = (Rows.of(r, centre, bfloat16=bfloat16) for r in (a, b))
    truth = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
    of_a, of_b = truth.sort(dim=1).values[:, 4] * 1.0001, truth.sort(dim=0).values[4] * 1.0001
    inside = torch.zeros(len(a), len(b), 2, dtype=torch.bool)
    for i, j, squared in pairs_within(x, y, of_a, of_b, edges=(of_a[:, None], of_b)):
        inside[i, j, 0] = squared <= of_a[i]
        inside[i, j, 1] = squared <= of_b[j]
    assert torch.equal(inside[..., 0], truth <= of_a[:, None])
    assert torch.equal(inside[..., 1], truth <= of_b)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_bound_of_a_rough_product_holds_for_every_pair(rows, dtype):
    x = Rows.of(rows, rows.mean(0))
    look = Rough.of(x, dtype)
    v = look.against(torch.arange(len(x)), look).double()
    offset = (x.squares + look.middle).double()[:, None]
    slack = look.error[:, None] + look.unit * v.abs()
    truth = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()
    assert (truth >= v + offset - slack).all()
    assert (truth <= v + offset + slack + 2 * look.error).all()


def test_both_ways_of_looking_give_the_same_four_shares(rows, monkeypatch):
    real, fake = rows[::2], rows[1::2] + 0.01
    found = []
    for rough in (True, False):
        monkeypatch.setattr(FIDELITY, "has_bfloat16", lambda rough=rough: rough)
        found.append(prdc(real, fake))
    assert found[0] == found[1]


def test_where_most_pairs_are_near_a_finer_look_is_taken(monkeypatch):
    subtracted = []
    plain = distances._subtracted
    monkeypatch.setattr(
        distances, "_subtracted", lambda *of: subtracted.append(len(of[2])) or plain(*of)
    )
    rows = SETS["tight clusters"]
    x = Rows.of(rows, rows.mean(0), bfloat16=True)
    radii = torch.full((len(x),), 1e-4, dtype=torch.float64)
    list(pairs_within(x, x, radii, radii, edges=(radii,)))
    assert sum(subtracted) < 0.05 * len(x) ** 2  # a ninth of all are of one cluster


@pytest.mark.parametrize(("n", "m", "k"), [(3, 1000, 5), (50, 333, 4), (5, 40, 40), (2, 64, 1)])
def test_the_smallest_are_those_of_a_sort(n, m, k):
    values = normal(n, m, seed=m).round(decimals=2)
    found, columns = smallest(values, k)
    assert torch.equal(found, values.sort(dim=1).values[:, :k])
    assert torch.equal(values.gather(1, columns), found)
    assert all(len(set(row)) == k for row in columns.tolist())


def test_nearest_of_another_set_are_those_of_all_distances():
    queries, points = normal(700, 6, seed=0), normal(900, 6, seed=1)
    found, index = nearest(queries, points, k=7)
    truth, order = torch.cdist(queries, points).sort(dim=1)
    torch.testing.assert_close(found, truth[:, :7])
    assert torch.equal(index, order[:, :7])
