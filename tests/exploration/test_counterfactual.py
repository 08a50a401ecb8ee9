"""Counterfactuals: linear where the truth is, curved where it bends, and nothing else moved."""

import math

import pytest
import torch

from preimage.core import InputError
from preimage.exploration.attributes import attribute, columns
from preimage.exploration.counterfactual import fit_counterfactual
from preimage.exploration.curved import regression
from preimage.exploration.joint import fit_jointly


@pytest.fixture(scope="module")
def linear():
    """z = z̄ + Bx + ε with correlated attributes, few enough that no net is tried."""
    g = torch.Generator().manual_seed(0)
    age = torch.rand(150, generator=g).double()
    glasses = (torch.rand(150, generator=g) < age).double()
    B = torch.randn(6, 2, generator=g).double()
    x = torch.stack([age, glasses], 1)
    z = x @ B.T + 0.05 * torch.randn(150, 6, generator=g).double() + 1
    return z.float(), {"age": attribute("age", age), "glasses": attribute("glasses", glasses)}


def test_where_the_truth_is_linear_the_move_is_that_of_the_multiple_regression(linear):
    z, known = linear
    found = fit_counterfactual(z, known, model="m")
    directions = fit_jointly(z, known, model="m")
    s = torch.where(known["age"].values < 0.5, 0.7, -0.7).float()  # so that all stay in the range
    moved = found.move(z, {"age": s}) - z
    torch.testing.assert_close(moved, s[:, None] * directions["age"].vector, rtol=0.01, atol=0.01)


def test_no_strength_leads_beyond_what_there_was(linear):
    z, known = linear
    found = fit_counterfactual(z, known, model="m")
    assert torch.equal(found.move(z, {"age": 100.0}), found.move(z, {"age": 1000.0}))


def test_a_class_changes_altogether_once_and_no_further(linear):
    z, known = linear
    found = fit_counterfactual(z, known, model="m")
    without = known["glasses"].values == 0
    s = found.altogether("glasses")
    once = found.move(z[without], {"glasses": s})
    assert torch.equal(once, found.move(z[without], {"glasses": 3 * s}))
    assert torch.equal(z[~without], found.move(z[~without], {"glasses": s}))  # they have them
    torch.testing.assert_close(found.move(once, {"glasses": -s}), z[without])


def test_a_curved_truth_is_followed_where_no_vector_could():
    """A hand at angle φ on a circle, of a clock that is big or small, and what nobody named."""
    g = torch.Generator().manual_seed(1)
    n = 2000
    φ = 2 * torch.rand(n, generator=g).double() - 1
    big = (torch.rand(n, generator=g) < 0.3).double()
    unnamed = torch.randn(n, 2, generator=g).double()

    def latents(φ: torch.Tensor, big: torch.Tensor) -> torch.Tensor:
        hand = (1 + big)[:, None] * torch.stack([(2 * φ).cos(), (2 * φ).sin()], 1)
        return torch.cat([hand, unnamed], 1).float()

    z = latents(φ, big)
    known = {"angle": attribute("angle", φ), "big": attribute("big", big)}
    found = fit_counterfactual(z, known, model="m", epochs=30)
    σ = φ.std()
    ought = latents(φ + 0.4 * (φ < 0), big)
    moved = found.move(z, {"angle": torch.where(φ < 0, 0.4 / σ, 0.0)})
    vector = fit_jointly(z, known, model="m")["angle"].vector
    straight = z + torch.where(φ < 0, 0.4 / σ, 0.0)[:, None].float() * vector
    error, naive = (moved - ought).square().mean(), (straight - ought).square().mean()
    assert error < 0.01 < 0.03 < naive
    assert (moved - z)[:, 2:].abs().mean() < 0.05  # what nobody named stays
    ought = latents(φ, 1 - big)
    s = found.altogether("big")
    moved = found.move(z, {"big": torch.where(big > 0.5, -s, s)})
    assert (moved - ought).square().mean() < 0.01


def test_of_several_values_the_old_one_gives_way():
    g = torch.Generator().manual_seed(2)
    codes = torch.randint(3, (180,), generator=g)
    places = torch.tensor([[0.0, 0], [1, 0], [0, 1]])
    z = places[codes] + 0.01 * torch.randn(180, 2, generator=g)
    known = columns({"hair": codes.numpy()}, {"hair": ("red", "grey", "none")})
    found = fit_counterfactual(z, known, model="m")
    moved = found.move(z, {"hair:grey": found.altogether("hair:grey")})
    assert (moved - places[1]).abs().max() < 0.1
    away = found.move(z[codes == 1], {"hair:grey": -found.altogether("hair:grey")})
    p = torch.bincount(codes).double()[[0, 2]]
    between = (p[0] * places[0] + p[1] * places[2]) / p.sum()
    assert (away - between).abs().max() < 0.1


def test_two_changes_at_once_are_both_made(linear):
    z, known = linear
    found = fit_counterfactual(z, known, model="m")
    s = found.altogether("glasses")
    both = found.move(z, {"age": 0.5, "glasses": s})
    torch.testing.assert_close(
        both, found.move(z, {"age": 0.5}) + found.move(z, {"glasses": s}) - z
    )


def test_a_batch_does_not_couple_and_shapes_stay(linear):
    z, known = linear
    found = fit_counterfactual(z.view(-1, 2, 3), known, model="m")
    s = torch.linspace(-1, 1, len(z))
    moved = found.move(z.view(-1, 2, 3), {"age": s})
    assert moved.shape == (len(z), 2, 3)
    torch.testing.assert_close(moved[7:8], found.move(z.view(-1, 2, 3)[7:8], {"age": s[7]}))


def test_the_regression_stays_linear_where_there_is_nothing_to_bend():
    g = torch.Generator().manual_seed(3)
    x = torch.randn(1000, 4, generator=g)
    W = torch.randn(3, 4, generator=g)
    fitted = regression(x, x @ W.T + torch.randn(1000, 3, generator=g), epochs=10)
    fresh = torch.randn(1000, 4, generator=g)
    assert (fitted(fresh) - fresh @ W.T).square().mean() < 0.03
    assert math.isclose(fitted(torch.zeros(1, 4)).abs().max().item(), 0, abs_tol=0.3)


def test_what_cannot_be_is_refused(linear):
    z, known = linear
    few = {n: attribute(n, torch.arange(12.0) + i) for i, n in enumerate(known)}
    with pytest.raises(InputError, match="12 examples for 2 attributes"):
        fit_counterfactual(z[:12], few, model="m")
    found = fit_counterfactual(z, known, model="m")
    with pytest.raises(InputError, match=r"no attribute 'glases'.*glasses"):
        found.move(z, {"glases": 1.0})
    with pytest.raises(InputError, match="no attributes"):
        fit_counterfactual(z, {}, model="m")
