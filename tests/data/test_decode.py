"""One image file → whole numbers: every mode, orientation, depth and shape."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from smooth import picture

from preimage import data
from preimage.core import ImageSpec, InputError
from preimage.data.decode import Target, flatten, open_image, placement, render


def save(path, image, **options):
    image.save(path, **options)
    return path


def pixels(image: Image.Image, channels: int = 3, size: int = 32, **options) -> np.ndarray:
    return render(flatten(image), Target(size, size, channels, **options))


MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "HSV", "YCbCr")
RGB = Image.fromarray(picture(1))
Resampling = Image.Resampling.LANCZOS


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_looks_like_its_rgb(mode):
    image = (RGB.convert("L") if mode in ("LA", "PA") else RGB).convert(mode)
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert np.abs(pixels(image).astype(int) - expected).max() <= 1


def test_transparency_lies_over_the_background():
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 128))
    flat = flatten(image, (0, 0, 255))
    assert np.abs(np.asarray(flat)[0, 0].astype(int) - (128, 0, 127)).max() <= 1
    clear = Image.new("LA", (32, 32), (200, 0))
    assert np.asarray(flatten(clear, (10, 20, 30)))[5, 5].tolist() == [10, 20, 30]


def test_a_transparent_colour_of_a_palette_counts(tmp_path):
    image = Image.new("P", (32, 32), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (0, 0, 16, 32))
    path = save(tmp_path / "p.png", image, transparency=0)
    with open_image(str(path), max_pixels=10**6) as opened:
        flat = np.asarray(flatten(opened, (0, 0, 255)))
    assert flat[0, 0].tolist() == [0, 255, 0]
    assert flat[0, 31].tolist() == [0, 0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_undone(tmp_path, orientation):
    upright = Image.fromarray(picture(3, 48)).crop((0, 0, 48, 32))
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turns[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.png", stored, exif=exif)
    with open_image(str(path), max_pixels=10**6) as image:
        assert np.array_equal(np.asarray(flatten(image)), np.asarray(upright))


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.fromarray(picture(seed)).quantize(64) for seed in (1, 2)]
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    with open_image(str(path), max_pixels=10**6) as image:
        shown = np.asarray(flatten(image)).astype(int)
    assert np.abs(shown - np.asarray(frames[0].convert("RGB"))).max() <= 1


def test_fits():
    wide = Image.new("RGB", (60, 30), (0, 0, 0))
    wide.paste((255, 0, 0), (0, 0, 15, 30))
    wide.paste((0, 0, 255), (45, 0, 60, 30))
    crop = pixels(wide, fit="crop")
    assert crop.max() < 8  # both coloured ends are cut off
    pad = pixels(wide, fit="pad", background=(0, 255, 0))
    assert (pad[:, 0, 5] == (0, 255, 0)).all()
    assert (pad[:, 16, 1] == (255, 0, 0)).all()
    stretch = pixels(wide, fit="stretch")
    assert (stretch[:, 0, 0] == (255, 0, 0)).all()
    assert (stretch[:, 31, 31] == (0, 0, 255)).all()


def test_resizing_is_antialiased():
    board = np.indices((128, 128)).sum(0) % 2 * np.uint8(255)
    small = pixels(Image.fromarray(board.astype(np.uint8)), channels=1, size=16)
    assert np.abs(small.astype(int) - 127).max() <= 2


def test_grey_is_luma():
    red = Image.new("RGB", (32, 32), (255, 0, 0))
    assert (pixels(red, channels=1) == 76).all()


def test_channels_follow_the_pixels_not_the_mode(tmp_path, make_folder):
    folder = make_folder(channels=1)
    for path in folder.iterdir():
        Image.open(path).convert("RGB").save(path)
    assert data.load(folder).spec == ImageSpec(1, 32, 32)
    Image.fromarray(picture(99)).save(folder / "colour.png")
    assert data.load(folder).spec == ImageSpec(3, 32, 32)
    assert data.load(folder, channels=1).spec == ImageSpec(1, 32, 32)


def test_sixteen_bits_are_kept_with_one_range_for_all(tmp_path):
    ramp = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)
    for name, image in {"dim": ramp, "bright": ramp * 16}.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    found = data.load(tmp_path)
    assert found.images.dtype == np.uint16
    assert found.value_range == (0, 1023 * 16)
    assert not any("8 bits" in note for note in found.notes)
    bright, dim = found.batch([0, 1])
    assert bright.min() == -1
    assert bright.max() == 1
    assert abs(float(dim.max()) - (2 / 16 - 1)) < 1e-4
    assert len(dim.unique()) == 1024
    wide = data.load(tmp_path, range=(0, 65535))
    assert abs(float(wide.batch([0]).max()) - (2 * 1023 * 16 / 65535 - 1)) < 1e-4


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """A PNG (H, W, 2, 3 or 4) as Pillow cannot write it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width, channels = pixels.shape
    colour_type = {2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_what_is_cut_to_eight_bits_is_said(tmp_path, channels):
    ramp = np.arange(32 * 32 * channels).reshape(32, 32, channels)
    (tmp_path / "a.png").write_bytes(png_of_16_bits(ramp))
    assert any("upper 8 bits" in note for note in data.load(tmp_path).notes)


def test_arrays_of_colour_keep_their_depth(tmp_path):
    ramp = np.arange(32 * 32 * 3, dtype=np.uint16).reshape(1, 32, 32, 3)
    np.save(tmp_path / "ramp.npy", ramp)
    assert len(data.load(tmp_path / "ramp.npy").batch([0]).unique()) == ramp.size


def test_float_images_keep_their_depth(tmp_path):
    for seed, scale in enumerate((1.0, 0.25)):
        values = np.linspace(0, scale, 1024, dtype=np.float32).reshape(32, 32)
        Image.fromarray(values).save(tmp_path / f"{seed}.tiff")
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "nan.tiff")
    found = data.load(tmp_path)
    assert found.value_range == (0, 1)
    assert abs(float(found.batch([1]).max()) - (-0.5)) < 1e-4
    assert len(found.batch([1]).unique()) == 1024
    assert found.batch([2])[0, 0, 0, 0] == -1


def test_eight_bit_images_beside_deep_ones_keep_black_and_white(tmp_path):
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(tmp_path / "white.png")
    Image.fromarray(np.full((32, 32), 500, np.uint16)).save(tmp_path / "deep.png")
    found = data.load(tmp_path, range=(0, 1000), channels=3)
    deep, white = found.batch([0, 1])
    assert white.min() == 1
    assert abs(float(deep.mean())) < 1e-4


def test_images_fit_a_model(tmp_path, make_folder):
    folder = make_folder(seeds=range(3), size=48)
    spec = ImageSpec(1, 28, 28)
    several = data.images([folder / "0000.png", folder / "0001.png"], spec)
    assert several.shape == (2, 1, 28, 28)
    assert several.abs().max() <= 1
    one = data.images(folder / "0000.png", spec)
    assert (one[0] == several[0]).all()
    whole = data.images(folder, spec)
    assert (whole[:2] == several).all()
    held = np.stack([np.asarray(ImageOps.grayscale(Image.open(folder / "0000.png")))])
    assert (data.images(held, spec) - one).abs().max() < 0.02
    assert (data.images(Image.open(folder / "0000.png"), spec) == one).all()
    (folder / "bad.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad\.png cannot be used: not an image"):
        data.images(folder / "bad.png", spec)


@pytest.mark.parametrize("size", [(64, 64), (90, 41), (41, 90), (33, 64), (20, 7), (640, 480)])
def test_the_placement_is_where_the_picture_lies(size):
    image = Image.fromarray(picture(5, 640)).resize(size)
    fitted = pixels(image, size=64)
    assert np.array_equal(fitted.transpose(1, 2, 0), ImageOps.fit(image, (64, 64), Resampling))
    place = placement(size, Target(64, 64, 3))
    cut = image.resize((64, 64), Resampling, box=place.box)
    assert np.array_equal(fitted.transpose(1, 2, 0), cut)
    left, top, right, bottom = placement(size, Target(64, 64, 3, fit="pad")).inside
    padded = pixels(image, size=64, fit="pad", background=(255, 0, 0)).transpose(1, 2, 0)
    inner = padded[top:bottom, left:right]
    assert np.array_equal(inner, image.resize((right - left, bottom - top), Resampling))
    padded[top:bottom, left:right] = (255, 0, 0)
    assert (padded == (255, 0, 0)).all()
