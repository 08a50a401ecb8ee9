"""Who is let in: each row of what went wrong elsewhere, tried on every route."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from preimage.studio import guard
from preimage.studio.app import STATIC, Studio
from preimage.studio.serve import HERE, names_of, serve

TOKEN, PORT = "a-token-of-this-launch", 8642  # as in conftest
SOCKETS = ("/api/live", "/api/events")
ESCAPES = (
    "../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..\\..\\..\\etc\\passwd",
    "..%5c..%5cetc%5cpasswd",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "C:%5cWindows%5cwin.ini",
    "x%00.png",
    "....//....//etc/passwd",
    "..%252f..%252fetc%252fpasswd",
)


def all_routes(routes: Iterable[Any]) -> Iterator[Any]:
    """Those of an application, and of the routers that were included in it."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from [route] if inner is None else all_routes(inner.routes)


def routes(client: TestClient) -> Iterator[tuple[str, str]]:
    """Method and path of every route, ids filled in."""
    for route in all_routes(client.app.app.routes):  # type: ignore[attr-defined]
        if isinstance(route, APIRoute):
            for method in route.methods:
                yield method, re.sub(r"\{\w+\}", "0", route.path)
    yield from (("GET", "/"), ("GET", "/index.html"), ("GET", "/js/main.js"))


def test_nothing_is_served_without_the_token(stranger: TestClient) -> None:
    seen = list(routes(stranger))
    assert len(seen) > 20
    for method, path in seen:
        for headers in ({}, {"X-Preimage-Token": ""}, {"X-Preimage-Token": TOKEN[:-1]}):
            headers |= {"content-type": "application/json"}
            assert stranger.request(method, path, headers=headers).status_code == 403, path
    for path in SOCKETS:
        headers = {"host": f"localhost:{PORT}"}
        with pytest.raises(WebSocketDisconnect), stranger.websocket_connect(path, headers=headers):
            pass
    every = all_routes(stranger.app.app.routes)  # type: ignore[attr-defined]
    sockets = {route.path for route in every if isinstance(route, APIWebSocketRoute)}
    assert sockets == set(SOCKETS)


def test_the_address_with_the_token_gives_a_cookie_that_scripts_and_other_sites_do_not_see(
    stranger: TestClient,
) -> None:
    assert stranger.get("/?token=wrong").status_code == 403
    assert stranger.get(f"/api/session?token={TOKEN}").status_code == 403
    came = stranger.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (came.status_code, came.headers["location"]) == (303, "/")
    cookie = came.headers["set-cookie"]
    assert cookie.startswith(f"preimage_{PORT}={TOKEN};")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert stranger.get("/api/session").status_code == 200
    stranger.cookies.clear()
    other = {"cookie": f"preimage_{PORT + 1}={TOKEN}"}  # a studio on another port
    assert stranger.get("/api/session", headers=other).status_code == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "localhost",
        f"localhost:{PORT + 1}",
        f"localhost.evil.example:{PORT}",
        f"127.0.0.1.evil.example:{PORT}",
        f"localhost:{PORT}@evil.example",
        "",
    ],
)
def test_a_name_that_another_site_points_here_is_no_name_of_ours(
    client: TestClient, host: str
) -> None:
    for path in ("/", "/api/session", f"/?token={TOKEN}"):
        assert client.get(path, headers={"host": host}).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/api/live", headers={"host": host}),
    ):
        pass


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        f"https://localhost:{PORT}",
        f"http://localhost:{PORT + 1}",
        "http://localhost",
        f"http://localhost:{PORT}.evil.example",
        "",
    ],
)
def test_requests_of_other_sites_are_refused_though_they_have_the_cookie(
    client: TestClient, origin: str
) -> None:
    assert client.get("/api/session", headers={"origin": origin}).status_code == 403
    said = client.post("/api/render", json={"args": {}}, headers={"origin": origin})
    assert said.status_code == 403
    for path in SOCKETS:
        headers = {"origin": origin, "host": f"localhost:{PORT}"}
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(path, headers=headers):
            pass


def test_our_own_origin_is_let_in(client: TestClient) -> None:
    for host in (f"localhost:{PORT}", f"127.0.0.1:{PORT}"):
        headers = {"origin": f"http://{host}", "host": host}
        assert client.get("/api/session", headers=headers).status_code == 200
        with client.websocket_connect("/api/live", headers=headers) as socket:
            socket.send_text(json.dumps({"id": 1, "args": {}}))
            assert socket.receive_bytes()[:4] == b"\1\0\0\0"


def test_a_link_from_another_site_opens_no_route(client: TestClient) -> None:
    crossing = {"sec-fetch-site": "cross-site"}
    assert client.get("/api/session", headers=crossing).status_code == 403


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
def test_bodies_that_a_form_of_another_site_can_send_are_refused(
    client: TestClient, kind: str
) -> None:
    for method, path in routes(client):
        if method == "POST":
            body = json.dumps({"args": {}}).encode()
            said = client.post(path, content=body, headers={"content-type": kind})
            assert said.status_code == 415, path


def test_methods_that_nobody_needs_are_refused(client: TestClient) -> None:
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT"):
        said = client.request(method, "/api/session")
        assert said.status_code == 405
        assert not [name for name in said.headers if name.startswith("access-control")]


def test_no_path_leads_out(client: TestClient, tmp_path: Path) -> None:
    for prefix in ("/", "/js/", "/api/images/", "/api/gallery/", "/api/items/", "/api/map/atlas/"):
        for escape in (*ESCAPES, str(tmp_path), f"/{tmp_path}"):
            for ending in ("", "/thumbnail", "/original"):
                said = client.get(prefix + escape + ending)
                assert said.status_code in (400, 404), (prefix, escape, said.status_code)
                assert b"root:" not in said.content
    for escape in ESCAPES:
        for base in ({"kind": "image", "id": escape}, {"kind": "latent", "id": escape}):
            said = client.post("/api/render", json={"args": {"base": base}})
            assert said.status_code == 400
            assert said.json()["where"] == "base.id"
        assert client.delete(f"/api/gallery/{escape}").status_code in (400, 404, 405)


def test_bodies_are_counted_as_they_arrive(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "JSON_BYTES", 1 << 12)
    monkeypatch.setitem(guard.RAW, "/api/images", 1 << 12)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1 << 10):
            sent += 1 << 10
            yield b" " * (1 << 10)

    for path, kind in (("/api/render", "json"), ("/api/images", "octet-stream")):
        headers = {"content-type": f"application/{kind}"}
        assert client.post(path, content=b" " * 5000, headers=headers).status_code == 413
        assert client.post(path, content=endless(), headers=headers).status_code == 413
        lie = headers | {"content-length": "-1"}
        assert client.post(path, content=b"{}", headers=lie).status_code == 413


MALFORMED = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"args": null}',
    b'{"args": {"base": null}}',
    b'{"args": {"base": {"kind": []}}}',
    b'{"args": {"base": {"kind": "sample", "seed": 1e400}}}',
    b'{"args": {"base": {"kind": "sample", "seed": -1}}}',
    b'{"args": {"base": {"kind": "sample", "seed": 99999999999999999999999}}}',
    b'{"args": {"base": {"kind": "item", "index": true}}}',
    b'{"args": {"base": {"kind": "map", "x": NaN, "y": Infinity}}}',
    b'{"args": {"base": {"kind": "blend", "a": 1, "b": 2, "t": "x"}}}',
    b'{"args": {"moves": [1, 2]}}',
    b'{"args": {"moves": {"": "x"}}}',
    b'{"args": {"dims": {"-1": 1, "9999999": 2}}}',
    b'{"args": {"label": 7}}',
    b'{"args": {}, "kind": 7, "frames": 3, "fps": "fast"}',
    b'{"args": {}, "kind": "gif", "frames": [], "fps": -1}',
    b'{"id": {"a": 1}, "title": 5, "name": null}',
    b"[" * 100_000,
    b'{"args": ' + b'{"base": ' * 5_000 + b"1" + b"}" * 5_000 + b"}",
)


def test_no_malformed_body_is_our_fault(client: TestClient) -> None:
    for method, path in routes(client):
        if method != "POST" or path in guard.RAW:
            continue
        for body in MALFORMED:
            said = client.post(path, content=body, headers={"content-type": "application/json"})
            assert said.status_code < 500, (path, body[:60], said.text[:200])
            if said.status_code >= 400:
                assert set(said.json()) == {"error", "where"}
                assert "\n" not in said.json()["error"]


def test_what_is_served_may_load_nothing_and_run_nothing_of_others(client: TestClient) -> None:
    for path in ("/", "/api/session", "/nothing", "/api/images/00"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert not [name for name in headers if name.startswith("access-control")]
        assert "server" not in headers


def test_the_page_names_no_other_site_and_holds_no_inline_script() -> None:
    for path in STATIC.rglob("*"):
        if path.suffix not in (".html", ".js", ".css", ".svg"):
            continue
        text = path.read_text("utf-8")
        named = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"'`)]*", text))
        assert not {n for n in named if "www.w3.org" not in n}, path
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)", text)
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
        if path.suffix == ".js":
            assert "innerHTML" not in text, path
            assert not re.search(r"\beval\(|new Function\(", text), path


def test_nobody_else_is_served_unless_asked() -> None:
    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"
    assert names_of("127.0.0.1") == HERE
    assert "192.168.1.7" in names_of("192.168.1.7")


def test_interactive_documentation_is_not_served(client: TestClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_an_error_of_ours_is_one_line_and_the_server_goes_on(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(z: object, label: object) -> None:
        raise ZeroDivisionError("a secret\nof two lines")

    monkeypatch.setattr(studio.workspace, "exact", broken)
    said = client.post("/api/render", json={"args": {}})
    assert said.status_code == 500
    assert "\n" not in said.json()["error"]
    assert client.get("/api/session").status_code == 200
