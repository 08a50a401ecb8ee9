"""Requests that are well formed and still mean harm, and runs of strangers."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

HALF = "\ud800"  # of a character: JSON can hold it, and neither a file nor an answer can
MEAN = {"args": {"base": {"kind": "mean"}}}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("render", {"args": {"moves": {HALF: 1}}}),
        ("gallery", {**MEAN, "title": HALF}),
        ("export", {**MEAN, "kind": HALF}),
        ("jobs", {"kind": HALF}),
        ("jobs", {"kind": "train", "source": {"set": "digits"}, "steps": 1, "name": HALF}),
        ("damage", {**MEAN, "damage": HALF}),
        ("search", {**MEAN, "where": HALF}),
        ("jobs/0000000000000000/again", HALF),
    ],
)
def test_half_a_character_is_refused_however_it_is_written(
    client: TestClient, path: str, body: object
) -> None:
    escaped = json.dumps(body).encode()
    raw = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    for content in (escaped, raw):
        said = client.post(f"/api/{path}", content=content, headers=JSON)
        assert said.status_code in (400, 404)
        assert "half a character" in said.json()["error"] or path.endswith("again")


def test_half_a_character_does_not_silence_the_pictures(client: TestClient) -> None:
    host = {"host": "localhost:8642"}
    with client.websocket_connect("/api/live", headers=host) as socket:
        socket.send_text(json.dumps({"id": 1, "args": {"moves": {HALF: 1}}}))
        assert b"half a character" in socket.receive_bytes()
        socket.send_text(json.dumps({"id": 2, "args": {}}))
        assert socket.receive_bytes()[:4] == b"\2\0\0\0"


@pytest.mark.parametrize("fps", [10**400, 1e-9, -1, 0, "fast", True, None])
def test_a_rate_that_no_file_can_hold_is_refused(client: TestClient, fps: object) -> None:
    said = client.post("/api/export", json={**MEAN, "kind": "gif", "fps": fps})
    assert said.status_code == 400
    assert "fps" in said.json()["error"] + said.json()["where"]
