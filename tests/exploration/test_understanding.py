"""Planted truths of a linear generator: what is dead, where each number acts, what it follows."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.exploration.understanding import (
    Understanding,
    followed,
    kl_by_dimension,
    understanding,
)


class Linear(nn.Module):
    """z → A z, of rank 3, blind to the last of its five numbers."""

    def __init__(self):
        super().__init__()
        g = torch.Generator().manual_seed(0)
        A = torch.randn(48, 3, generator=g) @ torch.randn(3, 5, generator=g) / 8
        A[:, 4] = 0
        self.A = nn.Parameter(A)

    def forward(self, z: Tensor) -> Tensor:
        return z.flatten(1) @ self.A.T


def planted(*shape: int) -> pi.LatentModel:
    return pi.wrap(Linear(), data=pi.ImageSpec(3, 4, 4), space=pi.LatentSpace(shape or (5,)))


def posterior(n: int = 400) -> pi.Gaussian:
    """Means and variances of an encoder that tells nothing in its last number."""
    means = torch.randn(n, 5, generator=torch.Generator().manual_seed(1))
    log_variances = torch.full((n, 5), -3.0)
    means[:, 4], log_variances[:, 4] = 1e-4 * means[:, 4], 0
    return pi.Gaussian(means, log_variances)


def understood(model: pi.LatentModel, q: pi.Gaussian, **options) -> Understanding:
    images = model.decode(q.mean).detach()
    *_, found = understanding(model, q, images, encoded=True, **options)
    assert isinstance(found, Understanding)
    return found


def test_kl_is_the_closed_form_number_by_number() -> None:
    q = posterior()
    kl = kl_by_dimension(q)
    assert kl is not None
    assert kl.sum().item() == pytest.approx(q.kl().mean().item(), rel=1e-5)
    μ2 = q.mean[:, 0].square().mean().item()
    assert kl[0].item() == pytest.approx(0.5 * (μ2 + math.exp(-3) - 1 + 3), rel=1e-5)


def test_points_have_no_kl() -> None:
    assert kl_by_dimension(pi.Gaussian(torch.randn(9, 2), torch.full((9, 2), -20.0))) is None


def test_a_dead_number_is_called_dead_and_shows_nowhere() -> None:
    found = understood(planted(), posterior())
    assert [d.active for d in found.dimensions] == [True] * 4 + [False]
    assert found.dimensions[4].kl == pytest.approx(0, abs=1e-6)
    assert not found.sensitivity[4].any()
    points = pi.Gaussian(posterior().mean, torch.full((400, 5), -20.0))
    without = understood(planted(), points)  # judged by what it does to the image alone
    assert [d.active for d in without.dimensions] == [True] * 4 + [False]
    assert without.dimensions[0].kl is None


def test_sensitivity_of_a_linear_generator_is_its_columns() -> None:
    model, q = planted(), posterior()
    A = model.generator.A.detach()
    found = understood(model, q)
    assert torch.allclose(found.sensitivity.flatten(1), A.abs().T, atol=1e-5)
    effect = A.square().mean(0).sqrt() * q.mean.std(0)
    assert [d.effect for d in found.dimensions] == pytest.approx(effect.tolist(), rel=1e-4)
    assert [d.index for d in found.ranked] == effect.argsort(descending=True).tolist()


def test_spectrum_and_rank_are_those_of_the_matrix() -> None:
    model, q = planted(), posterior()
    found = understood(model, q)
    expected = torch.linalg.svdvals(model.generator.A.detach() * q.mean.std(0))
    assert torch.allclose(found.singular_values, expected.expand(32, -1), atol=1e-3)
    assert found.rank.value == found.rank.low == found.rank.high == 3


def test_spatial_latents_and_parts_of_large_ones(monkeypatch) -> None:
    model, q = planted(5, 1, 1), posterior()
    q = pi.Gaussian(q.mean.reshape(-1, 5, 1, 1), q.log_variance.reshape(-1, 5, 1, 1))
    whole = understood(model, q)
    monkeypatch.setattr("preimage.exploration.understanding.LARGE", 4)
    monkeypatch.setattr("preimage.exploration.understanding.LOOKED_AT", 2)
    part = understood(model, q)
    most = q.mean.flatten(1).std(0).topk(2).indices.sort().values
    assert [d.index for d in part.dimensions] == most.tolist()
    assert torch.allclose(part.sensitivity, whole.sensitivity[most], atol=1e-5)


def test_a_planted_attribute_is_found_and_chance_is_not() -> None:
    g = torch.Generator().manual_seed(2)
    z = torch.randn(600, 4, generator=g)
    noise = torch.randn(600, 3, generator=g)
    attributes = {
        "age": (z[:, 1] + 0.1 * noise[:, 0]).numpy(),
        "colour": (z[:, 2] > 0.4).float().numpy() + (z[:, 2] > -0.4).float().numpy(),
        "luck": noise[:, 1].numpy(),
        "known of half": np.where(np.arange(600) % 2, -z[:, 3].numpy(), np.nan),
        "always the same": np.ones(600),
    }
    found = followed(z, attributes, {"colour": ("red", "green", "blue")})
    assert found[0] is None
    first, second, third = found[1], found[2], found[3]
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.attribute, second.attribute, third.attribute) == (
        "age",
        "colour",
        "known of half",
    )
    assert first.correlation == pytest.approx(0.995, abs=0.01)
    assert second.correlation is None  # red, green and blue have no order
    assert third.correlation == pytest.approx(-1)
    assert first.p == 0.01


def test_a_word_that_says_nothing_is_no_value() -> None:
    z = torch.randn(600, 2, generator=torch.Generator().manual_seed(2))
    blank, high = (z[:, 0] > 0).numpy(), (z[:, 1] > 0).numpy()
    for missing in ("", "unlabelled"):
        codes = np.where(blank, 0, 1 + high).astype(np.float32)
        words = (missing, "low", "high")
        first, second = followed(z, {"kind": codes}, {"kind": words})
        assert first is None  # which tells what is not known only
        assert second is not None
        assert second.correlation is not None  # of two words there is an order


def test_information_of_a_copy_is_all_there_is() -> None:
    z = torch.arange(1000.0)[:, None]
    (found,) = followed(z, {"copy": np.arange(1000.0)}, {})
    assert found is not None
    assert found.information == pytest.approx(1)


def test_too_few_images_are_refused_with_the_number_needed() -> None:
    model, q = planted(), posterior(20)
    with pytest.raises(pi.InputError, match="20 different images tell too little; give at least 4"):
        understood(model, q)
