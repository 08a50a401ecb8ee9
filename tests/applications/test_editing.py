"""Editing on generators whose answer is known: linear ones, with planted directions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.applications.editing import Change, Edit, Editor, changed
from preimage.applications.moves import Moves
from preimage.core import ImageSpec, InputError, LatentSpace
from preimage.exploration.conditioning import conditioned
from preimage.exploration.direction import Direction, owner

D, SIDE = 6, 8
STRIP = (-2.0, 0.0, 1.0)


class Linear(nn.Module):
    """x = A z: the latents' first number shows in the left half alone."""

    def __init__(self) -> None:
        super().__init__()
        basis = torch.linalg.qr(torch.randn(SIDE * SIDE, D, generator=seeded(1)))[0]
        images = basis.T.reshape(D, SIDE, SIDE) * 0.5
        images[0, :, SIDE // 2 :] = 0
        self.A = nn.Parameter(images.flatten(1).T.contiguous())

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.A.T


class Inverse(nn.Module):
    def __init__(self, generator: Linear):
        super().__init__()
        self.P = nn.Parameter(torch.linalg.pinv(generator.A.detach()))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.P.T


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model() -> pi.LatentModel:
    generator = Linear()
    data, space = ImageSpec(1, SIDE, SIDE), LatentSpace((D,))
    return pi.wrap(generator, data=data, space=space, encoder=Inverse(generator))


@pytest.fixture(scope="module")
def known(model: pi.LatentModel) -> dict[str, Direction]:
    """Directions whose own reading moves by 1, and others' with them."""
    made = {}
    for i, name in enumerate(("smile", "glasses", "age", "hair:red", "hair:grey")):
        w = torch.randn(D, generator=seeded(20 + i))
        n = torch.randn(D, generator=seeded(40 + i)) + w
        made[name] = Direction(
            name, n / (w @ n), owner(model), "planted", normal=w, offset=0.3 * i, mean=0.4,
            deviation=0.5,
        )  # fmt: skip
    left = torch.zeros(D)
    left[0] = 1.0
    made["left"] = Direction("left", left, owner(model), "planted")
    return made


@pytest.fixture(scope="module")
def z() -> Tensor:
    return 0.3 * torch.randn(5, D, generator=seeded(3))


@pytest.fixture(scope="module")
def x(model: pi.LatentModel, z: Tensor) -> Tensor:
    """Images that the model cannot draw whole."""
    with torch.no_grad():
        return (model.decode(z) + 0.1 * torch.randn(5, 1, SIDE, SIDE, generator=seeded(4))).clamp(
            -1, 1
        )


def edited(model, known, x, z, *, residual="unchanged", tune=0, edit=None, **asked) -> Edit:
    moves = Moves.of(known, **asked)
    return Editor(model, moves, residual, tune).edit(x, z, **(edit or {}))


@pytest.mark.parametrize("residual", ["unchanged", "whole"])
def test_nothing_moved_is_nothing_changed_to_the_last_bit(model, known, x, z, residual) -> None:
    found = edited(model, known, x, z, by={"smile": 0, "age": 0}, residual=residual)
    assert torch.equal(found.images, x)


def test_what_is_kept_stays_and_what_is_not_does_not(model, known, z) -> None:
    with torch.no_grad():
        x = model.decode(z)
    kept = edited(model, known, x, z, by={"smile": 0.2}, keep=["glasses", "hair"])
    free = edited(model, known, x, z, by={"smile": 0.2})
    for name in ("glasses", "hair:red", "hair:grey"):
        direction = known[name]
        before, after, loose = (
            direction.read(model.encode(images).mean) for images in (x, kept.images, free.images)
        )
        assert torch.allclose(before, after, atol=1e-4)
        along = direction.normal @ known["smile"].vector
        assert torch.allclose(loose - before, 0.2 * along, atol=1e-4)
        assert abs(along) > 0.01
    for found in (kept, free):  # and what is to move does, as far as it is asked to
        moved = known["smile"].read(model.encode(found.images).mean) - known["smile"].read(z)
        assert torch.allclose(moved, torch.tensor(0.2), atol=1e-4)


def test_a_wanted_reading_is_hit(model, known, x, z) -> None:
    one = edited(model, known, x, z, to={"age": 0.8})
    assert torch.allclose(one.after["age"], torch.tensor(0.8), atol=1e-5)
    assert torch.allclose(one.before["age"], 0.4 + 0.5 * known["age"].read(z), atol=1e-6)
    several = edited(
        model, known, x, z, by={"glasses": 1.5}, to={"age": 0.1, "smile": "yes"}, keep=["hair"]
    )
    assert torch.allclose(several.after["age"], torch.tensor(0.1), atol=1e-4)
    glasses = conditioned(known["glasses"], [known["hair:red"], known["hair:grey"]])
    along = known["smile"].normal @ glasses.vector
    wanted = several.before["smile"] + 0.5 * 1.5 * along
    assert torch.allclose(several.after["smile"], wanted.clamp_min(1), atol=1e-4)
    for name in ("age", "smile", "glasses"):
        direction = known[name]
        read = direction.mean + direction.deviation * direction.read(several.moved)
        assert torch.allclose(several.after[name], read, atol=1e-4)
    assert torch.equal(several.strengths["glasses"], torch.full((5,), 1.5))
    for name in ("hair:red", "hair:grey"):
        assert torch.allclose(known[name].read(several.moved), known[name].read(z), atol=1e-4)


def test_what_an_image_has_already_it_keeps(model, known, x, z) -> None:
    reading = 0.4 + 0.5 * known["smile"].read(z)
    assert (reading < 1).any()
    yes = edited(model, known, x, z, to={"smile": "yes"})
    assert torch.allclose(yes.after["smile"], reading.clamp_min(1), atol=1e-5)
    no = edited(model, known, x, z, to={"smile": "no"})
    assert torch.allclose(no.after["smile"], reading.clamp_max(0), atol=1e-5)
    assert torch.equal(no.images[reading < 0], x[reading < 0])


@pytest.mark.parametrize(
    ("meaning", "asked", "codes"),
    [
        (("line", "loop"), "loop", 1),
        (("line", "loop"), "line", 0),
        (("1", "2"), "1", 0),
        (("1", "2"), 2, 1),
        (("0", "1"), "1", 1),
        (("nan", "inf"), "inf", 1),
    ],
)
def test_an_attribute_of_two_values_is_told_by_either(model, known, x, z, meaning, asked, codes):
    kind = {"kind": replace(known["smile"], name="kind", meaning=meaning)}
    found = edited(model, kind, x, z, to={"kind": asked})
    same = edited(model, kind, x, z, to={"kind": ("no", "yes")[codes]})
    assert torch.equal(found.moved, same.moved)
    reading = 0.4 + 0.5 * kind["kind"].read(found.moved)
    assert bool((reading >= 1 - 1e-5 if codes else reading <= 1e-5).all())
    low, high = (1, 2) if meaning == ("1", "2") else (0, 1)
    assert torch.allclose(found.after["kind"], low + (high - low) * reading, atol=1e-4)
    half = edited(model, kind, x, z, to={"kind": (low + high) / 2})
    assert torch.allclose(0.4 + 0.5 * kind["kind"].read(half.moved), torch.tensor(0.5), atol=1e-4)


def test_a_direction_that_reads_nothing_is_said_to(model, known, x, z) -> None:
    report = {"accuracy": {"value": 0.55, "low": 0.4, "high": 0.7}}
    blind = {"smile": replace(known["smile"], report=report), "age": known["age"]}
    found = edited(model, blind, x, z, by={"smile": 1, "age": 1})
    assert found.notes == (("'smile' tells images no better than chance",),) * len(x)
    assert edited(model, known, x, z, by={"smile": 1}).notes == ((),) * len(x)


def test_of_a_calibrated_direction_one_unit_is_one_unit(model, known, x, z) -> None:
    age = replace(known["age"], vector=known["age"].vector / 0.7, report={"slope": {"value": 0.7}})
    found = edited(model, {"age": age}, x, z, to={"age": 0.9})
    assert torch.allclose(found.strengths["age"], 1 - age.read(z), atol=1e-5)
    assert torch.allclose(found.after["age"], torch.tensor(0.9), atol=1e-5)


def test_what_the_model_cannot_draw_stays_as_asked(model, known, x, z) -> None:
    by = {"left": 4.0}
    with torch.no_grad():
        G, Gz = model.decode(known["left"].move(z, 4.0)), model.decode(z)
    none = edited(model, known, x, z, by=by, residual="none")
    assert torch.allclose(none.images, G.clamp(-1, 1), atol=1e-6)
    whole = edited(model, known, x, z, by=by, residual="whole")
    assert torch.allclose(whole.images, (G + (x - Gz)).clamp(-1, 1), atol=1e-6)
    some = edited(model, known, x, z, by=by)
    right = slice(SIDE // 2 + 2, None)  # a change reaches two pixels beyond itself
    assert torch.equal(some.images[..., right], x[..., right])
    λ = some.change.lost
    expected = (G + (1 - λ) * (x - Gz)).clamp(-1, 1)
    assert torch.allclose(some.images, expected, atol=1e-6)


def test_the_residual_goes_where_much_changed_and_stays_where_nothing_did() -> None:
    δ = torch.zeros(1, 3, 64, 64)
    δ[:, 1, 20:30, 20:30] = -1.5
    λ = changed(δ)
    assert λ[0, 0, 25, 25] > 0.999
    assert torch.count_nonzero(λ) == 14 * 14
    assert torch.equal(changed(δ[..., 32:, 32:]), torch.zeros(1, 1, 32, 32))


def test_outside_a_mask_every_pixel_is_as_it_was(model, known, x, z) -> None:
    mask = torch.zeros(SIDE, SIDE)
    mask[2:5, 1:6] = 1
    mask[3, 2] = 0.5
    for residual in ("unchanged", "whole", "none"):
        options: dict[str, Any] = {"by": {"smile": 0.5}, "residual": residual}
        whole = edited(model, known, x, z, **options)
        part = edited(model, known, x, z, **options, edit={"mask": mask})
        assert torch.equal(part.images[..., mask == 0], x[..., mask == 0])
        inside = mask == 1
        assert torch.allclose(part.images[..., inside], whole.images[..., inside], atol=1e-6)
        middle = (x + whole.images)[..., 3, 2] / 2
        assert torch.allclose(part.images[..., 3, 2], middle, atol=0.02)


def test_a_strip_is_the_edit_at_each_strength(model, known, x, z) -> None:
    asked: dict[str, Any] = {"by": {"smile": 1.0}, "to": {"age": 0.9}}
    found = edited(model, known, x, z, **asked, edit={"strip": STRIP})
    assert set(found.strips) == {"smile", "age"}
    ages = found.strengths["age"]
    for i, s in enumerate(STRIP):
        moves = Moves.of(known, by={"smile": s})
        place = known["age"].move(moves.moved(z, moves.strengths(z)), ages)
        with torch.no_grad():
            δ = model.decode(place) - model.decode(z)
        expected = Change(found.reconstruction, δ, changed(δ)).of(x)
        assert torch.allclose(found.strips["smile"][:, i], expected, atol=1e-5)


@pytest.mark.slow
def test_tuning_draws_the_very_image_and_no_image_sees_another(model, known, x, z) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, z = x[:2], 5 * z[:2]
    options: dict[str, Any] = {"by": {"smile": 0.5}, "residual": "none"}
    plain = edited(model, known, x, z, **options)
    tuned = edited(model, known, x, z, **options, tune=200)

    def errors(found: Edit) -> Tensor:
        return (found.reconstruction - x).square().mean((1, 2, 3))

    assert (errors(tuned) < errors(plain) / 10).all()
    alone = edited(model, known, x[1:], z[1:], **options, tune=200)
    assert torch.allclose(alone.images, tuned.images[1:], atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Spatial(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(2, 3, 4, 4, generator=seeded(8)) * 0.2)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        x = torch.conv_transpose2d(z, self.weight, stride=4)
        return x + 0.1 * labels[:, None, None, None]


def test_spatial_latents_of_a_conditional_model() -> None:
    space = LatentSpace((2, 2, 2))
    model = pi.wrap(Spatial(), data=ImageSpec(3, 8, 8), space=space, classes=("a", "b", "c"))
    w = torch.randn(2, 2, 2, generator=seeded(9))
    smile = Direction("smile", w / w.square().sum(), owner(model), "planted", normal=w)
    z, labels = space.sample(3, seed=1), torch.tensor([2, 0, 1])
    with torch.no_grad():
        x = model.decode(z, labels)
    found = Editor(model, Moves.of({"smile": smile}, to={"smile": 0.5})).edit(x, z, labels)
    assert torch.allclose(found.after["smile"], torch.tensor(0.5), atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(found.images, model.decode(found.moved, labels).clamp(-1, 1))


def test_python_edits_what_a_person_calls_images(model, known, x, z) -> None:
    given = {"directions": known.values(), "to": {"age": 0.8}}
    found = pi.edit(model, x, **given)
    assert torch.allclose(found.z, model.encode(x).mean)
    one = pi.edit(model, x[2], **given)
    assert torch.allclose(one.images, found.images[2:3], atol=1e-5)
    assert found.names == ("0", "1", "2", "3", "4")
    searched = pi.edit(model, x, method="search", **given)
    assert torch.allclose(searched.z, found.z, atol=1e-2)  # least squares either way


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "nothing to change"),
        ({"by": {"smil": 1}}, "no direction 'smil'; did you mean 'smile'"),
        ({"by": {"smile": "much"}}, "--by smile=much: 'much' is no number"),
        ({"by": {"smile": float("nan")}}, "is no number"),
        ({"to": {"smile": "ja"}}, "'ja' is no number; give one, as in smile=0.8, or smile=yes"),
        ({"to": {"left": 1}}, "found without labels"),
        ({"by": {"smile": 1}, "to": {"smile": 1}}, "give one of --by and --to"),
        ({"by": {"smile": 1e300}}, "--by smile=1e+300 is out of all reach"),
        ({"to": {"smile": "1e300"}}, "--to smile=1e300 is out of all reach"),
        ({"by": {"smile": 1}, "keep": ["smile"]}, "'smile' cannot move and be kept"),
        ({"by": {"hair:red": 1}, "keep": ["hair"]}, "cannot move and be kept"),
        ({"by": {"smile": 1}, "keep": ["glases"]}, "did you mean 'glasses'"),
        ({"by": {"smile": 1}, "keep": ["twin"]}, "nothing of 'smile' is left"),
        ({"to": {"smile": 1, "twin": 0}}, "smile and twin cannot be had at once"),
        ({"by": {"smile": 1}, "residual": "some"}, "no residual 'some'"),
        ({"by": {"smile": 1}, "tune": -1}, "give 0 or more"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(model, known, x, z, asked, message) -> None:
    known = {**known, "twin": replace(known["smile"], name="twin")}
    with pytest.raises(InputError) as caught:
        edited(model, known, x, z, **asked)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_direction_of_another_model_or_space_is_refused(model, known, x, z) -> None:
    other = {"smile": replace(known["smile"], model="0123")}
    with pytest.raises(InputError, match="fitted on model 0123"):
        edited(model, other, x, z, by={"smile": 1})
    other = {"smile": replace(known["smile"], space="w")}
    with pytest.raises(InputError, match="of a latent space 'w'"):
        edited(model, other, x, z, by={"smile": 1})


def test_a_mask_of_another_size_is_refused(model, known, x) -> None:
    with pytest.raises(InputError, match=r"give \(8, 8\)"):
        pi.edit(model, x, by={"smile": 1}, directions=known.values(), mask=torch.ones(9, 9))
