"""Sheets keep every pixel, in its place and in its colour."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from preimage.pictures import data_uri, manifold, pairs, png, sheet
from preimage.pictures.sheet import pixels


def random_images(n, channels, height, width):
    """Images that 8 bits hold exactly, and those 8 bits as (N, H, W, C)."""
    levels = np.random.default_rng(0).integers(0, 256, (n, channels, height, width))
    return (levels / 127.5 - 1).astype(np.float32), levels.transpose(0, 2, 3, 1)


def test_every_tile_is_its_image():
    images, levels = random_images(7, 3, 5, 4)
    scale, padding = 3, 2
    shown = np.asarray(sheet(images, columns=3, scale=scale, padding=padding))
    assert shown.shape == (3 * 5 * 3 + 2 * 2, 3 * 4 * 3 + 2 * 2, 3)
    for i in range(7):
        top = (i // 3) * (5 * scale + padding)
        left = (i % 3) * (4 * scale + padding)
        tile = shown[top : top + 5 * scale, left : left + 4 * scale]
        for dy in range(scale):
            for dx in range(scale):
                np.testing.assert_array_equal(tile[dy::scale, dx::scale], levels[i])
    assert (shown[5 * scale : 5 * scale + padding] == 255).all()  # the gap is the background


def test_torch_and_numpy_and_bfloat16_agree():
    images, _ = random_images(3, 1, 6, 6)
    tensor = torch.from_numpy(images).requires_grad_()
    np.testing.assert_array_equal(pixels(images), pixels(tensor))
    exact = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3)
    np.testing.assert_array_equal(pixels(exact), pixels(exact.bfloat16()))


@pytest.mark.parametrize(("channels", "chosen"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (5, [0, 1, 2])])
def test_channels(channels, chosen):
    images, levels = random_images(2, channels, 3, 3)
    np.testing.assert_array_equal(pixels(images), levels[..., chosen])


def test_values_outside_the_range_do_not_wrap():
    images = np.array([-9.0, 9.0, np.nan, np.inf, -np.inf], np.float32).reshape(1, 1, 1, 5)
    assert pixels(images)[0, 0, :, 0].tolist() == [0, 255, 128, 255, 0]


def test_small_images_are_enlarged_and_large_ones_left_alone():
    assert sheet(np.zeros((10, 1, 8, 8))).width > 600
    assert sheet(np.zeros((1, 3, 900, 900))).size == (900, 900)


def test_no_row_is_left_unfinished_where_numbers_allow():
    for n in (12, 24, 50, 64, 100):
        shown = sheet(-np.ones((n, 1, 4, 4)), scale=1, padding=0)
        assert (np.asarray(shown) == 0).all()


def test_manifold_has_no_gaps_but_between_tiny_images():
    whole = np.asarray(manifold(np.ones((9, 1, 16, 16)), scale=1))
    assert whole.shape == (48, 48, 3)
    assert (whole == 255).all()
    apart = np.asarray(manifold(np.ones((9, 1, 4, 4)), scale=2))
    assert apart.shape == (28, 28, 3)
    assert not apart[8:10].any()
    with pytest.raises(ValueError, match="square"):
        manifold(np.zeros((8, 1, 4, 4)))


def test_a_caption_is_one_line_of_a_width_that_leaves_room_for_images():
    images = torch.zeros(2, 1, 8, 8)
    plain, broken = (pairs({name: images}) for name in ("a b", "a\nb"))
    assert np.array_equal(np.asarray(plain), np.asarray(broken))
    long, longest = (pairs({"n" * length: images}).width for length in (250, 40))
    assert long <= longest + 9  # an ellipsis is wider than a letter


def test_pairs_put_rows_under_one_another_beside_their_captions():
    images, _ = random_images(4, 3, 8, 8)
    both = np.asarray(pairs({"original": images, "negative": -images}, scale=4, padding=2))
    strip = np.asarray(sheet(images, columns=4, scale=4, padding=2))
    inverse = np.asarray(sheet(-images, columns=4, scale=4, padding=2))
    width = strip.shape[1]
    np.testing.assert_array_equal(both[:32, -width:], strip)
    np.testing.assert_array_equal(both[34:], np.concatenate([both[34:, :-width], inverse], axis=1))
    captions = both[:, :-width]
    assert captions[:32].min() < 128  # something is written there
    assert captions[34:].min() < 128


def test_smaller_pictures_stand_above_the_larger_ones_they_belong_to():
    small, _ = random_images(3, 3, 4, 4)
    large = small.repeat(2, axis=2).repeat(2, axis=3)
    odd = np.full((3, 3, 6, 6), -1.0, np.float32)  # too large to be enlarged
    shown = np.asarray(pairs({"a": small, "b": large, "c": odd}, scale=5, padding=2))
    np.testing.assert_array_equal(shown[:40, -124:], shown[42:82, -124:])
    black = (shown[84:, -124:] == 0).all(2)
    assert black[15].nonzero()[0].tolist() == [
        left + x for left in (0, 42, 84) for x in range(5, 35)
    ]


def test_transparent_sheets_stay_transparent_between_images():
    shown = np.asarray(sheet(np.zeros((2, 1, 4, 4)), scale=1, padding=2, background=None))
    assert shown[:, 4:6, 3].max() == 0
    assert shown[:, :4, 3].min() == 255


def test_png_and_data_uri_hold_the_same_image():
    image = sheet(random_images(2, 3, 4, 4)[0])
    kind, data = data_uri(image).split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == png(image)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), np.asarray(image))


@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (4, 4), (2, 3, 0, 4)])
def test_what_is_not_a_batch_of_images_is_refused(shape):
    with pytest.raises(ValueError, match="expected images"):
        sheet(np.zeros(shape))


def test_texts_stand_below_their_columns_and_push_them_apart_where_they_are_wide():
    images = torch.zeros(3, 1, 8, 8)
    plain = pairs({"a": images}, scale=1)
    short = pairs({"a": images}, under=["1", "2", "3"], scale=1)
    wide = pairs({"a": images}, under=["1", "outside of all that was seen", "3"], scale=1)
    assert short.height > plain.height
    assert wide.width > 2 * short.width
    ink = np.asarray(wide.convert("L"))[plain.height :]
    assert (ink < 128).any()
