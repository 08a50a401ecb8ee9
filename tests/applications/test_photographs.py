"""Photographs at their full size: what the edit did not change is as it was, in every format."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from preimage.applications import photographs
from preimage.applications.editing import Change
from preimage.applications.photographs import Photograph, carried, opened, softened, written
from preimage.core import InputError
from preimage.data.archives import Item
from preimage.data.decode import Target

SIDE = 16
TARGET = Target(SIDE, SIDE, 3)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int | None = None) -> bytes:
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Maker", "Camera 7"
    if orientation is not None:
        tags[0x0112] = orientation
    return tags.tobytes()


def scene(width: int = 90, height: int = 120, mode: str = "RGB") -> Image.Image:
    """A smooth picture with some grain: no pixel near black or white."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / max(width, height)
    planes = [120 + 50 * np.sin(5 * x + i) * np.cos(4 * y) for i in range(3)]
    values = np.stack(planes, 2) + rng.normal(0, 3, (height, width, 3))
    return Image.fromarray(values.clip(40, 215).astype(np.uint8)).convert(mode)


def saved(folder: Path, image: Image.Image, name: str, **options) -> Item:
    image.save(folder / name, **options)
    return Item(name, str(folder / name))


def change(δ: float | torch.Tensor, lost: float = 0.0, channels: int = 3) -> Change:
    plane = torch.zeros(1, channels, SIDE, SIDE)
    λ = torch.full((1, 1, SIDE, SIDE), lost)
    return Change(plane, plane + δ, λ)


def blob(channels: int = 3) -> Change:
    """A change in the middle of what the model sees."""
    δ = torch.zeros(1, channels, SIDE, SIDE)
    δ[:, :, 5:11, 5:11] = 0.3
    return change(δ, channels=channels)


def read(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def edited(photo: Photograph, made: Change, mask: np.ndarray | None = None) -> Image.Image:
    return read(written(photo, carried(photo, made, mask)))


FILES = {
    "a.jpg": {"quality": 80}, "b.jpg": {"quality": 95, "progressive": True}, "c.png": {},
    "d.webp": {"lossless": True}, "e.webp": {"quality": 70}, "f.tif": {},
    "g.tif": {"compression": "tiff_lzw"}, "h.bmp": {}, "i.gif": {},
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [(90, 120), (120, 90), (SIDE, SIDE), (7, 5)])
def test_nothing_changed_is_the_same_file(tmp_path, name, size) -> None:
    item = saved(tmp_path, scene(*size), name, **FILES[name])
    photo = opened(item, TARGET)
    assert written(photo, carried(photo, change(0.0))) == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_format_exif_and_profile_stay(tmp_path, name) -> None:
    keeps = {} if name[2:] in ("bmp", "gif") else {"exif": exif(), "icc_profile": PROFILE}
    photo = opened(saved(tmp_path, scene(), name, **FILES[name], **keeps), TARGET)
    before, after = Image.open(tmp_path / name), edited(photo, blob())
    assert after.format == (before.format if keeps else after.format)
    assert photo.file_name == (name if name != "i.gif" else "i.gif.png") or name == "h.bmp"
    assert after.size == before.size
    if after.format != "TIFF":
        assert after.info.get("exif") == before.info.get("exif")
    elif keeps:
        assert (after.getexif()[0x010F], after.getexif()[0x0110]) == ("Maker", "Camera 7")
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert np.abs(np.asarray(after.convert("RGB"), float)[60, 45] - 155).max() < 60  # is there


def test_outside_of_what_the_model_sees_every_pixel_is_as_it_was(tmp_path) -> None:
    image = scene()
    photo = opened(saved(tmp_path, image, "a.png"), TARGET)
    after = np.asarray(edited(photo, change(0.4))).astype(int)
    before = np.asarray(image).astype(int)
    assert np.array_equal(after[:15], before[:15])
    assert np.array_equal(after[105:], before[105:])
    assert (after[40:80] - before[40:80] == round(0.4 * 127.5)).all()  # up to the sides
    steps = np.abs(np.diff(after[13:107, 45, 0] - before[13:107, 45, 0]))
    assert steps.max() <= 51 * 1.5 / (90 * photographs.FEATHER) + 1  # it fades, without a seam


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_what_is_seen_whole_is_changed_whole(tmp_path, fit) -> None:
    target = Target(SIDE, SIDE, 3, fit)
    image = scene()
    photo = opened(saved(tmp_path, image, "a.png"), target)
    δ = np.asarray(edited(photo, change(0.21))).astype(int) - np.asarray(image)
    assert (δ == round(0.21 * 127.5)).all()


def test_a_photograph_of_the_models_size_is_the_edited_image(tmp_path) -> None:
    photo = opened(saved(tmp_path, scene(SIDE, SIDE), "a.png"), TARGET)
    δ = 0.4 * torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    λ = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    made = Change(torch.full_like(δ, 0.1), δ, λ)
    expected = made.of(photo.x[None])[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    assert np.abs(np.asarray(edited(photo, made)) - expected).max() <= 0.5 + 1e-3


def test_the_change_is_where_it_was_made(tmp_path) -> None:
    """The centre of a changed spot lies where the loader's box puts it."""
    δ = torch.zeros(1, 3, SIDE, SIDE)
    δ[..., 4, 10] = 0.5
    photo = opened(saved(tmp_path, scene(320, 200), "a.png"), TARGET)
    after = np.asarray(edited(photo, change(δ))).astype(float) - np.asarray(scene(320, 200))
    weight = after.clip(0, None).sum(2)
    y, x = (np.mgrid[:200, :320] * weight).sum((1, 2)) / weight.sum()
    scale = 200 / SIDE
    assert (x + 0.5, y + 0.5) == pytest.approx((60 + 10.5 * scale, 4.5 * scale), abs=0.5)


def test_where_all_residual_is_lost_the_photograph_is_what_the_model_draws(tmp_path) -> None:
    photo = opened(saved(tmp_path, scene(), "a.png"), TARGET)
    made = Change(torch.full((1, 3, SIDE, SIDE), 0.25), torch.full((1, 3, SIDE, SIDE), 0.1),
                  torch.ones(1, 1, SIDE, SIDE))  # fmt: skip
    after = np.asarray(edited(photo, made))
    assert (after[30:90] == round(0.35 * 127.5 + 127.5)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_however_it_is_stored_the_same_is_shown(tmp_path, orientation, ending) -> None:
    shown = scene(96, 128)  # in whole blocks of JPEG, which are the same turned
    turned = shown
    if orientation > 1:
        turned = shown.transpose(photographs.BACK[orientation])
    options = {"lossless": True} if ending == "webp" else {"quality": 95, "subsampling": 0}
    options = {} if ending in ("png", "tif") else options
    upright = opened(saved(tmp_path, shown, f"u.{ending}", exif=exif(1), **options), TARGET)
    item = saved(tmp_path, turned, f"t.{ending}", exif=exif(orientation), **options)
    photo = opened(item, TARGET)
    made = blob()
    made.difference[..., 5:8, 5:8] = -0.3  # of no symmetry
    after = read(written(photo, carried(photo, made)))
    expected = np.asarray(ImageOps.exif_transpose(edited(upright, made))).astype(int)
    got = np.asarray(ImageOps.exif_transpose(after)).astype(int)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= (10 if ending == "jpg" else 0)
    if ending != "tif":  # whose pixels Pillow turns upright as it reads them
        assert after.info["exif"] == Image.open(item.path).info["exif"]


def test_transparency_stays(tmp_path) -> None:
    image = scene(64, 64, "RGBA")
    alpha = np.linspace(0, 255, 64 * 64).astype(np.uint8).reshape(64, 64)
    image.putalpha(Image.fromarray(alpha))
    for name, options in (("a.png", {}), ("a.webp", {"lossless": True, "exact": True})):
        photo = opened(saved(tmp_path, image, name, **options), TARGET)
        after = np.asarray(edited(photo, blob()))
        assert np.array_equal(after[..., 3], alpha)
        assert (after[32, 32, :3] > np.asarray(image)[32, 32, :3]).all()


def test_a_grey_photograph_stays_grey_and_a_colour_one_its_colours(tmp_path) -> None:
    grey = opened(saved(tmp_path, scene(mode="L"), "g.jpg"), TARGET)
    after = edited(grey, blob())
    assert after.mode == "L"
    assert np.asarray(after)[60, 45] > np.asarray(scene(mode="L"))[60, 45] + 20
    colour = opened(saved(tmp_path, scene(), "c.png"), Target(SIDE, SIDE, 1))
    δ = np.asarray(edited(colour, blob(1))).astype(int) - np.asarray(scene())
    assert (δ[60, 45] == round(0.3 * 127.5)).all()


def test_a_palette_becomes_colours(tmp_path) -> None:
    image = scene(64, 64).quantize(200)
    photo = opened(saved(tmp_path, image, "p.png", transparency=3), TARGET)
    after = edited(photo, blob())
    assert after.mode == "RGBA"
    before = np.asarray(Image.open(tmp_path / "p.png").convert("RGBA"))
    assert np.array_equal(np.asarray(after)[:, :2], before[:, :2])


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_stay(tmp_path, ending) -> None:
    values = np.random.default_rng(1).integers(9000, 50000, (64, 64)).astype(np.uint16)
    item = saved(tmp_path, Image.fromarray(values), f"deep.{ending}")
    target = Target(SIDE, SIDE, 1, range=(0.0, 60000.0))
    photo = opened(item, target)
    assert written(photo, carried(photo, change(0.0, channels=1))) == Path(item.path).read_bytes()
    after = np.asarray(edited(photo, change(0.2, channels=1)))
    assert after.dtype == np.uint16
    assert np.abs(after.astype(int) - values - 6000).max() <= 1
    free = opened(item, Target(SIDE, SIDE, 1))  # of a model of 8-bit images: its own extremes
    assert free.range == (values.min(), values.max())
    after = np.asarray(edited(free, change(0.2, channels=1))).astype(int)
    assert after.max() <= values.max()


def test_floats_stay(tmp_path) -> None:
    values = np.random.default_rng(1).random((64, 64)).astype(np.float32)
    photo = opened(saved(tmp_path, Image.fromarray(values), "f.tif"), Target(SIDE, SIDE, 1))
    after = np.asarray(edited(photo, change(-0.2, channels=1)))
    assert np.allclose(after, (values - 0.1).clip(0), atol=1e-6)


def test_a_pixel_that_is_no_number_stays_the_only_one(tmp_path) -> None:
    """It neither bounds the others, nor is it changed."""
    values = np.random.default_rng(0).uniform(0, 1, (40, 30)).astype(np.float32)
    values[3, 4], values[5, 6] = np.nan, np.inf
    photo = opened(saved(tmp_path, Image.fromarray(values), "a.tif"), Target(16, 16, 1))
    changed = carried(photo, change(0.1, channels=1))[..., 0]
    assert (np.isfinite(changed) == np.isfinite(values)).all()
    assert changed[5, 6] == np.inf
    assert abs(changed[20, 15] - values[20, 15]) > 0.01


def test_inks_become_colours_and_lose_a_profile_that_is_none_of_theirs(tmp_path) -> None:
    item = saved(tmp_path, scene(mode="CMYK"), "k.jpg", icc_profile=PROFILE, exif=exif())
    after = edited(opened(item, TARGET), blob())
    assert (after.mode, after.format) == ("RGB", "JPEG")
    assert "icc_profile" not in after.info
    assert after.info["exif"] == exif()


@pytest.mark.parametrize("quality", [60, 92])
def test_a_jpeg_hardly_changes_where_nothing_did(tmp_path, quality) -> None:
    photo = opened(saved(tmp_path, scene(180, 240), "a.jpg", quality=quality), TARGET)
    after = np.asarray(edited(photo, blob())).astype(int)
    assert np.abs(after - photo.pixels)[:24].max() <= 4
    assert np.abs(after - photo.pixels)[:24].mean() < 0.5


def test_a_mask_limits_the_change(tmp_path) -> None:
    image = scene()
    photo = opened(saved(tmp_path, image, "a.png", exif=exif()), TARGET)
    mask = np.zeros((120, 90), np.uint8)
    mask[40:90, 20:60] = 255
    made = change(0.4, lost=0.5)
    before, limited = np.asarray(image), np.asarray(edited(photo, made, mask))
    whole = np.asarray(edited(photo, made))
    assert np.array_equal(limited[mask == 0], before[mask == 0])
    assert np.array_equal(limited[55:75, 30:50], whole[55:75, 30:50])
    small = np.zeros((SIDE, SIDE), np.uint8)
    small[4:12, 4:12] = 255
    limited = np.asarray(edited(photo, made, small))
    pixel = 90 / SIDE
    top, left = math.floor(15 + 3.5 * pixel), math.floor(3.5 * pixel)
    assert np.array_equal(limited[:top], before[:top])
    assert np.array_equal(limited[:, :left], before[:, :left])
    assert np.array_equal(limited[57:63, 42:48], whole[57:63, 42:48])
    with pytest.raises(InputError, match="90×119 pixels; give one of") as caught:
        carried(photo, made, mask[1:])
    assert "a.png's 90×120, or of the model's 16×16" in str(caught.value)


def test_a_soft_edge_lies_inside() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[10:50, 10:50] = 255
    weight = softened(mask, 3)
    assert (weight[mask == 0] == 0).all()
    assert weight[30, 30] == 1
    assert (np.diff(weight[30, 9:30]) >= 0).all()
    assert 0 < weight[30, 11] < 0.7


def test_rows_worked_on_at_a_time_make_no_difference(tmp_path, monkeypatch) -> None:
    photo = opened(saved(tmp_path, scene(), "a.png"), TARGET)
    made = Change(torch.rand(1, 3, SIDE, SIDE), torch.rand(1, 3, SIDE, SIDE) - 0.5,
                  torch.rand(1, 1, SIDE, SIDE))  # fmt: skip
    whole = carried(photo, made)
    monkeypatch.setattr(photographs, "ROWS", 7)
    assert np.abs(carried(photo, made).astype(int) - whole).max() <= 1


def test_what_is_no_photograph_is_refused_in_a_line(tmp_path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be used: not an image"):
        opened(Item("a.jpg", str(tmp_path / "a.jpg")), TARGET)
    item = saved(tmp_path, scene(), "b.png")
    with pytest.raises(InputError, match="more pixels than the cap"):
        opened(item, TARGET, max_pixels=100)
    Path(item.path).write_bytes(Path(item.path).read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot be used"):
        opened(item, TARGET)
