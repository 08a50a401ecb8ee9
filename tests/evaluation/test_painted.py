"""Faces painted with a factor held still show which code stands still with it."""

import numpy as np
import pytest
import torch

import preimage as pi
from preimage.data import faces
from preimage.evaluation.painted import means_of, painted
from preimage.metrics.interventions import factor_vae

SIZE = 16
NAMES = ("background", "skin")  # that fill many pixels


@pytest.fixture(scope="module")
def reader():
    """A linear reading of two factors off the pixels."""
    factors = faces.sample(600)
    x = torch.from_numpy(faces.render(factors, SIZE)).float().flatten(1) / 127.5 - 1
    y = torch.from_numpy(np.stack([factors[name] for name in NAMES], 1))
    ones = torch.ones(len(x), 1)
    ridge = torch.cat([x, ones], 1).double()
    A = ridge.T @ ridge + 3 * torch.eye(ridge.shape[1]).double()
    weights = torch.linalg.solve(A, ridge.T @ y.double()).float()

    def read(images):
        return torch.cat([images.flatten(1), torch.ones(len(images), 1)], 1) @ weights

    return read


def test_a_code_that_reads_a_factor_votes_for_it(reader):
    draw, names = painted(reader, SIZE)
    assert len(names) == len(faces.FACTORS)
    shown = draw("background", 5, 8, 0)
    assert shown.shape == (5, 8, 2)
    within, between = shown[..., 0].std(1).mean(), shown[..., 0].mean(1).std()
    assert within < 0.5 * between
    np.testing.assert_array_equal(shown, draw("background", 5, 8, 0))
    fresh = reader(torch.from_numpy(faces.render(faces.sample(200, seed=3), SIZE)) / 127.5 - 1)
    found = factor_vae(draw, NAMES, fresh, votes=60, size=24)
    assert found.accuracy.low > 0.75


def test_models_that_take_no_faces_are_refused():
    bare = pi.wrap(torch.nn.Linear(2, 48), data=pi.ImageSpec(3, 4, 4), space=pi.LatentSpace((2,)))
    with pytest.raises(pi.Unsupported, match="with an encoder"):
        means_of(bare)
