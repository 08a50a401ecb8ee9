"""What was kept is there again: in another studio, and when what it was made of has gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from settling import settled
from starlette.testclient import TestClient

from preimage.studio.app import Studio
from preimage.studio.args import parse
from preimage.studio.gallery import entries
from preimage.studio.render import render
from preimage.studio.workspace import Workspace


def test_what_was_kept_is_seen_again_in_a_studio_started_anew(
    client: TestClient, studio: Studio, trained: Path
) -> None:
    workspace = studio.workspace
    upload = workspace.images.put(torch.linspace(-1, 1, 64).reshape(1, 8, 8))
    mine = {"kind": "image", "id": upload.id}
    place = {"kind": "map", "x": 0.1, "y": 0.1}
    made = {"kind": "blend", "a": mine, "b": place, "t": 0.4}
    args = {"base": made, "dims": {"1": 0.5}}
    shown = render(workspace, parse(args), exact=True).pixels
    kept = client.post("/api/gallery", json={"args": args, "title": "mine"}).json()
    assert kept["title"] == "mine"
    client.delete(f"/api/images/{upload.id}")
    other = settled(Workspace(trained))
    (entry,) = [entry for entry in entries(other) if entry["id"] == kept["id"]]
    again = render(other, parse(entry["args"]), exact=True).pixels
    assert np.array_equal(again, shown)
    other.close()
    thumbnail = client.get(f"/api/gallery/{kept['id']}/thumbnail")
    assert thumbnail.headers["content-type"] == "image/png"
    assert client.delete(f"/api/gallery/{kept['id']}").status_code == 200
    assert client.delete(f"/api/gallery/{kept['id']}").status_code == 404
    assert kept["id"] not in [entry["id"] for entry in client.get("/api/gallery").json()]


def test_the_newest_come_first_and_foreign_files_do_no_harm(
    client: TestClient, studio: Studio
) -> None:
    names = []
    for seed in range(3):
        args = {"base": {"kind": "sample", "seed": seed}}
        names.append(client.post("/api/gallery", json={"args": args}).json()["id"])
    folder = studio.workspace.folder / "gallery"
    (folder / "notes.json").write_text("{}")
    (folder / "0123456789abcdef.json").write_text('{"args": {"moves": 5}, "title": 1, "time": 0}')
    (folder / "0123456789abcdee.json").write_text("not JSON")
    listed = [entry["id"] for entry in client.get("/api/gallery").json()]
    assert listed == names[::-1]
    for name in names:
        client.delete(f"/api/gallery/{name}")


def test_a_run_that_cannot_be_written_keeps_elsewhere(
    workspace: Workspace, monkeypatch, cache: Path
) -> None:
    monkeypatch.setattr("preimage.studio.workspace.os.access", lambda path, how: False)
    assert workspace.folder.is_relative_to(cache)
