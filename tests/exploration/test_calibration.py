"""Strengths that are true in images: of a decoder that makes too little of them, and mixes them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from preimage.core import ImageSpec, InputError, LatentModel, LatentSpace, Unsupported
from preimage.exploration.calibration import calibrated, calibrated_jointly, encoded, slopes
from preimage.exploration.direction import Direction, owner
from preimage.models.wrap import wrap


class Mixing(nn.Module):
    """z → Mz, and back without knowing of M: what comes back of a move n is Mn."""

    def __init__(self, M: Tensor):
        super().__init__()
        self.M = nn.Parameter(M)

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.M.T


def model(M: Tensor) -> LatentModel:
    d = len(M)
    return wrap(Mixing(M), data=ImageSpec(1, 1, d), space=LatentSpace((d,)), encoder=nn.Flatten())


def axis(of: LatentModel, i: int, d: int, **report: object) -> Direction:
    e = torch.eye(d)[i]
    return Direction(f"a{i}", e, owner(of), "planted", normal=e, report=report)


M = torch.tensor([[0.5, 0.2, 0.0], [-0.1, 1.5, 0.3], [0.0, 0.0, 0.8]])


def test_slopes_are_the_derivative_of_what_comes_back() -> None:
    G = model(M)
    axes = [axis(G, i, 3) for i in range(3)]
    z = torch.randn(10, 3)
    found = slopes(G, axes, z, encoded(G, axes))
    assert found.shape == (10, 3, 3)
    assert torch.allclose(found, M.expand(10, 3, 3), atol=1e-5)
    assert torch.allclose(slopes(G, axes, z, encoded(G, axes), batch_size=5), found, atol=1e-6)


def test_one_unit_becomes_one_unit_in_images() -> None:
    G = model(M)
    found = calibrated(G, axis(G, 0, 3), torch.randn(20, 3))
    assert torch.allclose(found.vector, torch.tensor([2.0, 0, 0]), atol=1e-4)
    assert found.report["slope"]["value"] == pytest.approx(0.5, abs=1e-5)  # type: ignore[index]


def test_all_at_once_each_moves_its_own_alone() -> None:
    G = model(M)
    axes = [axis(G, i, 3) for i in range(3)]
    z = torch.randn(20, 3)
    found = calibrated_jointly(G, axes, z)
    after = slopes(G, found, z, encoded(G, axes)).mean(0)
    before = slopes(G, axes, z, encoded(G, axes)).mean(0)
    # The damping leaves a hundredth of what was there, for slopes about one.
    assert (after - torch.eye(3)).abs().max() < 0.05 * (before - torch.eye(3)).abs().max() + 0.02


def test_what_cannot_be_read_changes_no_direction() -> None:
    G = model(M)
    blind = axis(G, 1, 3, correlations={"a1": 0.0})
    found = calibrated_jointly(G, [axis(G, 0, 3), blind], torch.randn(20, 3))
    assert found[0].vector[1].abs() < 0.02  # a0 leaks into a1's reading, which is worth nothing
    assert found[0].vector[0].item() == pytest.approx(2, rel=0.05)


def test_a_direction_that_images_do_not_answer_to_is_refused() -> None:
    G = model(torch.diag(torch.tensor([0.01, 1.0])))
    with pytest.raises(
        InputError, match=r"hardly answer to 'a0': one unit moves its reading by 0\.01"
    ):
        calibrated(G, axis(G, 0, 2), torch.randn(5, 2))


def test_without_an_encoder_another_reader_serves() -> None:
    G = wrap(Mixing(M), data=ImageSpec(1, 1, 3), space=LatentSpace((3,)))
    with pytest.raises(Unsupported, match="no encoder"):
        calibrated(G, axis(G, 0, 3), torch.randn(5, 3))
    found = calibrated(
        G, axis(G, 2, 3), torch.randn(5, 3), read=lambda x, labels: x.flatten(1)[:, 2:]
    )
    assert found.vector[2].item() == pytest.approx(1 / 0.8, rel=1e-4)
