"""Traversals and effects: one decode, and scores known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from preimage.core import ImageSpec, InputError, LatentModel, LatentSpace
from preimage.exploration.direction import Direction, owner
from preimage.exploration.traversal import effects, traverse
from preimage.models.wrap import wrap

D = 4


class Painting(nn.Module):
    """Latent 0 moves all 16 pixels by 1, latents 1 and 2 the first four by ½ and −2, 3 nothing."""

    def __init__(self) -> None:
        super().__init__()
        W = torch.zeros(16, D)
        W[:, 0], W[:4, 1], W[:4, 2] = 1, 0.5, -2
        self.W = nn.Parameter(W)
        self.decoded: list[int] = []

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        self.decoded.append(len(z))
        shade = 0 if labels is None else labels[:, None].to(z)
        return z.flatten(1) @ self.W.T + shade


def painting(shape: tuple[int, ...] = (D,), **options: object) -> LatentModel:
    return wrap(Painting(), data=ImageSpec(1, 4, 4), space=LatentSpace(shape), **options)  # type: ignore[arg-type]


def axis(of: LatentModel, i: int, name: str | None = None) -> Direction:
    v = torch.eye(D)[i].reshape(of.space.shape)
    return Direction(name or f"z{i}", v, owner(of), "planted")


@pytest.mark.parametrize("shape", [(D,), (1, 2, 2)], ids=["flat", "spatial"])
def test_a_sheet_is_one_decode_of_the_right_points(shape: tuple[int, ...]) -> None:
    G = painting(shape)
    z, strengths = torch.randn(3, *shape), (-2.0, 0.0, 1.0)
    G.generator.decoded.clear()  # type: ignore[union-attr,operator]
    walked = traverse(G, [axis(G, 0), axis(G, 2)], z, strengths=strengths)
    assert G.generator.decoded == [3 * 2 * 3]  # type: ignore[union-attr]
    assert walked.images.shape == (3, 2, 3, 1, 4, 4)
    for b in range(3):
        for r, direction in enumerate((axis(G, 0), axis(G, 2))):
            for s, strength in enumerate(strengths):
                expected = G.decode(direction.move(z[b : b + 1], strength))[0]
                assert torch.allclose(walked.images[b, r, s], expected, atol=1e-6)
    assert list(walked.rows(1)) == ["z0", "z2"]


def test_the_batch_changes_nothing_and_labels_stay_with_their_latents() -> None:
    G = painting(classes=("a", "b", "c"))
    z, labels = torch.randn(3, D), torch.tensor([2, 0, 1])
    whole = traverse(G, [axis(G, 0), axis(G, 1)], z, labels=labels)
    parts = traverse(G, [axis(G, 0), axis(G, 1)], z, labels=labels, batch_size=5)
    assert torch.allclose(whole.images, parts.images, atol=1e-6)
    plain = painting().decode(z)
    middle = whole.images[:, :, 3] - plain[:, None]  # strength 0: only the class's shade
    assert torch.allclose(middle.flatten(1).mean(1), labels.float(), atol=1e-5)


def test_how_much_moves_and_how_much_of_the_image() -> None:
    G = painting()
    found = effects(G, [axis(G, i) for i in range(4)], torch.randn(5, D))
    assert torch.allclose(found.change, torch.tensor([1, 0.25 / 4, 4 / 4, 0]), atol=1e-5)
    assert torch.allclose(found.share[:3], torch.tensor([1, 0.25, 0.25]), atol=1e-5)
    assert torch.allclose(found.maps[2].flatten()[:4], torch.full((4,), 2.0), atol=1e-5)
    assert found.maps[2].flatten()[4:].abs().max() == 0


def test_two_directions_that_do_the_same_are_told() -> None:
    G = painting()
    found = effects(G, [axis(G, i) for i in range(3)], torch.randn(5, D), batch_size=7)
    # apart in the latent space, yet the one undoes the other in images
    assert found.latent_cosine[1, 2] == 0
    assert found.image_cosine[1, 2].item() == pytest.approx(1, abs=1e-5)
    assert found.image_cosine[0, 1].item() == pytest.approx(0.5, abs=1e-5)  # √(4/16)
    assert found.alike() == [("z1", "z2")]


def test_a_direction_of_another_model_is_refused_naming_both() -> None:
    G = painting()
    other = axis(G, 0)
    with torch.no_grad():
        G.generator.W += 1  # type: ignore[union-attr,operator]
    for attempt in (traverse, effects):
        with pytest.raises(InputError, match=f"fitted on model {other.model}.*{owner(G)}"):
            attempt(G, [other], torch.randn(2, D))
    with pytest.raises(InputError, match="at least one direction"):
        traverse(G, [], torch.randn(2, D))
