"""Edits by counterfactuals on generators whose answer is known, linear ones and a curved one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import preimage as pi
from preimage.applications.counterfactuals import Chain, Counterfactuals, mover
from preimage.applications.editing import Editor
from preimage.applications.moves import Moves
from preimage.core import ImageSpec, InputError, LatentSpace
from preimage.exploration.attributes import columns
from preimage.exploration.counterfactual import fit_counterfactual
from preimage.exploration.direction import Direction, owner
from preimage.runs.counterfactuals import load_counterfactual, save_counterfactual

D, SIDE, N = 6, 8, 180
HAIR = ("red", "grey", "none")


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        basis = torch.linalg.qr(torch.randn(SIDE * SIDE, D, generator=seeded(1)))[0]
        self.A = nn.Parameter(basis * 1.5)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.A.T).view(-1, 1, SIDE, SIDE)


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
def planted(model: pi.LatentModel) -> tuple[Tensor, dict[str, Tensor]]:
    """Images of z = Bx + ε: ages in [0, 1], glasses that come with them, one of three hairs."""
    g = seeded(0)
    age = torch.rand(N, generator=g)
    glasses = (torch.rand(N, generator=g) < age).float()
    hair = torch.randint(3, (N,), generator=g)
    B = torch.randn(5, D, generator=g)
    x = torch.cat([age[:, None], glasses[:, None], torch.eye(3)[hair]], 1)
    z = 0.5 * x @ B + 0.02 * torch.randn(N, D, generator=g)
    with torch.no_grad():
        images = model.decode(z)
    columns = {f"hair:{value}": (hair == i).float() for i, value in enumerate(HAIR)}
    return images, {"age": age, "glasses": glasses, **columns, "hair": hair.float()}


@pytest.fixture(scope="module")
def found(model, planted) -> pi.Counterfactual:
    images, known = planted
    labels = {name: known[name] for name in ("age", "glasses")}
    return pi.counterfactual(model, images, labels=labels, device="cpu")


def test_where_the_truth_is_linear_the_edit_is_that_of_the_joint_directions(model, planted, found):
    images, known = planted
    labels = {name: known[name] for name in ("age", "glasses")}
    directions = pi.directions(model, images, labels=labels, calibrate=False, device="cpu")
    rows = (known["age"] > 0.3) & (known["age"] < 0.7)
    some: Any = {"device": "cpu", "residual": "none"}
    bent = pi.edit(model, images[rows], by={"age": 0.6}, counterfactual=found, **some)
    straight = pi.edit(
        model, images[rows], by={"age": 0.6}, directions=directions.values(), move="linear", **some
    )
    assert (bent.images - straight.images).abs().max() < 0.01
    assert (bent.images - bent.original).abs().max() > 0.05
    assert torch.allclose(bent.strengths["age"], torch.tensor(0.6), atol=1e-4)


def test_a_wanted_value_is_had_and_all_else_stays(model, planted, found) -> None:
    images, known = planted
    done = pi.edit(model, images, to={"age": 0.5, "glasses": "yes"}, counterfactual=found)
    assert (done.after["age"] - 0.5).abs().max() < 0.1
    assert (done.after["glasses"] - 1).abs().max() < 0.2
    has = known["glasses"] == 1
    assert (done.strengths["glasses"][has] == 0).all()  # who wears some already keeps them
    one = pi.edit(model, images, to={"age": 0.5}, counterfactual=found, keep=["glasses"])
    j = found.index("glasses")
    assert (found.read(one.moved) - found.read(one.z))[:, j].abs().max() < 0.05


def test_no_edit_goes_beyond_the_examples_and_a_note_says_so(model, planted, found) -> None:
    images, known = planted
    far = pi.edit(model, images[:8], by={"age": 50}, counterfactual=found)
    highest = (1 - known["age"].mean()) / known["age"].std()
    assert (far.strengths["age"] < 2 * highest + 0.2).all()
    assert all("'age' went" in notes[0] and "of +50.00" in notes[0] for notes in far.notes)
    near = pi.edit(model, images[:8], to={"age": 0.5}, counterfactual=found)
    assert near.notes == ((),) * 8


def test_a_class_becomes_another(model, planted) -> None:
    images, known = planted
    z = pi.latents(model, images)
    table = columns({"hair": known["hair"]}, {"hair": HAIR})
    found = fitted(z, table, model)
    moves = Counterfactuals.of(found, to={"hair": "grey"})
    edit = Editor(model, moves, "none").edit(images, z)
    grey = known["hair:grey"] == 1
    assert torch.equal(edit.moved[grey], z[grey])
    assert (found.read(edit.moved)[:, 1] * found.deviation[1] + found.mean[1]).min() > 0.8
    assert set(edit.strengths) == {"hair:grey"}


def fitted(z, table, model) -> pi.Counterfactual:
    return fit_counterfactual(z, table, model=owner(model))


def test_what_only_a_direction_knows_moves_after_it(model, planted, found) -> None:
    images, _ = planted
    w = torch.randn(D, generator=seeded(5))
    smile = Direction("smile", w / (w @ w), owner(model), "planted", normal=w)
    both = pi.edit(
        model, images, by={"age": 0.3}, to={"smile": 0.7}, counterfactual=found, directions=[smile]
    )
    assert torch.allclose(smile.read(both.moved), torch.tensor(0.7), atol=1e-4)
    assert torch.allclose(both.after["smile"], torch.tensor(0.7), atol=1e-4)
    alone = pi.edit(model, images, by={"age": 0.3}, counterfactual=found)
    along = both.moved - alone.moved
    assert torch.allclose(along, both.strengths["smile"][:, None] * smile.vector, atol=1e-4)
    again = found.read(both.moved) * found.deviation + found.mean
    assert torch.allclose(both.after["age"], again[:, 0])
    strip = pi.edit(
        model, images[:2], by={"age": 0.3, "smile": 1}, strip=(-1, 1), counterfactual=found,
        directions=[smile],
    )  # fmt: skip
    assert {n: rows.shape[1] for n, rows in strip.strips.items()} == {"age": 2, "smile": 2}
    with pytest.raises(InputError, match="nothing to keep by the name 'glasses'"):
        mover({"smile": smile}, found, by={"age": 1, "smile": 1}, keep=["glasses"])


def test_what_counterfactuals_could_not_learn_goes_along_its_direction(model, found) -> None:
    w = torch.randn(D, generator=seeded(5))
    age = Direction("age", w / (w @ w), owner(model), "planted", normal=w)
    assert isinstance(mover({"age": age}, found, by={"age": 1}), Counterfactuals)
    blind = copy.deepcopy(found)
    blind.reader.r_squared[blind.index("age")] = -0.1
    assert isinstance(mover({"age": age}, blind, by={"age": 1}), Moves)
    assert isinstance(mover({}, blind, by={"age": 1}), Counterfactuals)


def test_no_image_hangs_on_another(model, planted, found) -> None:
    images, _ = planted
    asked: Any = {"by": {"age": 9}, "to": {"glasses": "no"}, "counterfactual": found}
    all_ = pi.edit(model, images[:9], **asked)
    one = pi.edit(model, images[4:5], **asked)
    assert torch.allclose(all_.images[4:5], one.images, atol=1e-5)
    assert all_.notes[4] == one.notes[0]


def test_saved_and_loaded_it_edits_alike(model, planted, found, tmp_path: Path) -> None:
    images, _ = planted
    save_counterfactual(tmp_path, found)
    again = load_counterfactual(tmp_path)
    asked: Any = {"by": {"age": 0.5}, "to": {"glasses": "no"}}
    first, second = (pi.edit(model, images, counterfactual=c, **asked) for c in (found, again))
    assert torch.equal(first.images, second.images)
    assert again.report() == found.report()


def test_readings_are_judged_on_examples_they_were_not_learned_from(model, planted, found) -> None:
    images, known = planted
    report = {row["name"]: row["r_squared"] for row in found.report()["attributes"]}
    assert min(report.values()) > 0.95  # the truth is linear, and hardly blurred
    luck = {"age": known["age"], "luck": torch.randn(N, generator=seeded(9))}
    blind = pi.counterfactual(model, images, labels=luck)
    assert blind.report()["attributes"][1]["r_squared"] < 0.2
    assert blind.report()["examples"] == N


@pytest.mark.slow
def test_a_curved_attribute_is_reached_where_no_direction_leads(model) -> None:
    """A hand on a clock, from −60° to 60°; latents on an arc, which no vector follows."""
    g = seeded(3)
    φ = 2 * torch.rand(800, generator=g) - 1
    big = (torch.rand(800, generator=g) < 0.5).float()

    def latents(φ: Tensor) -> Tensor:
        arc = torch.stack([(2 * φ).cos(), (2 * φ).sin()], 1) * (1 + big)[:, None]
        return torch.cat([arc, torch.zeros(800, D - 2)], 1)

    labels = {"angle": φ, "big": big}
    with torch.no_grad():
        images = model.decode(latents(φ))
    found = pi.counterfactual(model, images, labels=labels)
    directions = pi.directions(model, images, labels=labels, calibrate=False)
    missed = {}
    for move in ("counterfactual", "linear"):
        edit = pi.edit(
            model, images, to={"angle": 0.5}, move=move, counterfactual=found,
            directions=directions.values() if move == "linear" else (),
        )  # fmt: skip
        ought = latents(torch.full_like(φ, 0.5))
        missed[move] = (edit.moved - ought).norm(dim=1).mean().item()
    assert missed["counterfactual"] < 0.15 < 0.4 < missed["linear"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "nothing to change"),
        ({"by": {"agee": 1}}, "no attribute or direction 'agee'; did you mean 'age'"),
        ({"by": {"age": "much"}}, "'much' is no number"),
        ({"to": {"age": "old"}}, "'old' is no number"),
        ({"to": {"glasses": 0.5}}, "an image has 'glasses' or not; give yes or no"),
        ({"to": {"hair": "green"}}, "no value 'green' of 'hair'; .*grey"),
        ({"by": {"hair": 1}}, "'hair' has several values; choose one, as in --by hair:red=2"),
        ({"to": {"hair": "red", "hair:grey": "yes"}}, "'hair' is to change twice"),
        ({"by": {"age": 1}, "to": {"age": 1}}, "'age' is to change twice"),
        ({"by": {"age": 1}, "keep": ["age"]}, "'age' cannot move and be kept at once"),
        ({"to": {"hair": "red"}, "keep": ["hair:grey"]}, "cannot move and be kept at once"),
        ({"by": {"age": 1}, "keep": ["smile"]}, "keep what they know.*use --move linear"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(model, planted, asked, message) -> None:
    images, known = planted
    values = {name: known[name] for name in ("age", "glasses", "hair")}
    found = fitted(pi.latents(model, images), columns(values, {"hair": HAIR}), model)
    smile = Direction("smile", torch.ones(D), owner(model), "planted", normal=torch.ones(D))
    with pytest.raises(InputError, match=message) as error:
        mover({"smile": smile}, found, **asked)
    assert len(str(error.value).splitlines()) == 1


def test_that_of_another_model_is_refused(planted, found) -> None:
    images, _ = planted
    generator = Linear()
    with torch.no_grad():
        generator.A.mul_(2)
    data, space = ImageSpec(1, SIDE, SIDE), LatentSpace((D,))
    other = pi.wrap(generator, data=data, space=space, encoder=Inverse(generator))
    with pytest.raises(InputError, match="counterfactuals were fitted on model"):
        pi.edit(other, images, by={"age": 1}, counterfactual=found)


def test_the_way_to_move_is_chosen_by_name(model, planted, found) -> None:
    images, _ = planted
    with pytest.raises(InputError, match="no way to move 'liner'; did you mean 'linear'"):
        pi.edit(model, images, by={"age": 1}, move="liner")
    with pytest.raises(InputError, match="give counterfactual="):
        pi.edit(model, images, by={"age": 1}, move="counterfactual")
    with pytest.raises(InputError, match="no direction 'age'"):
        pi.edit(model, images, by={"age": 1}, move="linear", counterfactual=found)
    w = torch.ones(D)
    smile = {"smile": Direction("smile", w, owner(model), "planted", normal=w)}
    assert isinstance(mover(smile, found, by={"smile": 1}), Moves)
    assert isinstance(mover(smile, found, by={"age": 1}), Counterfactuals)
    assert isinstance(mover(smile, found, by={"age": 1, "smile": 1}), Chain)
