"""The Fréchet distance against closed forms and against the matrix square root itself."""

import numpy as np
import pytest
import scipy.linalg
import torch

from preimage.core import InputError
from preimage.metrics import Moments, frechet, frechet_distance
from preimage.metrics.frechet import GroupedMoments, frechet_both
from preimage.metrics.measure import group_of


def rows(n, d, *, seed=0):
    """Correlated rows with a mean: (n, d) float64."""
    numbers = np.random.default_rng(seed)
    mixing = numbers.normal(size=(d, d)) / d**0.5
    return torch.from_numpy(numbers.normal(size=(n, d)) @ mixing + numbers.normal(size=d))


def gaussian(mean, covariance):
    """Moments that are exactly these."""
    moments = Moments()
    moments.n = 1001
    moments.mean = torch.as_tensor(mean, dtype=torch.float64)
    moments.scatter = torch.as_tensor(covariance, dtype=torch.float64) * 1000
    return moments


def by_square_root(a, b):
    """The definition, with SciPy's matrix square root."""
    root = np.real(scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy()))
    means = (a.mean - b.mean).square().sum().item()
    return means + np.trace(a.covariance.numpy() + b.covariance.numpy() - 2 * root)


def test_diagonal_gaussians():
    numbers = np.random.default_rng(0)
    μ1, μ2 = numbers.normal(size=(2, 30))
    σ1, σ2 = numbers.uniform(0.1, 3, size=(2, 30))
    distance = frechet_distance(gaussian(μ1, np.diag(σ1**2)), gaussian(μ2, np.diag(σ2**2)))
    assert distance == pytest.approx(((μ1 - μ2) ** 2).sum() + ((σ1 - σ2) ** 2).sum(), rel=1e-12)


@pytest.mark.slow
def test_unit_gaussians_one_apart_in_2048_dimensions():
    identity = np.eye(2048)
    distance = frechet_distance(
        gaussian(np.zeros(2048), identity), gaussian(np.ones(2048), identity)
    )
    assert distance == pytest.approx(2048, rel=1e-12)


@pytest.mark.parametrize("d", [1, 5, 64])
def test_the_matrix_square_root_agrees(d):
    a, b = Moments(rows(300, d, seed=1)), Moments(rows(200, d, seed=2))
    assert frechet_distance(a, b) == pytest.approx(by_square_root(a, b), rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 500), (500, 20), (2, 2)])
def test_fewer_rows_than_features(n, m):
    """The nuclear norm of XcYcᵀ gives the cross term without any covariance."""
    x, y = rows(n, 60, seed=1), rows(m, 60, seed=2)
    a, b = Moments(x), Moments(y)
    xc, yc = (x - x.mean(0)) / (n - 1) ** 0.5, (y - y.mean(0)) / (m - 1) ** 0.5
    cross = torch.linalg.matrix_norm(xc @ yc.T, "nuc")
    means = (x.mean(0) - y.mean(0)).square().sum()
    expected = means + a.covariance.trace() + b.covariance.trace() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-6)


def test_no_distance_to_itself():
    for n in (400, 20):
        a = Moments(rows(n, 50))
        assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * a.covariance.trace().item())


def test_moments_do_not_depend_on_batches_or_on_a_far_mean():
    x = rows(500, 8) + 1e6
    whole, batched, left, right = Moments(x), Moments(), Moments(x[:137]), Moments(x[137:])
    for batch in x.split(33):
        batched.update(batch)
    expected = np.cov(x.numpy(), rowvar=False)
    for moments in (whole, batched, left.merge(right), right.merge(left)):
        assert moments.n == 500
        np.testing.assert_allclose(moments.mean, x.mean(0), rtol=1e-14)
        np.testing.assert_allclose(moments.covariance, expected, rtol=1e-7)


def test_merging_with_nothing_makes_a_copy():
    a = Moments(rows(50, 4))
    both = Moments().merge(a)
    both.update(rows(50, 4, seed=3))
    assert (a.n, both.n) == (50, 100)


def test_one_row_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(Moments(rows(1, 3)), Moments(rows(5, 3)))


def test_the_interval_tells_a_shift_from_none():
    same = frechet(rows(2000, 8)[:1000], rows(2000, 8)[1000:])
    shifted = frechet(rows(2000, 8)[:1000], rows(2000, 8)[1000:] + 0.5)
    assert same.high < shifted.low
    assert shifted.low < 8 * 0.25 < shifted.high


def test_leaving_a_group_out_undoes_a_merge():
    x = rows(500, 8) + 1e3
    kept = GroupedMoments(x, groups=7)
    of = group_of(500, 7)
    for g, moments in enumerate(kept.left_out()):
        expected = Moments(x[of != g])
        assert moments.n == expected.n
        np.testing.assert_allclose(moments.mean, expected.mean, rtol=1e-13)
        np.testing.assert_allclose(moments.covariance, expected.covariance, rtol=1e-8, atol=1e-10)


def test_groups_do_not_depend_on_batches_or_processes():
    x = rows(500, 5)
    whole, batched, second = GroupedMoments(x), GroupedMoments(), GroupedMoments()
    for batch in x[:300].split(33):
        batched.update(batch)
    second.update(x[300:], first=300)
    merged = batched.merge(second)
    assert merged.n == merged.next == 500
    for a, b in zip(whole.parts, merged.parts, strict=True):
        assert a.n == b.n
        np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-10)
    again = GroupedMoments.from_tensors(merged.to_tensors())
    assert frechet_distance(again.total, merged.total) < 1e-12


@pytest.mark.parametrize(("n", "m"), [(40, 60), (60, 400)])
def test_few_rows_and_moments_give_one_answer(n, m):
    x, y = rows(n, 50, seed=1), rows(m, 50, seed=2)
    few, moments = frechet_both(x, y), frechet_both(GroupedMoments(x), GroupedMoments(y))
    assert few.measured.value == pytest.approx(moments.measured.value, rel=1e-6)
    assert few.infinite.low == pytest.approx(moments.infinite.low, rel=1e-5, abs=1e-6)


def test_the_bias_of_equal_gaussians_is_as_derived():
    """Against an exact reference (d + d(d + 1)/4)/N, and twice that between two samples."""
    n, d, draws = 2000, 12, 60
    exact = gaussian(np.zeros(d), np.eye(d))
    one, both, infinite = [], [], []
    for seed in range(draws):
        x, y = (torch.from_numpy(z) for z in np.random.default_rng(seed).normal(size=(2, n, d)))
        one.append(frechet_distance(Moments(x), exact))
        found = frechet_both(x, y)
        both.append(found.measured.value)
        infinite.append(found.infinite.value)
    bias = (d + d * (d + 1) / 4) / n
    assert np.mean(one) == pytest.approx(bias, rel=0.05)
    assert np.mean(both) == pytest.approx(2 * bias, rel=0.05)
    assert abs(np.mean(infinite)) < 4 * np.std(infinite) / draws**0.5


def test_another_package_agrees():
    ot = pytest.importorskip("ot", reason="the oracle POT is not installed")
    a, b = Moments(rows(900, 40, seed=1)), Moments(rows(700, 40, seed=2))
    arrays = (a.mean, b.mean, a.covariance, b.covariance)
    expected = ot.gaussian.bures_wasserstein_distance(*(x.numpy() for x in arrays)) ** 2
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_torchmetrics_agrees():
    image = pytest.importorskip("torchmetrics.image.fid", reason="torchmetrics is not installed")
    identity = torch.nn.Identity()
    identity.num_features = 24
    fid = image.FrechetInceptionDistance(feature=identity, normalize=False)
    fid.set_dtype(torch.float64)
    x, y = rows(500, 24, seed=1), rows(400, 24, seed=2)
    fid.update(x, real=True)
    fid.update(y, real=False)
    expected = fid.compute().item()
    assert frechet(x, y).value == pytest.approx(expected, rel=1e-6)


def test_rows_that_cannot_be_compared():
    x = rows(50, 4)
    with pytest.raises(InputError, match=r"at least 20 are needed"):
        frechet(x[:7], x)
    with pytest.raises(InputError, match="have 4 numbers a row, generated 3"):
        frechet(x, x[:, :3])
    broken = x.clone()
    broken[3, 1] = broken[9, 0] = float("nan")
    with pytest.raises(InputError, match="generated features: 2 rows hold NaN"):
        frechet(x, broken)
