"""Tiles over large photographs: nothing is missed, nothing is seen twice as much, no seams."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from preimage.applications.anomaly.photos import Picture
from preimage.applications.anomaly.tiles import Axis, Tiling
from preimage.data.decode import Target

SIZES = [((64, 64), (64, 64)), ((65, 64), (64, 64)), ((200, 331), (64, 48)), ((40, 500), (64, 64))]


@pytest.mark.parametrize(("size", "tile"), SIZES)
def test_windows_are_a_partition_of_unity(size, tile) -> None:
    tiling = Tiling.over(size, tile)
    for axis in (tiling.rows, tiling.columns):
        total = np.zeros(axis.length)
        for start, window in zip(axis.starts, axis.windows, strict=True):
            assert (window > 0).all()
            total[start : start + axis.tile] += window
        assert np.allclose(total, 1, atol=1e-12)
        assert axis.starts[0] == 0
        assert axis.starts[-1] + axis.tile == axis.length
        steps = np.diff(axis.starts)
        assert all(1 <= step <= axis.tile - axis.overlap for step in steps)
        assert len(steps) == 0 or np.ptp(steps) <= 1


@pytest.mark.parametrize(("size", "tile"), SIZES)
def test_what_all_tiles_agree_on_comes_out_as_it_is(size, tile) -> None:
    """Constant, linear and random fields: cut up and blended, they are what they were."""
    y, x = np.mgrid[: size[0], : size[1]]
    rng = np.random.default_rng(0)
    tiling = Tiling.over(size, tile)
    for field in (np.full(size, 3.25), 0.5 * x - 0.25 * y + 1, rng.normal(size=size)):
        cut = (field[t:b, l:r] for l, t, r, b in tiling.boxes())  # noqa: E741
        whole = np.concatenate(list(tiling.blended(cut)))
        assert whole.shape == size
        assert np.allclose(whole, field, rtol=1e-6, atol=1e-5)


def test_a_photograph_of_one_tile_is_that_tile_to_the_last_bit() -> None:
    tiling = Tiling.over((32, 48), (32, 48))
    values = np.random.default_rng(1).normal(size=(32, 48)).astype(np.float32)
    assert len(tiling) == 1
    assert (np.concatenate(list(tiling.blended([values]))) == values).all()


def test_tiles_that_disagree_leave_no_step() -> None:
    """Each tile a level of its own: from pixel to pixel the map moves by a few ramps' steps."""
    tiling = Tiling.over((64, 400), (64, 64))
    maps = (np.full((64, 64), level) for level in range(len(tiling)))
    whole = np.concatenate(list(tiling.blended(maps)))
    assert np.abs(np.diff(whole, axis=1)).max() < 0.2
    assert np.abs(np.diff(whole, axis=0)).max() == 0


def test_a_hundred_megapixels_take_no_more_memory_than_one_row_of_tiles() -> None:
    side, tile = 10_000, 256
    tiling = Tiling.over((side, side), (tile, tile))
    one = np.ones((tile, tile), np.float32)
    tracemalloc.start()
    rows = 0
    for band in tiling.blended(one for _ in range(len(tiling))):
        rows += len(band)
        assert band[0, 0] == pytest.approx(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == side
    assert peak < 4 * 8 * tile * side  # of which the photograph has 39


def test_an_axis_of_a_pixel() -> None:
    axis = Axis(1, 1, 0)
    assert axis.starts == [0]
    assert axis.windows[0] == pytest.approx(1)


def test_sixteen_bits_are_seen_as_eight_by_what_learned_from_eight() -> None:
    values = np.random.default_rng(0).uniform(1000, 60_000, (16, 16)).astype(np.float32)
    deep = Picture("deep", Image.fromarray(values), span=(0, 65_535))
    shallow = Picture("shallow", Image.fromarray((values / 257).round().astype(np.uint8)))
    target, box = Target(16, 16, 1), (0, 0, 16, 16)
    torch.testing.assert_close(deep.seen(box, target), shallow.seen(box, target), atol=0.01, rtol=0)
