"""Holes filled: what is known stays to the last bit, wherever and however large the photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import preimage as pi
from preimage.applications.discrepancy import Discrepancy
from preimage.applications.holes import Box, Colour, Picture, as_seen, filled
from preimage.applications.inpainting import Inpainter, classically, context_weights
from preimage.applications.photographs import Photograph, opened, written
from preimage.applications.restoration import Restorer
from preimage.core import InputError
from preimage.data.archives import Item
from preimage.data.decode import Target

SIDE, d = 16, 4


class Waves(nn.Module):
    """Colour images of a few smooth waves."""

    def __init__(self):
        super().__init__()
        y, x = torch.meshgrid(*[torch.linspace(0, 3, SIDE)] * 2, indexing="ij")
        planes = [torch.sin(x + k) * torch.cos((k + 1) * y / 2) for k in range(d)]
        colours = torch.randn(d, 3, generator=torch.Generator().manual_seed(0))
        self.waves = nn.Parameter(0.15 * torch.stack(planes)[:, None] * colours[:, :, None, None])

    def forward(self, z: Tensor) -> Tensor:
        return torch.einsum("bk,kchw->bchw", z, self.waves)


@pytest.fixture(scope="module")
def worker() -> Restorer:
    model = pi.wrap(Waves(), data=pi.ImageSpec(3, SIDE, SIDE), space=pi.LatentSpace((d,)))
    return Restorer(pi.inverter(model), Discrepancy.none(3 * SIDE**2, 0.02))


@pytest.fixture(scope="module")
def x(worker: Restorer) -> Tensor:
    with torch.no_grad():
        z = torch.randn(3, d, generator=torch.Generator().manual_seed(1))
        return ((worker.ready.model.decode(z) + 1) * 127.5).round() / 127.5 - 1


@pytest.fixture
def hole() -> Tensor:
    missing = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    missing[..., 4:12, 6:14] = True
    return missing


def photograph(folder: Path, x: Tensor, name: str = "a.png", size=(96, 60), **options):
    """A photograph of which the model sees the middle."""
    values = ((x + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    image = Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)
    grain = np.random.default_rng(0).integers(-6, 6, (*size[::-1], 3))
    pixels = (np.asarray(image).astype(int) + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / name, **options)
    return opened(Item(name, str(folder / name)), Target(SIDE, SIDE, 3))


def test_a_hole_is_filled_with_what_was_there(worker, x, hole):
    spoilt = torch.where(hole, 0.9, x)
    found = pi.inpaint(worker, spoilt, mask=hole[0, 0], n=3)
    assert torch.equal(torch.where(hole, 0, found.images), torch.where(hole, 0, x))
    outside = (~hole).expand_as(x)[:, None].expand_as(found.fillings)
    assert torch.equal(found.fillings[outside], x[:, None].expand_as(found.fillings)[outside])
    assert (found.images - x).abs().max() < 0.03
    assert (found.uncertainty[~hole.expand_as(x)] == 0).all()
    assert (found.uncertainty[hole.expand_as(x)] > 0).all()


def test_what_stands_in_the_hole_is_not_looked_at(worker, x, hole):
    one = pi.inpaint(worker, torch.where(hole, 1.0, x), mask=hole[0, 0])
    other = pi.inpaint(worker, torch.where(hole, -1.0, x), mask=hole[0, 0])
    assert torch.equal(one.images, other.images)


def test_pixels_near_the_hole_count_for_more_where_that_is_asked(worker, hole):
    missing = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    missing[..., 2, 2] = True
    W = context_weights(missing, 3)[0, 0]
    assert W[2, 2] == 0
    assert torch.allclose(W[1, 1:4], torch.full((3,), 1 / 9))
    assert W[0].sum() == 0
    weights = Inpainter(worker, context=5).weights(hole)
    assert (weights[hole] == 0).all()
    assert (weights[~hole] > 0).all()
    assert weights.max() == 1
    assert torch.equal(Inpainter(worker).weights(hole), (~hole).float())


def test_tuning_draws_the_known_pixels_nearer(worker, x, hole):
    tinted = (x + 0.1).clamp(-1, 1)
    before = [p.clone() for p in worker.ready.model.parameters()]
    plain = pi.inpaint(worker, tinted, mask=hole[0, 0], blend="none")
    taught = pi.inpaint(worker, tinted, mask=hole[0, 0], blend="none", tune=150)
    known = ~hole.expand_as(x)
    error = [(f.drawn - tinted)[known].square().mean() for f in (plain, taught)]
    assert error[1] < 0.5 * error[0]
    after = worker.ready.model.parameters()
    assert all(torch.equal(p, q) for p, q in zip(before, after, strict=True))


def test_classical_methods_leave_the_known(x, hole):
    for method in ("mean", "harmonic", "biharmonic"):
        done = classically(method, x, hole)
        assert torch.equal(torch.where(hole, 0, done), torch.where(hole, 0, x))
        assert done.isfinite().all()
    assert (classically("biharmonic", x, hole) - x).abs().max() < 0.1  # it is smooth


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_every_known_pixel_of_a_photograph_stays(worker, x, tmp_path, name):
    tags = Image.Exif()
    tags[0x0110] = "Camera 7"
    photo = photograph(tmp_path, x[0], name, exif=tags.tobytes())
    hole = Box(40, 20, 60, 45)(photo)
    missing = as_seen(photo, hole)
    found = Inpainter(worker).inpaint(photo.x[None], missing[None])
    pixels = filled(photo, found.images[0].numpy(), hole)
    with Image.open(__import__("io").BytesIO(written(photo, pixels, exactly=True))) as image:
        again = np.asarray(image.convert("RGB"))
        assert image.getexif()[0x0110] == "Camera 7"
    assert np.array_equal(again[~hole], photo.pixels[~hole])
    assert np.array_equal(again[hole], pixels[hole])
    error = np.abs(again[hole].astype(int) - photo.pixels[hole]).mean()
    assert error < 14  # grain of 3, and what 16 pixels do not show


def test_a_feather_sets_in_slowly_inside(worker, x, tmp_path):
    photo = photograph(tmp_path, x[0])
    hole = Box(30, 10, 66, 50)(photo)
    filling = np.full((3, SIDE, SIDE), 0.9, np.float32)
    hard = filled(photo, filling, hole, blend="none")
    soft = filled(photo, filling, hole, blend="none", feather=4)
    assert np.array_equal(soft[~hole], photo.pixels[~hole])
    edge, middle = (
        np.abs(soft - hard.astype(float))[12, 40],
        np.abs(soft - hard.astype(float))[30, 48],
    )
    assert edge.min() > 5
    assert middle.max() <= 1


def test_what_the_model_misses_is_all_that_the_hole_touches(tmp_path, x):
    photo = photograph(tmp_path, x[0], size=(32, 32))  # two pixels for each of the model's
    hole = Box(9, 10, 12, 12)(photo)
    missing = as_seen(photo, hole)
    expected = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    expected[4:7, 3:7] = True  # the touched ones, 5 of rows and 4 to 5 of columns, and around them
    assert torch.equal(missing[0], expected)
    same = photograph(tmp_path, x[0], "b.png", size=(SIDE, SIDE))
    exact = as_seen(same, Box(3, 4, 6, 9)(same))
    assert exact.sum() == 15


def test_a_colour_marks_what_is_to_be_filled(tmp_path, x):
    photo = photograph(tmp_path, x[0])
    pixels = photo.pixels.copy()
    pixels[20:30, 30:50] = (255, 0, 250)
    Image.fromarray(pixels).save(tmp_path / "c.png")
    painted = opened(Item("c.png", str(tmp_path / "c.png")), photo.target)
    hole = Colour.of("#ff00ff")(painted)
    assert hole[20:30, 30:50].all()
    assert hole.sum() == 200


def test_a_mask_of_the_models_size_covers_the_same_part(tmp_path, x):
    photo = photograph(tmp_path, x[0], size=(64, 64))
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[2:5, 3:9] = 255
    hole = Picture(values, "m.png")(photo)
    assert hole[8:20, 12:36].all()
    assert hole.sum() == 12 * 24


def test_bad_masks_are_named(worker, x, tmp_path):
    photo: Photograph = photograph(tmp_path, x[0])
    for text, words in (
        ("1,2,3", "is no box"),
        ("5,5,5,9", "holds nothing"),
        ("a,b,c,d", "is no box"),
    ):
        with pytest.raises(InputError, match=words):
            Box.of(text)
    with pytest.raises(InputError, match=r"reaches beyond a.png, which is of 96×60"):
        Box.of("0,0,97,10")(photo)
    with pytest.raises(InputError, match=r"reaches beyond a.png"):
        Box.of("-1,0,7,10")(photo)
    with pytest.raises(InputError, match="is no colour"):
        Colour.of("fuchsiaish")
    with pytest.raises(InputError, match=r"m.png is of 7×5 pixels.*96×60.*16×16"):
        Picture(np.zeros((5, 7), np.uint8), "m.png")(photo)
    with pytest.raises(InputError, match="reaches beyond what the model sees"):
        as_seen(photo, Box(0, 0, 10, 10)(photo))
    with pytest.raises(InputError, match="nothing of a\\.png is known at the model's"):
        as_seen(photo, Box(18, 0, 78, 59)(photo))
    with pytest.raises(InputError, match=r"of shape \(4, 4\), and the images are 16×16"):
        pi.inpaint(worker, x, mask=torch.ones(4, 4))
    with pytest.raises(InputError, match="is empty"):
        pi.inpaint(worker, x, mask=torch.zeros(SIDE, SIDE))
    with pytest.raises(InputError, match="covers everything"):
        pi.inpaint(worker, x, mask=torch.ones(SIDE, SIDE, dtype=torch.bool))
    with pytest.raises(InputError, match="no method 'telea'"):
        pi.inpaint(worker, x, mask="box:1,1,4,4", method="telea")
    with pytest.raises(InputError, match=r"no blend 'poison'.*poisson"):
        pi.inpaint(worker, x, mask="box:1,1,4,4", blend="poison")
    with pytest.raises(InputError, match="box:1,1,40,4 reaches beyond"):
        pi.inpaint(worker, x, mask="box:1,1,40,4")
    with pytest.raises(InputError, match="n=0 fillings"):
        pi.inpaint(worker, x, mask="box:1,1,4,4", n=0)
    with pytest.raises(InputError, match="through= says what was done"):
        pi.restore(worker, x, through=None)
