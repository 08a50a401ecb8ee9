"""`pi.direction` and `pi.directions` on models of every kind, with truths that were planted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.core import LatentModel, Step

D, SIDE = 8, 4


class Turned(nn.Module):
    """z → Qz as an image and back, Q orthogonal; each class is its own shade, added to all."""

    def __init__(self, *, back: bool = False):
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.Q = nn.Parameter(torch.linalg.qr(torch.randn(SIDE**2, D, generator=g))[0])
        self.back = back

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        shade = 0 if labels is None else 0.1 * labels[:, None].to(x)
        if not self.back:
            return 0.2 * (x.flatten(1) @ self.Q.T) + shade
        return (5 * (x.flatten(1) - shade) @ self.Q).reshape(len(x), *self.shape)

    shape: tuple[int, ...] = (D,)


def turned(shape: tuple[int, ...] = (D,), *, encoder: bool = True, classes: int = 0) -> LatentModel:
    back = Turned(back=True)
    back.shape = shape
    return pi.wrap(
        Turned(),
        data=pi.ImageSpec(1, SIDE, SIDE),
        space=pi.LatentSpace(shape),
        encoder=back if encoder else None,
        classes=tuple("abc"[:classes]),
    )


def known(n: int = 1500) -> tuple[Tensor, dict[str, Tensor]]:
    """Latents, and attributes of which the second comes with the first."""
    g = torch.Generator().manual_seed(0)
    age = torch.rand(n, generator=g)
    glasses = (torch.rand(n, generator=g) < age).float()
    z = 0.3 * torch.randn(n, D, generator=g)
    z[:, 0] += 3 * age
    z[:, 1] += 2 * glasses
    return z, {"age": age, "glasses": glasses, "chance": torch.rand(n, generator=g)}


@pytest.mark.parametrize("shape", [(D,), (2, 2, 2)], ids=["flat", "spatial"])
@pytest.mark.parametrize("classes", [0, 3], ids=["plain", "conditional"])
def test_attributes_of_images_in_memory(shape: tuple[int, ...], classes: int) -> None:
    model, (z, labels) = turned(shape, classes=classes), known()
    options = {"label": 1} if classes else {}
    images = model.decode(z.reshape(-1, *shape), model.labels_for(len(z), **options)).detach()
    found = pi.directions(model, images, labels=labels, **options)
    assert list(found) == ["age", "glasses", "chance"]
    for i, name in enumerate(("age", "glasses")):
        v = torch.nn.functional.normalize(found[name].vector.flatten(), dim=0)
        assert v[i] > 0.99, name
    single = pi.direction(model, attribute="glasses", images=images, labels=labels, **options)
    assert torch.allclose(single.vector, found["glasses"].vector)
    plain = pi.direction(
        model,
        attribute="glasses",
        images=images,
        labels=labels,
        method="mean-difference",
        **options,
    )
    assert plain.vector.flatten()[0] > 0.2 * plain.vector.flatten()[1]  # age comes along
    kept = pi.direction(
        model, attribute="glasses", images=images, labels=labels, method="mean-difference",
        keep=["age"], **options,
    )  # fmt: skip
    assert abs(kept.vector.flatten()[0]) < 0.05 * kept.vector.flatten()[1]


def test_samples_labelled_by_a_function_need_no_encoder() -> None:
    model = turned(encoder=False)
    q = model.generator.Q  # type: ignore[union-attr]
    found = pi.direction(model, classifier=lambda x: x.flatten(1) @ q[:, 2], n=1000)
    assert torch.nn.functional.normalize(found.vector, dim=0)[2] > 0.99
    # 0.2 z₂ has a standard deviation of 0.2, which one unit is to move it by
    moved = model.decode(found.vector[None]) - model.decode(torch.zeros(1, D))
    assert (moved.flatten() @ q[:, 2]).item() == pytest.approx(found.deviation, rel=0.02)
    side = pi.direction(model, classifier=lambda x: (x.flatten(1) @ q[:, 2]) > 0, n=1000)
    assert torch.nn.functional.normalize(side.vector, dim=0)[2] > 0.98


def test_images_are_searched_for_where_there_is_no_encoder() -> None:
    model, (z, _) = turned(encoder=False), known(40)
    with torch.no_grad():
        positive, negative = (model.decode(z + s * torch.eye(D)[3]) for s in (3.0, 0.0))
    found = pi.direction(model, positive=positive, negative=negative, name="three")
    assert torch.nn.functional.normalize(found.vector, dim=0)[3] > 0.95
    assert (found.name, found.report["accuracy"]["value"]) == ("three", 1.0)  # type: ignore[index]


def test_what_is_hardly_known_is_left_out_and_said() -> None:
    model, (z, labels) = turned(), known()
    sparse = torch.where(torch.arange(len(z)) % 4 == 0, labels["chance"], torch.nan)
    labels |= {"sparse": sparse, "always": torch.ones(len(z)), "old": 2 * labels["age"] + 1}
    notes: list[str] = []

    def listen(step: Step) -> None:
        notes.extend(step.notes)

    images = model.decode(z).detach()
    found = pi.directions(model, images, labels=labels, progress=listen)
    assert list(found) == ["age", "glasses", "chance"]
    assert [n for n in notes if "'sparse', known of 25 %" in n]
    assert [n for n in notes if "'always' has one class only" in n]
    assert [n for n in notes if "'old', which goes together with 'age'" in n]
    asked = pi.directions(model, images, labels=labels, attributes=["sparse"], method="ridge")
    assert asked["sparse"].report["left_out"] == len(z) * 3 // 4


def test_ways_that_contradict_one_another() -> None:
    model = turned()
    for options in ({}, {"attribute": "a", "classifier": len}, {"attribute": "a", "positive": "x"}):
        with pytest.raises(pi.InputError, match="one of them"):
            pi.direction(model, **options)  # type: ignore[arg-type]
    with pytest.raises(pi.InputError, match="no images of its own"):
        pi.direction(model, attribute="age")
    with pytest.raises(pi.InputError, match="alike in all directions"):
        pi.unlabelled_directions(model, "pca")
