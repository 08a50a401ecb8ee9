"""Conditioned directions: their own reading moves by one, the others' by nothing."""

from __future__ import annotations

import pytest
import torch

from preimage.core import InputError
from preimage.exploration.attributes import attribute
from preimage.exploration.conditioning import conditioned, kept, projected
from preimage.exploration.direction import Direction
from preimage.exploration.labelled import fit

D = 24


def readings(n: int, seed: int = 0) -> torch.Tensor:
    """n unit vectors that are at angles to one another."""
    g = torch.Generator().manual_seed(seed)
    v = torch.randn(n, D, generator=g) + 0.7 * torch.randn(D, generator=g)
    return torch.nn.functional.normalize(v, dim=1)


def directions(shape: tuple[int, ...] = (D,)) -> list[Direction]:
    """Attributes a_i = u_i·z, linear and without noise, of latents N(0, I)."""
    g, u = torch.Generator().manual_seed(1), readings(4)
    z = torch.randn(2000, D + 1, generator=g)
    z[:, 0] = 1
    z = torch.linalg.qr(z)[0][:, 1:] * 2000**0.5  # of mean 0 and covariance I to the last digit
    return [
        fit(
            z.reshape(-1, *shape), attribute(f"a{i}", z @ u[i]), model="m", method="mean-difference"
        )
        for i in range(4)
    ]


@pytest.mark.parametrize("shape", [(D,), (6, 2, 2)], ids=["flat", "spatial"])
def test_what_is_kept_stays_and_what_moves_moves_by_one(shape: tuple[int, ...]) -> None:
    first, *others = directions(shape)
    found = conditioned(first, others)
    z = torch.randn(5, *shape)
    moved = found.move(z, 2.0)
    assert torch.allclose(first.read(moved) - first.read(z), torch.tensor(2.0), atol=1e-4)
    for other in others:
        assert torch.allclose(other.read(moved), other.read(z), atol=1e-4)
    assert found.conditioned == ("a1", "a2", "a3")
    assert 0 < found.report["left"] < 1  # type: ignore[operator]


def test_the_plain_direction_leaks_the_cosine() -> None:
    u = readings(4)
    first, *others = directions()
    for i, other in enumerate(others, 1):
        leak = other.read(first.vector[None]) - other.offset
        assert leak.item() == pytest.approx((u[0] @ u[i]).item(), abs=1e-4)


def test_the_projection_is_the_formula() -> None:
    # n̂ = n − Cᵀ(CCᵀ)⁻¹Cn
    C, n = torch.randn(5, D).double(), torch.randn(D).double()
    expected = n - C.T @ torch.linalg.inv(C @ C.T) @ C @ n
    assert torch.allclose(projected(n, C), expected)
    assert torch.allclose(projected(projected(n, C), C), expected)


def test_rows_that_depend_on_one_another_do_no_harm() -> None:
    C, n = torch.randn(3, D).double(), torch.randn(D).double()
    dependent = torch.cat([C, 1e6 * C[:1], C[1:2] + C[2:], 0 * C[:1]])
    assert torch.allclose(projected(n, dependent), projected(n, C))


def test_what_contradicts_itself_is_refused() -> None:
    first, second, *_ = directions()
    with pytest.raises(InputError, match="'a0' cannot move and be kept at once"):
        conditioned(first, [second, first])
    red, grey = second.named("hair:red"), second.named("hair:grey")
    with pytest.raises(InputError, match="'hair:red' cannot move and be kept"):
        conditioned(red, [grey])
    with pytest.raises(InputError, match="nothing of 'a0' is left when twin must stay"):
        conditioned(first, [first.named("twin")])
    assert conditioned(first, []) is first


def test_names_to_keep_mean_all_values_of_an_attribute() -> None:
    first, second, third, fourth = directions()
    known = {
        d.name: d
        for d in (first, second.named("hair:red"), third.named("hair:grey"), fourth.named("age"))
    }
    assert [d.name for d in kept(["age", "hair"], known)] == ["age", "hair:red", "hair:grey"]
    assert [d.name for d in kept(["hair:red", "hair"], known)] == ["hair:red", "hair:grey"]
    with pytest.raises(InputError, match="'hiar'; did you mean 'hair'"):
        kept(["hiar"], known)
    with pytest.raises(InputError, match="no directions yet"):
        kept(["hair"], {})
