"""What is made in the background: once, kept, and done without where it cannot be had."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from settling import settled
from starlette.testclient import TestClient

import preimage as pi
from preimage.core import InputError
from preimage.studio import mapping
from preimage.studio.app import Studio
from preimage.studio.atlas import Atlas
from preimage.studio.mapping import better_chart
from preimage.studio.points import Points, points_of
from preimage.studio.session import run_id
from preimage.studio.workspace import Workspace

Opened = Callable[[Path], Workspace]


def test_latents_are_encoded_once_and_kept_under_the_weights(
    trained: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = pi.load(trained), pi.dataset("digits")
    first = points_of(model, data, progress=None)
    assert torch.allclose(first.latents, model.encode(data.batch(range(len(data)))).mean, atol=1e-5)

    def never(*_: object) -> None:
        raise AssertionError("encoded again")

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "encode", never)
        again = points_of(model, data, progress=None)
    assert torch.equal(first.latents, again.latents)
    (first.folder / "points.npy").write_bytes(b"half a file")
    assert torch.equal(points_of(model, data, progress=None).latents, first.latents)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    other = points_of(model, data, progress=None)
    assert other.folder != first.folder
    assert first.folder.is_relative_to(cache)


def test_a_run_whose_images_are_gone_is_shown_by_samples(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = tmp_path / "images"
    images.mkdir()
    for k in range(40):
        pixels = generator.integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(images / f"{k}.png")
    run = pi.train(images, recipe="vae-mlp", latent=4, steps=3, validations=1, out=tmp_path / "run")
    for path in images.iterdir():
        path.unlink()
    images.rmdir()
    workspace = settled(Workspace(run.path))
    assert workspace.data is None
    assert workspace.complaint is not None
    assert str(images) in workspace.complaint
    assert workspace.latents is not None
    z = workspace.model.space.sample(20, seed=0)
    assert torch.equal(workspace.latents[:20], z)
    assert workspace.atlas is not None
    shown = workspace.atlas.images(torch.tensor([3]))
    assert torch.allclose(shown[0], workspace.model.sample(4, seed=0)[3], atol=1e-5)
    assert workspace.progress["stage"] == "done"
    workspace.close()


def test_a_generator_without_an_encoder_has_samples_and_directions(
    opened: Opened, gan: Path
) -> None:
    workspace = opened(gan)
    assert workspace.data is None
    assert workspace.latents is not None
    assert len(workspace.latents) == 1000
    names = list(workspace.directions())
    assert names[:2] == ["sefa:1", "sefa:2"]
    upload = workspace.images.put(torch.zeros(1, 8, 8))
    assert upload.latent is None
    workspace.images.remove(upload.id)


def test_thumbnails_are_the_images_in_the_order_of_the_points(workspace: Workspace) -> None:
    atlas = workspace.atlas
    assert atlas is not None
    assert (atlas.tile, atlas.columns, atlas.sheets) == (8, 256, 1)
    sheet = np.asarray(Image.open(io.BytesIO(atlas.sheet(0))))
    data = pi.dataset("digits")
    for index in (0, 255, 256, 1700):
        row, column = divmod(index, 256)
        tile = sheet[8 * row : 8 * row + 8, 8 * column : 8 * column + 8, 0].astype(float)
        own = (data.batch([index])[0, 0].numpy() + 1) * 127.5
        others = (data.batch([index + 1])[0, 0].numpy() + 1) * 127.5
        assert np.abs(tile - own).mean() < 12  # WebP
        assert np.abs(tile - own).mean() < np.abs(tile - others).mean()


def test_sheets_stay_within_a_graphics_card_however_many_points(workspace: Workspace) -> None:
    points = workspace.points
    assert points is not None
    z = torch.zeros(100_000, 8)
    many = Points(z, z, points.folder / "many", points.data, np.arange(100_000) % 1797)
    atlas = Atlas(many, workspace.model)
    about = atlas.to_json()
    assert about["columns"] * about["tile"] <= 2048
    assert about["rows"] * about["tile"] <= 2048
    assert about["sheets"] * about["columns"] * about["rows"] >= 100_000
    with Image.open(io.BytesIO(atlas.sheet(about["sheets"] - 1))) as last:
        assert last.width <= 2048


@pytest.mark.slow
def test_a_better_map_is_made_beside_and_kept(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "FEWEST", 50)
    points = workspace.points
    assert points is not None
    few = Points(
        points.latents[:200],
        points.placed_by[:200],
        points.folder / "few",
        points.data,
        points.rows[:200],
    )
    few.folder.mkdir(parents=True)
    np.save(few.folder / "points.npy", few.placed_by.numpy())
    made = better_chart(few, stopping=threading.Event())
    assert made is not None
    assert (made.method, made.positions.shape) == ("t-sne", (200, 2))
    assert made.trustworthiness is not None
    assert made.trustworthiness > 0.8
    monkeypatch.setattr(mapping.subprocess, "Popen", None)  # what is kept needs no process
    again = better_chart(few, stopping=threading.Event())
    assert again is not None
    assert np.array_equal(again.positions, made.positions)


def test_a_studio_that_closes_ends_the_map_that_is_being_made(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "FEWEST", 50)
    points = workspace.points
    assert points is not None
    stopping = threading.Event()
    stopping.set()
    begun = []
    real = mapping.subprocess.Popen
    monkeypatch.setattr(
        mapping.subprocess, "Popen", lambda *a, **k: begun.append(real(*a, **k)) or begun[-1]
    )
    assert better_chart(points, stopping=stopping) is None
    assert begun[0].returncode is not None


def test_the_map_over_http_is_the_workspaces(client: TestClient, studio: Studio) -> None:
    workspace = studio.workspace
    about = client.get("/api/map").json()
    assert (about["status"], about["n"], about["method"]) == ("ready", 1797, "pca")
    assert workspace.chart is not None
    positions = np.frombuffer(client.get("/api/map/points").content, "<f4").reshape(-1, 2)
    assert np.array_equal(positions, workspace.chart.positions)
    low, high = positions.min(0), positions.max(0)
    assert np.allclose(about["bounds"], [*low, *high])
    assert [column["name"] for column in about["columns"]] == ["class", "rarity"]
    assert about["columns"][0]["categories"] == [str(k) for k in range(10)]
    codes = np.frombuffer(client.get("/api/map/column/0").content, "<f4")
    labels = pi.dataset("digits").labels
    assert np.array_equal(codes, labels)
    assert client.get("/api/map/column/9").status_code == 404
    assert client.get("/api/map/atlas/1").status_code == 404
    assert client.get("/api/map/atlas/0").headers["content-type"] == "image/webp"
    found = client.get("/api/map/find", params={"q": "7"}).json()
    assert labels is not None
    assert set(np.flatnonzero(labels == 7)) <= set(found["indices"])
    item = client.get("/api/items/3").json()
    assert (item["index"], item["label"]) == (3, str(labels[3]))
    assert client.get("/api/items/1797").status_code == 404


def test_a_column_of_another_part_colours_the_map(client: TestClient, studio: Studio) -> None:
    workspace, before = studio.workspace, dict(studio.workspace.columns)
    workspace.add_column("score", np.linspace(0, 1, 1797))
    names = [column["name"] for column in client.get("/api/map").json()["columns"]]
    assert names == [*before, "score"]
    with pytest.raises(InputError, match="each point"):
        workspace.add_column("short", np.zeros(3))
    workspace.columns = before


def test_the_session_tells_what_a_page_needs(client: TestClient, studio: Studio) -> None:
    session = client.get("/api/session").json()
    assert session["image"] == {"channels": 1, "height": 8, "width": 8}
    assert (session["latents"], session["encoder"], session["conditional"]) == (8, True, False)
    assert [d["name"] for d in session["directions"]][:2] == ["pca:1", "pca:2"]
    assert all(d["kind"] == "unlabelled" for d in session["directions"])
    z = studio.workspace.latents
    assert z is not None
    spread = [dim["sd"] for dim in session["dims"]]
    assert np.allclose(spread, z.std(0))
    json.dumps(session, allow_nan=False)


def test_another_run_is_opened_when_it_is_asked_for(client: TestClient, studio: Studio) -> None:
    first, second = client.get("/api/runs").json()
    assert (first["opened"], second["opened"]) == (True, False)
    opened = client.post("/api/open", json={"id": second["id"]}).json()
    assert (opened["name"], opened["conditional"], opened["latents"]) == ("told", True, 2)
    settled(studio.workspace)
    assert client.get("/api/map").json()["method"] == "latent"
    assert client.post("/api/open", json={"id": "nothing"}).status_code == 400
    client.post("/api/open", json={"id": first["id"]})
    assert client.get("/api/session").json()["name"] == "digits"


def test_a_run_has_the_same_id_in_every_studio(studio: Studio) -> None:
    first, second = studio.runs.values()
    assert list(studio.runs) == [run_id(first), run_id(second)]
    assert run_id(first) != run_id(second)


def test_a_run_that_is_none_says_so(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match="is not a run"):
            Workspace(path)
