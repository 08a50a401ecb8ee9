"""Members that a model knows by heart are found; those it never saw are not accused."""

import numpy as np
import pytest
import torch
from torch import nn

import preimage as pi
from preimage import data
from preimage.evaluation.membership import (
    Candidates,
    candidates,
    membership,
    reconstruction_errors,
)

SIDE = 16  # 256 pixels


def images(n, *, seed, alike=False):
    x = torch.randn(n, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    easy = torch.rand(n, 1, 1, 1, generator=torch.Generator().manual_seed(seed + 1000)) + 0.3
    return 0.3 * x * (1 if alike else easy)  # some pictures have less in them than others


class Projection(nn.Module):
    """The best linear autoencoder of d latents for some images."""

    def __init__(self, x, d):
        super().__init__()
        self.basis = nn.Parameter(torch.linalg.svd(x.flatten(1), full_matrices=False)[2][:d])

    def forward(self, z):
        return z @ self.basis


class Encoder(nn.Module):
    def __init__(self, projection):
        super().__init__()
        self.projection = projection

    def forward(self, x):
        return x.flatten(1) @ self.projection.basis.T


def trained(x, d, *, encoder=True):
    projection = Projection(x, d)
    return pi.wrap(
        projection,
        data=pi.ImageSpec(1, SIDE, SIDE),
        space=pi.LatentSpace((d,)),
        encoder=Encoder(projection) if encoder else None,
    )


class Gallery(nn.Module):
    """A generator that draws its training images, a little changed."""

    def __init__(self, x):
        super().__init__()
        self.x = nn.Parameter(x)

    def forward(self, z):
        i = (torch.special.ndtr(z[:, 0]) * len(self.x)).long().clamp_max(len(self.x) - 1)
        return self.x[i] + 0.01 * z[:, 1, None, None, None]


def gallery(x):
    spec = pi.ImageSpec(1, SIDE, SIDE)
    return pi.wrap(Gallery(x), data=spec, space=pi.LatentSpace((2,)))


def test_images_known_by_heart_are_found():
    members, others, third = (images(500 if s == 1 else 120, seed=s, alike=True) for s in range(3))
    found = membership(
        trained(members, 120), Candidates(members, others), reference=trained(third, 120)
    )
    assert found.calibrated
    assert found.auc.value > 0.99
    assert found.detected.low > 0.9


def test_copies_show_in_samples_alone():
    members, others = images(60, seed=0), images(150, seed=1)
    found = membership(
        gallery(members),
        Candidates(members, others),
        reference=gallery(images(60, seed=2)),
        attack="samples",
        samples=1500,
    )
    assert found.auc.value > 0.99
    assert found.detected.value > 0.9


def test_images_never_seen_are_guessed_at():
    held = 0
    for seed in range(0, 90, 3):
        found = membership(
            trained(images(100, seed=500), 20),
            Candidates(images(80, seed=seed), images(120, seed=seed + 1)),
            reference=trained(images(100, seed=600), 20),
        )
        held += found.auc.low <= 0.5 <= found.auc.high and found.detected.low <= 0.01
    assert held >= 26


def test_calibration_sees_past_how_easy_an_image_is():
    members, others = images(200, seed=0), images(200, seed=1)
    victim, reference = trained(members, 40), trained(images(200, seed=2), 40)
    pair = Candidates(members, others)
    plain = membership(victim, pair)
    calibrated = membership(victim, pair, reference=reference)
    assert not plain.calibrated
    assert "easy for any model" in plain.notes[0]
    assert "give 437" in plain.notes[1]
    assert calibrated.auc.low > plain.auc.high


def test_without_an_encoder_reconstructions_are_searched_for():
    x = images(12, seed=0)
    with_encoder, without = trained(x, 6), trained(x, 6, encoder=False)
    expected = reconstruction_errors(with_encoder, x)
    torch.testing.assert_close(reconstruction_errors(without, x), expected, rtol=1e-3, atol=1e-6)


def digits(images, **options):
    return data.from_arrays(images, **options)


def test_candidates_are_none_that_the_reference_knows():
    x = np.random.default_rng(0).integers(0, 256, (300, 16, 16)).astype(np.uint8)
    victim, reference = digits(x), digits(x[100:250])
    pair = candidates(victim, reference=reference, n=200)
    known = {image.tobytes() for image in reference.images[reference.train]}
    for side, rows in ((pair.members, victim.train), (pair.others, victim.heldout)):
        pixels = ((side + 1) * 127.5).round().numpy().astype(np.uint8)
        assert not {image.tobytes() for image in pixels} & known
        assert {image.tobytes() for image in pixels} <= {i.tobytes() for i in victim.images[rows]}
    assert len(candidates(victim, n=25).members) == 25


def test_a_reference_of_the_same_images_or_too_few_are_refused():
    x = np.random.default_rng(0).integers(0, 256, (300, 16, 16)).astype(np.uint8)
    with pytest.raises(pi.InputError, match="same training images"):
        candidates(digits(x), reference=digits(x))
    with pytest.raises(pi.InputError, match="15 training images"):
        candidates(digits(x[:30]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": "reconstructed"}, "did you mean 'reconstruction'"),
        ({"reference": "small"}, "same size"),
        ({"reference": "strange"}, "trained on other images"),
        ({"n": 5}, "5 members"),
    ],
)
def test_what_cannot_be_attacked_is_refused(options, message):
    n = options.pop("n", 50)
    members = images(n, seed=0)
    if options.get("reference") == "small":
        options["reference"] = pi.wrap(
            nn.Linear(2, 64), data=pi.ImageSpec(1, 8, 8), space=pi.LatentSpace((2,))
        )
    elif options.get("reference") == "strange":
        flat = torch.ones(30, 1, SIDE, SIDE) * torch.rand(30, 1, 1, 1)
        options["reference"] = trained(flat, 1)
    victim = trained(torch.cat([images(200, seed=1), images(50, seed=2)]), 220)
    with pytest.raises(pi.InputError, match=message):
        membership(victim, Candidates(members, images(50, seed=2)), **options)
