"""Requests that are well formed and still mean harm, and runs of strangers."""

from __future__ import annotations

import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from settling import run_alone
from starlette.testclient import TestClient

from preimage.core import InputError
from preimage.studio.app import Studio
from preimage.studio.events import WAITING, Events

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


@pytest.mark.parametrize(
    "other", ['state={"open": true}', "list[0]=1", "a b", "path=/", "=nameless", "x=1, 2 3", "ö=1"]
)
def test_the_cookies_of_other_servers_of_this_machine_lock_nobody_out(
    stranger: TestClient, other: str
) -> None:
    own = "preimage_8642=a-token-of-this-launch"
    for cookies in (f"{other}; {own}", f"{own}; {other}"):
        said = stranger.get("/api/session", headers={b"cookie": cookies.encode("latin-1")})
        assert said.status_code == 200, cookies


def test_a_file_of_a_job_that_is_no_picture_is_no_image(client: TestClient, studio: Studio) -> None:
    asked = {"kind": "train", "source": {"set": "digits"}, "steps": 1e8}
    name = client.post("/api/jobs", json=asked).json()["id"]
    said = client.post(f"/api/jobs/{name}/use", json={"file": "job.json"})
    client.delete(f"/api/jobs/{name}")
    assert said.status_code == 400
    assert "no picture" in said.json()["error"]


def test_a_page_that_falls_behind_is_let_go_and_can_come_back() -> None:
    events = Events()
    with events.listening() as page:
        for number in range(WAITING + 1):
            events._hand_out(str(number))
        said = [page.get_nowait() for _ in range(page.qsize())]
    assert said[-1] is None  # upon which the socket is closed, and the page comes anew
    assert said[:-1] == [str(number) for number in range(1, WAITING)]


def test_what_a_stranger_kept_in_a_run_does_not_hide_the_gallery(
    client: TestClient, studio: Studio
) -> None:
    before = [entry["id"] for entry in client.get("/api/gallery").json()]
    own = client.post("/api/gallery", json={**MEAN, "title": "<b>own</b>"}).json()
    for number, wrong in enumerate(({"time": "now"}, {"time": math.nan}, {"title": ["x"]})):
        path = studio.workspace.folder / "gallery" / f"{number:016x}.json"
        path.write_text(json.dumps({"args": {}, "title": "", "time": 1.0} | wrong))
    said = client.get("/api/gallery")
    assert said.status_code == 200
    assert {entry["id"] for entry in said.json()} == {*before, own["id"]}
    client.delete(f"/api/gallery/{own['id']}")


def test_images_that_take_long_to_decode_keep_no_other_request_waiting(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred at once: all threads of the server would wait for the one that decodes."""
    go = threading.Event()

    def slow(content: bytes) -> None:
        assert go.wait(30)
        raise InputError("this file cannot be used")

    monkeypatch.setattr(studio.workspace.images, "add", slow)
    headers = {"content-type": "application/octet-stream"}
    with ThreadPoolExecutor(101) as hands:
        sent = [
            hands.submit(client.post, "/api/images", content=b"x", headers=headers)
            for _ in range(100)
        ]
        time.sleep(0.5)
        asked = hands.submit(client.get, "/api/session")
        try:
            assert asked.result(10).status_code == 200
        finally:
            go.set()
        assert {said.result().status_code for said in sent} == {400}


@pytest.mark.parametrize("path", ["images", "archives", "render"])
def test_a_page_that_is_closed_while_it_sends_is_no_error_of_ours(
    client: TestClient, studio: Studio, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    kind = "json" if path == "render" else "octet-stream"
    headers = {"host": "localhost:8642", "x-preimage-token": "a-token-of-this-launch"}
    headers |= {"content-type": f"application/{kind}", "content-length": "100"}
    scope = {"type": "http", "method": "POST", "path": f"/api/{path}", "query_string": b""}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]
    come = iter(({"type": "http.request", "body": b"{", "more_body": True},))

    async def receive() -> dict:
        return next(come, {"type": "http.disconnect"})

    async def send(message: dict) -> None:
        pass

    run_alone(client.app(scope, receive, send))  # type: ignore[arg-type]
    assert not caplog.records
    assert not list(studio.workspace.folder.glob("archives/.*.part"))


def test_a_run_that_does_not_say_what_it_was_trained_on_trains_nothing(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(studio.workspace.run.config, "data", {})
    said = client.post("/api/jobs", json={"kind": "train", "source": {"own": True}, "steps": 1})
    assert said.status_code == 400
    assert "choose a folder" in said.json()["error"]
