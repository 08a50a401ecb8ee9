"""Streams: neither batches, nor processes, nor the order of merging change anything."""

import resource
from concurrent.futures import ProcessPoolExecutor
from functools import reduce
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from preimage.core import InputError
from preimage.metrics.frechet import frechet_both, frechet_distance
from preimage.metrics.streaming import FeatureStatistics, Histogram, Reservoir, statistics_of


def rows(first, n, d=5):
    """The rows of a stream that are at these places."""
    return torch.stack(
        [torch.from_numpy(np.random.default_rng(first + i).normal(size=d)) for i in range(n)]
    )


def of_part(first, n):
    """What one process sees."""
    part = FeatureStatistics(rows=50)
    for start in range(first, first + n, 64):
        part.update(rows(start, min(64, first + n - start)), first=start)
    return part


@pytest.mark.slow
def test_processes_together_know_what_one_would():
    whole = of_part(0, 600)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = [*pool.map(of_part, [400, 0, 200], [200, 200, 200])]
    merged = reduce(FeatureStatistics.merge, parts)
    assert merged.n == merged.drawn.seen == 600
    assert (merged.drawn.places == whole.drawn.places).all()
    torch.testing.assert_close(merged.drawn.rows, whole.drawn.rows, rtol=0, atol=0)
    assert frechet_distance(merged.moments.total, whole.moments.total) < 1e-12
    other = statistics_of(rows(1000, 300).split(100))
    one, both = (frechet_both(x.moments, other.moments).infinite for x in (whole, merged))
    assert (one.low, one.high) == pytest.approx((both.low, both.high), rel=1e-9)


def test_what_is_drawn_does_not_depend_on_batches_and_is_uniform():
    x = torch.arange(3000.0)[:, None]
    whole, batched = Reservoir(100), Reservoir(100)
    whole.update(x)
    for batch in x.split(17):
        batched.update(batch)
    assert (whole.places == batched.places).all()
    assert (whole.rows[:, 0].numpy() == whole.places).all()
    times = np.zeros(300)
    for seed in range(2000):
        drawn = Reservoir(30, seed=seed)
        drawn.update(torch.zeros(300, 1))
        times[drawn.places] += 1
    χ2 = ((times - 200) ** 2 / (200 * 0.9)).sum()
    assert 299 - 4 * 600**0.5 < χ2 < 299 + 4 * 600**0.5


def test_rows_may_come_as_arrays():
    x = rows(0, 200)
    of_arrays, of_tensors = (
        statistics_of(batches) for batches in (np.split(x.numpy(), 4), x.split(50))
    )
    assert torch.equal(of_arrays.drawn.rows, of_tensors.drawn.rows)
    assert torch.equal(of_arrays.moments.total.covariance, of_tensors.moments.total.covariance)


def test_a_short_stream_is_drawn_whole():
    drawn = Reservoir(10)
    drawn.update(torch.rand(4, 2))
    assert drawn.merge(Reservoir(10)).places.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="one size and seed"):
        drawn.merge(Reservoir(10, seed=1))


def test_histograms_are_numpys_and_merge():
    numbers = np.random.default_rng(0)
    x = torch.from_numpy(numbers.normal(size=(500, 3)))
    edges = torch.linspace(-2, 2, 9)
    whole, left, right = Histogram(edges), Histogram(edges), Histogram(edges)
    whole.update(x)
    left.update(x[:100])
    right.update(x[100:])
    for i in range(3):
        expected = np.histogram(x[:, i], [-np.inf, *edges.tolist(), np.inf])[0]
        assert whole.counts[i].tolist() == expected.tolist()
    assert Histogram(edges).merge(left).merge(right).counts.equal(whole.counts)
    assert whole.shares.sum(1).tolist() == pytest.approx([1, 1, 1])
    with pytest.raises(InputError, match="1 rows of NaN"):
        whole.update(torch.full((1, 3), torch.nan))


def test_broken_rows_are_counted():
    with pytest.raises(InputError, match="1 of 3 feature rows"):
        FeatureStatistics().update(torch.tensor([[0.0], [torch.inf], [1.0]]))


@pytest.mark.slow
def test_memory_is_flat():
    """40,000 × 512 float64 would be 164 MB; the statistics are 21 MB and the drawn rows 1 MB."""
    numbers = torch.Generator().manual_seed(0)

    def batches(n):
        for _ in range(n):
            yield torch.randn(500, 512, generator=numbers)

    statistics_of(batches(4), rows=500)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = statistics_of(batches(80), rows=500)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert found.n == 40_000
    assert len(found.drawn.rows) == 500
    assert grown < 60_000  # kB
