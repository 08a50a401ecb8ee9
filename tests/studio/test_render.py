"""What is shown for what arguments: known places, sums of moves, and the latent between images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import preimage as pi
from preimage.exploration.direction import Direction, owner
from preimage.exploration.geodesic import geodesics
from preimage.exploration.interpolation import slerp
from preimage.pictures.sheet import pixels
from preimage.runs import directions as direction_files
from preimage.studio.args import Args, ArgsError, Blend, Mean, Sample, parse, to_json
from preimage.studio.chart import Chart, shepard
from preimage.studio.quick import quick
from preimage.studio.render import find, meanwhile, render, render_several
from preimage.studio.workspace import Workspace

Opened = Callable[[Path], Workspace]
PATIENCE = 60.0  # seconds: other tests may run beside


def at(workspace: Workspace, base: dict, **others: object) -> torch.Tensor:
    """The latent (*space.shape) of arguments."""
    return find(workspace, parse({"base": base, **others})).z[0]


def test_known_places_are_where_the_library_has_them(workspace: Workspace) -> None:
    model, latents = workspace.model, workspace.latents
    assert latents is not None
    assert torch.equal(at(workspace, {"kind": "mean"}), model.space.mean())
    sample = at(workspace, {"kind": "sample", "seed": 7})
    assert torch.equal(sample, model.space.sample(1, seed=7)[0])
    digits = pi.dataset("digits")
    z = model.encode(digits.batch([5])).mean[0]
    assert torch.allclose(at(workspace, {"kind": "item", "index": 5}), z, atol=1e-5)
    shown = render(workspace, parse({"base": {"kind": "sample", "seed": 7}}), exact=True)
    assert np.array_equal(shown.pixels, pixels(model.sample(1, seed=7))[0][:, :, :1])


def test_moves_and_single_numbers_add_up(workspace: Workspace, trained: Path) -> None:
    v = torch.linspace(-1, 1, 8)
    direction = Direction("slant", v, owner(workspace.model), "planted")
    direction_files.save_direction(trained, direction)
    workspace.forget_directions()
    start = at(workspace, {"kind": "sample", "seed": 1})
    moved = at(
        workspace,
        {"kind": "sample", "seed": 1},
        moves={"slant": 1.5, "pca:1": -0.5},
        dims={"3": 2.0},
    )
    first = workspace.directions()["pca:1"].vector
    expected = start + 1.5 * v - 0.5 * first + 2 * torch.eye(8)[3]
    assert torch.allclose(moved, expected, atol=1e-6)
    stale = replace(direction, name="stale", model="of other weights")
    direction_files.save_direction(trained, stale)
    workspace.forget_directions()
    assert "stale" not in workspace.directions()
    for name in ("slant", "stale"):
        direction_files.remove_direction(trained, name)
    workspace.forget_directions()


def test_blends_and_sums_are_of_their_parts(workspace: Workspace) -> None:
    a, b, c = ({"kind": "sample", "seed": k} for k in (1, 2, 3))
    za, zb, zc = (at(workspace, base) for base in (a, b, c))
    for path in ("lerp", "slerp", "geodesic"):
        ends = [
            at(workspace, {"kind": "blend", "a": a, "b": b, "t": t, "path": path}) for t in (0, 1)
        ]
        assert torch.allclose(torch.stack(ends), torch.stack([za, zb]), atol=1e-5), path
    middle = at(workspace, {"kind": "blend", "a": a, "b": b, "t": 0.5, "path": "lerp"})
    assert torch.allclose(middle, (za + zb) / 2, atol=1e-6)
    quarter = at(workspace, {"kind": "blend", "a": a, "b": b, "t": 0.25})
    assert torch.allclose(quarter, slerp(za[None], zb[None], 0.25)[0], atol=1e-6)
    summed = at(workspace, {"kind": "arithmetic", "a": a, "b": b, "c": c})
    assert torch.allclose(summed, za - zb + zc, atol=1e-6)


def test_a_geodesic_is_no_longer_in_images_than_the_straight_way(workspace: Workspace) -> None:
    a, b = {"kind": "sample", "seed": 1}, {"kind": "sample", "seed": 2}

    def length(path: str) -> float:
        ways = [
            {"base": {"kind": "blend", "a": a, "b": b, "t": t, "path": path}}
            for t in torch.linspace(0, 1, 16).tolist()
        ]
        z = torch.cat([find(workspace, parse(way)).z for way in ways])
        images = workspace.model.decode(z).flatten(1)
        return float(images.diff(dim=0).norm(dim=1).sum())

    assert length("geodesic") <= length("lerp") * 1.001


def test_no_live_picture_waits_for_a_geodesic(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching, told, asked = threading.Event(), threading.Event(), []

    def slow(*args: Any, **options: Any) -> Any:
        asked.append(args)
        assert searching.wait(PATIENCE)
        return geodesics(*args, **options)

    monkeypatch.setattr("preimage.studio.render.geodesics", slow)
    monkeypatch.setattr(workspace, "publish", lambda message: told.set())
    a, b = {"kind": "sample", "seed": 91}, {"kind": "sample", "seed": 92}
    base = {"kind": "blend", "a": a, "b": b, "t": 0.4, "path": "geodesic"}
    wanted = parse({"base": base})
    for _ in range(3):
        assert meanwhile(workspace, wanted) == parse({"base": {**base, "path": "slerp"}})
    searching.set()
    assert told.wait(PATIENCE)
    assert meanwhile(workspace, wanted) == wanted
    assert len(asked) == 1


def test_at_an_image_the_map_gives_that_image(workspace: Workspace) -> None:
    chart, latents = workspace.chart, workspace.latents
    assert chart is not None
    assert latents is not None
    for index in (0, 17, 1700):
        x, y = chart.positions[index].tolist()
        found = find(workspace, parse({"base": {"kind": "map", "x": x, "y": y}}))
        assert torch.allclose(found.z[0], latents[index], atol=1e-4)
        assert found.fade == 1


def test_between_images_the_latent_is_theirs_and_moves_without_a_jump() -> None:
    generator = torch.Generator().manual_seed(0)
    positions = torch.rand(500, 2, generator=generator)
    # latents that are a linear map of the place: a weighted mean of neighbours is near to it
    latents = positions @ torch.randn(2, 5, generator=generator)
    chart = Chart("t-sne", positions.numpy())
    track = torch.stack([torch.linspace(0.2, 0.8, 4000), torch.full((4000,), 0.5)], 1)
    z = torch.cat([chart.latent(x, y, latents)[0] for x, y in track.tolist()])
    assert z.diff(dim=0).norm(dim=1).max() < 0.05  # the way in all is about 1
    truth = track @ torch.linalg.lstsq(positions, latents).solution
    assert (z - truth).norm(dim=1).mean() < 0.1 * truth.norm(dim=1).mean()
    assert np.isclose(shepard(np.array([0.1, 0.2, 0.3])).sum(), 1)
    assert shepard(np.array([0.1, 0.2, 0.3]))[-1] == 0


def test_the_picture_fades_away_from_the_images() -> None:
    grid = torch.cartesian_prod(torch.arange(20.0), torch.arange(20.0))
    chart = Chart("pca", grid.numpy())
    fades = [chart.latent(19 + d, 10, grid)[1] for d in (0, 0.5, 3, 5, 8, 100)]
    assert fades[0] == fades[1] == 1
    assert fades[-1] == fades[-2] == 0
    assert fades == sorted(fades, reverse=True)
    assert 0 < fades[2] < 1


def test_with_two_latents_the_map_is_the_latent_space(opened: Opened, flat: Path) -> None:
    workspace = opened(flat)
    assert workspace.chart is not None
    assert workspace.chart.method == "latent"
    assert np.array_equal(workspace.chart.positions, workspace.latents)
    found = find(workspace, parse({"base": {"kind": "map", "x": 0.25, "y": -9.5}}))
    assert found.z.tolist() == [[0.25, -9.5]]
    assert found.fade == 1


def test_a_conditional_model_is_told_a_class_always(opened: Opened, flat: Path) -> None:
    workspace = opened(flat)
    z = {"kind": "map", "x": 0.0, "y": 0.0}
    shown = [render(workspace, parse({"base": z, "label": name})) for name in "38"]
    assert not np.array_equal(shown[0].pixels, shown[1].pixels)
    digits = pi.dataset("digits")
    assert digits.labels is not None
    for index in (3, 4):
        made = render(workspace, parse({"base": {"kind": "item", "index": index}}))
        assert made.label == digits.classes[digits.labels[index]]
    with pytest.raises(ArgsError, match="no class 'cat'") as error:
        render(workspace, parse({"label": "cat"}))
    assert error.value.where == "label"


@pytest.mark.parametrize("which", ["trained", "flat"])
def test_several_pictures_are_those_of_each(
    opened: Opened, request: pytest.FixtureRequest, which: str
) -> None:
    workspace = opened(request.getfixturevalue(which))
    label = workspace.model.classes[-1] if workspace.model.conditional else None
    wanted = [parse({"base": {"kind": "sample", "seed": k}, "label": label}) for k in range(5)]
    for many, args in zip(render_several(workspace, wanted), wanted, strict=True):
        one = render(workspace, args, exact=True)
        assert torch.equal(many.z, one.z)
        assert (many.label, many.fade) == (one.label, one.fade)
        assert np.abs(many.pixels.astype(int) - one.pixels).max() <= 1


def test_what_is_wrong_is_said_where_it_is(workspace: Workspace) -> None:
    deep: dict = {"kind": "mean"}
    for _ in range(9):
        deep = {"kind": "blend", "a": deep, "b": {"kind": "mean"}, "t": 0.5}
    sample = {"kind": "sample", "seed": 1}
    for args, where in (
        ({"base": {"kind": "sampel"}}, "base"),
        ({"base": {"kind": "sample"}}, "base.seed"),
        ({"base": {"kind": "item", "index": 10**9}}, "base.index"),
        ({"base": {"kind": "blend", "a": sample, "b": {"kind": "item"}, "t": 0}}, "base.b.index"),
        ({"base": {"kind": "blend", "a": sample, "b": sample, "t": 5}}, "base.t"),
        (
            {"base": {"kind": "blend", "a": sample, "b": sample, "t": 0, "path": "lurp"}},
            "base.path",
        ),
        ({"base": {"kind": "image", "id": "0123456789abcdef"}}, "base"),
        ({"base": {"kind": "latent", "id": "0123456789abcdef"}}, "base"),
        ({"base": {"kind": "mean", "more": 1}}, "base"),
        ({"moves": {"smile": 1}}, "moves.smile"),
        ({"moves": {"pca:1": "x"}}, "moves.pca:1"),
        ({"dims": {"8": 1}}, "dims.8"),
        ({"dims": {"1": 1e9}}, "dims.1"),
        ({"label": "3"}, "label"),
        ({"sliders": {}}, "args"),
        (deep, "args"),
        ({"base": deep}, "base" + ".a" * 6),
    ):
        with pytest.raises(ArgsError) as error:
            render(workspace, parse(args))
        assert error.value.where == where, (args, str(error.value))
        assert "\n" not in str(error.value)


def test_arguments_survive_being_written_down() -> None:
    args = Args(
        Blend(Sample(3), Blend(Mean(), Sample(2**62), 0.25, "lerp"), 0.5, "geodesic"),
        {"smile": 1.5, "pca:1": -2.0},
        {3: 0.125},
        "cat",
    )
    assert parse(to_json(args)) == args
    place = {"kind": "map", "x": 0.5, "y": 1.0, "on": "pca"}
    assert to_json(parse({"base": place}))["base"] == place


@pytest.mark.parametrize("recipe", ["vae-conv", "vae-pca", "dcgan"])
def test_the_quick_form_draws_the_same(recipe: str, tmp_path: Path) -> None:
    run = pi.train("digits", recipe=recipe, steps=2, validations=1, out=tmp_path / "run")
    model = pi.load(run.path).requires_grad_(False)
    decode = quick(model)
    assert decode is not None
    z = model.space.sample(5, seed=9)
    expected = model.decode(z)
    found = torch.cat([decode(z[i : i + 1], None) for i in range(5)])
    assert torch.allclose(found, expected, atol=1 / 255)
    with torch.no_grad():  # and it looks at the latent
        assert not torch.equal(decode(z[:1], None), decode(z[1:2], None))
