"""Thumbnails do not overlap, stand where their points are, and an atlas gives back what it got."""

import numpy as np
import pytest
from PIL import Image

from preimage.pictures.map import TILE, atlas, drawn_map, shaded, square, thumbnail_places


def places(n: int = 400) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 2)) * [5, 2]


def test_positions_keep_their_shape_in_the_square() -> None:
    xy = places()
    found = square(xy)
    assert found.min() >= 0
    assert found.max() <= 1
    scale = (found[1] - found[0]) / (xy[1] - xy[0])
    assert scale[0] == pytest.approx(scale[1])
    assert square(np.zeros((3, 2))).tolist() == [[0.5, 0.5]] * 3


def test_no_two_thumbnails_overlap_and_none_more_would_fit() -> None:
    xy, cell = places(), 0.07
    chosen = thumbnail_places(xy, cell=cell)
    found = square(xy)
    apart = np.abs(found[chosen][:, None] - found[chosen]).max(-1)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() >= cell
    others = np.setdiff1d(np.arange(len(xy)), chosen)
    to_chosen = np.abs(found[others][:, None] - found[chosen]).max(-1)
    assert (to_chosen.min(1) < cell).all()


def pixels_of(plot, tmp_path) -> np.ndarray:
    (tmp_path / "map.png").write_bytes(plot.png(dpi=100))
    return np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)


def test_a_thumbnail_stands_where_its_point_is(tmp_path) -> None:
    """A red image at the left end of a diagonal, a green one at the right, the right one higher."""
    xy = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
    images = np.full((2, 3, 4, 4), -1.0)
    images[0, 0] = images[1, 1] = 1
    plot = drawn_map(xy, chosen=[0, 1], thumbnails=images, side=64)
    shown = pixels_of(plot, tmp_path)
    red = np.argwhere((shown == [255, 0, 0]).all(-1)).mean(0)
    green = np.argwhere((shown == [0, 255, 0]).all(-1)).mean(0)
    assert red[1] < green[1]
    assert red[0] > green[0]


def test_classes_have_a_legend_and_numbers_a_bar() -> None:
    xy, labels = places(), np.arange(400) % 14
    classes = [f"kind {k}" for k in range(14)]
    svg = drawn_map(xy, labels=labels, classes=classes, named="what").svg()
    assert "kind 3" in svg
    assert "and 4 more" in svg
    assert "kind 12" not in svg
    values = np.where(np.arange(400) % 5, np.linspace(0, 7, 400), np.nan)
    assert "years" in drawn_map(xy, values=values, named="years").svg()


def test_heat_is_brightest_where_most_happens() -> None:
    maps = np.zeros((2, 3, 3))
    maps[0, 1, 2] = 5
    maps[1, 0] = [1, 2, 3]
    light = shaded(maps).mean(1)
    assert light[0].argmax() == 5
    assert (np.diff(light[1, 0]) > 0).all()
    assert shaded(np.zeros((1, 2, 2))).min() == pytest.approx(shaded(maps)[0, :, 0, 0].min())


def test_an_atlas_holds_every_image_in_order() -> None:
    side, n = 512, 20  # 4 × 4 to a page
    shades = (np.arange(n) * 12 / 127.5 - 1).reshape(n, 1, 1, 1) * np.ones((1, 1, 6, 6))
    pages = list(atlas(iter([shades[:7], shades[7:]]), n, side=side))
    assert [page.size for page in pages] == [(TILE, TILE), (TILE, side)]
    found = [
        pages[i // 16].getpixel((i % 16 % 4 * side + 9, i % 16 // 4 * side + 9)) for i in range(n)
    ]
    assert found == [(i * 12,) * 3 for i in range(n)]


def test_images_that_are_not_square_are_centred_on_a_tile() -> None:
    (page,) = atlas(iter([np.ones((1, 1, 4, 8))]), 1, side=32)
    column = np.asarray(page)[:, 16, 0]
    assert (column[8:24] == 255).all()
    assert not column[:8].any()
    assert not column[24:32].any()
