"""DiffAugment: what each change is, and that it can be differentiated."""

import pytest
import torch

from preimage.training.augment import AUGMENTATIONS, augment, colour, cutout, translation


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def images(n=16, size=16):
    return torch.rand(n, 3, size, size) * 2 - 1


def test_translation_moves_by_whole_pixels_and_fills_with_black():
    x = images()
    moved = translation(x)
    shifts = set()
    for before, after in zip(x, moved, strict=True):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(shifted(before, down, right), after)
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 4  # each image has its own
    assert torch.equal(translation(torch.full((4, 1, 8, 8), -1.0)), torch.full((4, 1, 8, 8), -1.0))


def shifted(x, down, right):
    out = torch.full_like(x, -1)
    h, w = x.shape[1:]
    target = out[:, max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)]
    target.copy_(x[:, max(-down, 0) : h + min(-down, 0), max(-right, 0) : w + min(-right, 0)])
    return out


@pytest.mark.parametrize("size", [7, 8, 16])
def test_cutout_greys_a_square_of_half_the_side(size):
    cut = cutout(torch.ones(400, 1, size, size))[:, 0] == 0
    heights, widths = cut.any(2).sum(1), cut.any(1).sum(1)
    assert torch.equal(cut.sum((1, 2)), heights * widths)  # a rectangle
    side = int(size * 0.5 + 0.5)
    assert heights.max() == widths.max() == side
    assert heights.min() == side // 2  # at the edge half of it is outside
    assert cut.any(0).all()  # it goes everywhere


def test_colour_keeps_constants_constant_and_brightness_within_its_half():
    x = torch.full((64, 3, 4, 4), 0.2)
    changed = colour(x)
    assert changed.flatten(1).std(1).max() < 1e-6  # neither contrast nor saturation shows on it
    shift = changed[:, 0, 0, 0] - 0.2
    assert shift.abs().max() <= 0.5
    assert shift.std() > 0.2


def test_colour_scales_contrast_about_the_images_own_mean():
    x = images(64)[:, :1].repeat(1, 3, 1, 1)  # grey: saturation does nothing
    changed = colour(x)
    ratio = changed.flatten(1).std(1) / x.flatten(1).std(1)
    assert ratio.min() >= 0.5 - 1e-4
    assert ratio.max() <= 1.5 + 1e-4
    assert ratio.std() > 0.2


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_is_differentiable_and_each_images_own(name):
    x = images(8).requires_grad_(True)
    out = AUGMENTATIONS[name](x)
    assert out.shape == x.shape
    (gradient,) = torch.autograd.grad(out[3].sum(), x)
    assert gradient[3].abs().sum() > 0
    assert not gradient[[0, 1, 2, 4, 5, 6, 7]].any()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_two_batches_are_changed_each_in_its_own_way(name):
    x = images(8)
    assert not torch.allclose(augment(x, (name,)), augment(x, (name,)))
    assert torch.equal(augment(x, ()), x)
