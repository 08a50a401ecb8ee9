"""What is taken away: pictures, moving ones, latents; and the command that does the same."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import preimage as pi
from preimage.cli.main import run
from preimage.exploration.direction import Direction, owner
from preimage.runs import directions as direction_files
from preimage.runs.latents import SavedLatents
from preimage.studio.app import Studio
from preimage.studio.args import parse
from preimage.studio.command import command
from preimage.studio.render import find, render
from preimage.studio.workspace import Workspace

Opened = Callable[[Path], Workspace]
SAMPLE = {"kind": "sample", "seed": 3}
OTHER = {"kind": "item", "index": 11}


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_png_is_the_picture_pixel_for_pixel(client: TestClient, studio: Studio) -> None:
    args = {"base": SAMPLE, "dims": {"2": 1.0}}
    expected = render(studio.workspace, parse(args), exact=True).pixels[:, :, 0]
    for said in (
        client.post("/api/render", json={"args": args, "format": "png"}),
        client.post("/api/export", json={"args": args, "kind": "png"}),
    ):
        assert said.headers["content-type"] == "image/png"
        assert np.array_equal(picture(said.content), expected)


def test_moving_pictures_have_a_frame_for_each_arguments(client: TestClient) -> None:
    frames = [{"base": SAMPLE, "dims": {"0": t / 2}} for t in range(5)]
    for kind in ("gif", "webp"):
        said = client.post("/api/export", json={"frames": frames, "kind": kind, "fps": 10})
        assert said.status_code == 200, said.text
        with Image.open(io.BytesIO(said.content)) as file:
            assert (file.format, file.n_frames) == (kind.upper(), 5)  # type: ignore[attr-defined]
    for wrong, where in (
        ({"frames": frames * 500, "kind": "gif"}, "frames"),
        ({"frames": frames, "kind": "bmp"}, "kind"),
        ({"frames": [{"moves": {"x": 1}}], "kind": "gif"}, "moves.x"),
    ):
        said = client.post("/api/export", json=wrong)
        assert (said.status_code, said.json()["where"]) == (400, where)


def test_latents_are_those_that_are_seen(
    client: TestClient, studio: Studio, tmp_path: Path
) -> None:
    frames = [{"base": SAMPLE}, {"base": OTHER, "dims": {"1": 2.0}}]
    said = client.post("/api/export", json={"frames": frames, "kind": "latents"})
    path = tmp_path / "found.npz"
    path.write_bytes(said.content)
    expected = torch.cat([find(studio.workspace, parse(args)).z for args in frames])
    assert torch.equal(SavedLatents(path).read(studio.workspace.model), expected)


STATES = {
    "mean": {},
    "sample": {"base": SAMPLE},
    "item": {"base": OTHER},
    "moves and dims": {"base": SAMPLE, "moves": {"slant": -1.25}, "dims": {"4": 0.7}},
    "unlabelled": {"base": SAMPLE, "moves": {"pca:1": 1.5, "slant": 0.5}, "dims": {"2": -1.0}},
    "lerp": {"base": {"kind": "blend", "a": SAMPLE, "b": OTHER, "t": 0.3, "path": "lerp"}},
    "slerp": {"base": {"kind": "blend", "a": SAMPLE, "b": OTHER, "t": 0.3}},
    "sum": {"base": {"kind": "arithmetic", "a": SAMPLE, "b": OTHER, "c": {"kind": "mean"}}},
    "map": {"base": {"kind": "map", "x": 0.1, "y": 0.2}, "moves": {"slant": 1.0}},
    "nested": {
        "base": {
            "kind": "blend",
            "a": {"kind": "blend", "a": SAMPLE, "b": OTHER, "t": 0.5},
            "b": SAMPLE,
            "t": 0.5,
        }
    },
}


@pytest.mark.parametrize("state", STATES)
def test_the_command_draws_the_same_picture(
    workspace: Workspace, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = torch.linspace(1, -1, 8)
    slant = Direction("slant", vector, owner(workspace.model), "planted")
    direction_files.save_direction(workspace.path, slant)
    workspace.forget_directions()
    args = parse(STATES[state])
    line = command(workspace, args)
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(shlex.join(line.words))
    assert program == "preimage"
    assert run(words) == 0
    expected = render(workspace, args, exact=True).pixels[:, :, 0]
    assert np.array_equal(picture((tmp_path / "picture.png").read_bytes()), expected)
    assert (line.saved is None) == (state not in ("unlabelled", "map", "nested"))


def test_the_command_of_a_class_names_it(
    opened: Opened, flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = opened(flat)
    args = parse({"base": {"kind": "map", "x": 0.5, "y": -0.5}, "label": "7"})
    line = command(workspace, args)
    assert line.words[-4:-2] == ("--label", "7")
    monkeypatch.chdir(tmp_path)
    assert run(list(line.words[1:])) == 0
    expected = render(workspace, args, exact=True).pixels[:, :, 0]
    assert np.array_equal(picture((tmp_path / "picture.png").read_bytes()), expected)


def test_a_place_may_be_an_image_file(
    workspace: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = workspace.model
    photos = pi.save_images(model.sample(1, seed=5), tmp_path / "photos")
    out = tmp_path / "out.png"
    file = photos / "00000.png"
    assert run(["render", str(workspace.path), "--from", str(file), "--out", str(out)]) == 0
    z = pi.latents(workspace.path, file)
    expected = ((model.decode(z)[0, 0] + 1) * 127.5).round()
    assert np.abs(picture(out.read_bytes()) - expected.detach().numpy()).max() <= 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "nowhere"], "--from nowhere"),
        (["--from", "random:x"], "whole number"),
        (["--from", "item:99999"], "--from"),
        (["--move", "smile=1"], "--move smile"),
        (["--move", "smile"], "--move"),
        (["--dim", "99=1"], "--dim 99"),
        (["--dim", "x=1"], "--dim"),
        (["--label", "cat"], "--label"),
        (["--minus", "mean"], "--plus"),
        (["--towards", "mean", "--path", "lurp"], "--path"),
        (["--towards", "mean", "--share", "9"], "--share"),
        (["--towards", "mean", "--minus", "mean", "--plus", "mean"], "--towards"),
        (["--out", "."], "--out"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_and_nothing_is_written(
    workspace: Workspace,
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["render", str(workspace.path), *words]) == 2
    error = capfd.readouterr().err.strip()
    assert said in error
    assert "\n" not in error
    assert not list(tmp_path.iterdir())
