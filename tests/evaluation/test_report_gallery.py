"""The pictures beside the scores show the images that their captions say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.core import ImageSpec, LatentSpace
from preimage.evaluation import Material, gallery
from preimage.evaluation.gallery import SHOWN
from preimage.evaluation.sides import Held
from preimage.metrics.extractors import Extractor

SPEC = ImageSpec(1, 4, 4)


class Halved(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z / 2


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of images in the place of the pictures they are drawn to."""
    monkeypatch.setattr("preimage.evaluation.gallery.pairs", lambda rows: rows)


def grey(levels: Tensor) -> Tensor:
    """Images of one level each."""
    return levels[:, None, None, None].expand(-1, *SPEC.shape).clone()


def levels(rows: Tensor) -> list[float]:
    return [round(level, 4) for level in rows[:, 0, 0, 0].tolist()]


def material(real: Tensor, made: Tensor, train: Tensor, **more: object) -> Material:
    pixels = Extractor("pixels", "-", lambda x: x.flatten(1), "none", True)
    model = pi.wrap(Halved(), encoder=nn.Identity(), data=SPEC, space=LatentSpace(SPEC.shape))
    return Material(
        Held(grey(real)), Held(grey(made)), pixels, model=model, train=Held(grey(train)), **more
    )


def test_pictures_are_of_the_images_that_captions_name(shown: None) -> None:
    numbers = torch.Generator().manual_seed(0)
    real = 0.8 * torch.rand(40, generator=numbers)  # errors grow with the level: half of it is lost
    dark, light = torch.rand(2, 20, generator=numbers)
    made = torch.cat([0.3 + 0.2 * light, -0.9 + 0.4 * dark])
    train = -1 + 0.4 * torch.rand(33, generator=numbers)
    figures = gallery.gallery(material(real, made, train))
    rows = figures["reconstructions"].picture
    ordered = levels(grey(real.sort().values))
    assert levels(rows["best"]) == ordered[:SHOWN]
    assert levels(rows["worst"]) == ordered[::-1][:SHOWN]
    assert levels(2 * rows["worst, reconstructed"]) == levels(rows["worst"])
    near = figures["nearest"].picture
    distance = (made[:, None] - train).abs().amin(1)
    assert levels(near["sample"]) == levels(grey(made[distance.argsort()[:SHOWN]]))
    assert (near["sample"] - near["nearest training image"]).abs().max() <= distance.median()
    usual = figures["density"].picture
    assert min(levels(usual["most usual"])) > 0.2  # where real images are
    assert levels(usual["farthest off"]) == levels(grey(made.sort().values[:SHOWN]))


def test_the_classes_that_no_sample_is_of_are_named() -> None:
    def sign(images: Tensor) -> Tensor:
        up = (images.mean((1, 2, 3)) > 0).double()
        return torch.stack([1 - up, up], 1)

    real, made = torch.linspace(-1, 1, 40), torch.linspace(0.1, 1, 30)
    both = material(real, made, real, classifier=sign, classes=("dark", "light"))
    assert "Missing among the samples: dark." in gallery.gallery(both)["classes"].caption
