"""Near copies of training images are refused at sampling, and nothing else changes."""

import numpy as np
import pytest
import torch
from torch import nn

import preimage as pi
from preimage import data
from preimage.evaluation.copies import Watch, draw

SIDE = 16


def pictures(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE)).astype(np.uint8)


@pytest.fixture(scope="module")
def images():
    return data.from_arrays(pictures(500))


class Parrot(nn.Module):
    """Draws new pictures, but where z₀ > `above` a training image, slightly changed."""

    def __init__(self, known, above):
        super().__init__()
        self.known, self.above = nn.Parameter(known), above
        weights = torch.randn(SIDE * SIDE, 8, generator=torch.Generator().manual_seed(0))
        self.weights = nn.Parameter(weights)

    def forward(self, z):
        new = torch.sin(5 * z @ self.weights.T).view(-1, 1, SIDE, SIDE)
        i = (torch.special.ndtr(z[:, 1]) * len(self.known)).long().clamp_max(len(self.known) - 1)
        old = (self.known[i] + 0.02 * z[:, 2, None, None, None]).clamp(-1, 1)
        return torch.where(z[:, 0, None, None, None] > self.above, old, new)


def parrot(images, above):
    made = Parrot(images.batch(images.train), above)
    return pi.wrap(made, data=images.spec, space=pi.LatentSpace((8,)))


def test_planted_copies_are_found_and_named(images):
    z = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    model = parrot(images, 0.0)
    found = Watch(images)(model.decode(z).detach())
    planted = z[:, 0] > 0
    assert found.near[planted].all()
    assert found.near[~planted].float().mean() < 0.06  # not drawn as held-out images are
    i = (torch.special.ndtr(z[:, 1]) * len(images.train)).long()
    assert found.nearest[planted].tolist() == i[planted].tolist()


def test_copies_are_drawn_again_and_others_stay(images):
    model, watch = parrot(images, 0.5), Watch(images)
    plain, fresh = draw(model, 60), draw(model, 60, watch)
    assert not watch(fresh.images).near.any()
    kept = fresh.refused == 0
    assert 5 < (~kept).sum() < 40
    torch.testing.assert_close(fresh.images[kept], plain.images[kept], rtol=0, atol=0)
    torch.testing.assert_close(model.decode(fresh.latents).detach(), fresh.images)
    # Sample 7 is the same whatever is drawn with it.
    few = draw(model, 20, watch, batch_size=7)
    torch.testing.assert_close(few.images, fresh.images[:20], rtol=1e-4, atol=1e-4)
    assert few.refused.tolist() == fresh.refused[:20].tolist()


def test_plain_samples_are_those_of_the_model(images):
    model = parrot(images, 0.0)
    torch.testing.assert_close(pi.sample(model, 5, seed=3).images, model.sample(5, seed=3))
    assert pi.sample(model, 0).images.shape == (0, 1, SIDE, SIDE)


def test_a_model_that_knows_only_its_images_is_refused(images):
    with pytest.raises(pi.InputError, match="by heart"):
        pi.sample(parrot(images, -9.0), 3, no_copies_of=images)


def test_copies_of_large_images_survive_noise():
    big = np.random.default_rng(0).integers(0, 256, (120, 8, 8)).repeat(8, 1).repeat(8, 2)
    found = data.from_arrays(big.astype(np.uint8))
    x = found.batch(found.train[:20])
    noisy = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert Watch(found)(noisy).near.all()


def test_what_cannot_be_watched_is_refused(images):
    with pytest.raises(pi.InputError, match="no held-out images"):
        Watch(data.from_arrays(pictures(1)))
    with pytest.raises(pi.InputError, match="do not compare"):
        Watch(images)(torch.zeros(1, 3, SIDE, SIDE))
