"""Live pictures: what is sent, and that the last request wins."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from settling import run_alone
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from preimage.studio import live
from preimage.studio.app import Studio
from preimage.studio.args import parse
from preimage.studio.live import Conversation, error_frame
from preimage.studio.render import render

ARGS = {"base": {"kind": "sample", "seed": 3}, "dims": {"1": 0.5}}


def connected(client: TestClient, path: str = "/api/live") -> WebSocketTestSession:
    host = str(client.base_url).removeprefix("http://")
    return client.websocket_connect(path, headers={"host": host})


def unpacked(frame: bytes) -> tuple[int, float, np.ndarray]:
    """The number, the fade and the pixels of a frame, read as the page reads it."""
    number, width, height, channels, flags, zero, fade, took = struct.unpack_from(
        "<IHHBBHff", frame
    )
    assert (flags, zero) == (0, 0)
    assert took > 0
    return number, fade, np.frombuffer(frame, np.uint8, offset=20).reshape(height, width, channels)


def refusal(frame: bytes) -> tuple[int, dict[str, str]]:
    number, *_, flags, _, _, _ = struct.unpack_from("<IHHBBHff", frame)
    assert flags == live.ERROR
    return number, json.loads(frame[20:])


def test_a_frame_holds_the_picture_of_its_arguments(client: TestClient, studio: Studio) -> None:
    with connected(client) as socket:
        socket.send_text(json.dumps({"id": 4294967295, "args": ARGS}))
        number, fade, pixels = unpacked(socket.receive_bytes())
    expected = render(studio.workspace, parse(ARGS))
    assert (number, fade) == (4294967295, 1.0)
    assert np.array_equal(pixels, expected.pixels)


def test_an_error_is_a_frame_and_the_next_picture_comes(client: TestClient) -> None:
    with connected(client) as socket:
        socket.send_text(json.dumps({"id": 7, "args": {"moves": {"smile": 1}}}))
        number, said = refusal(socket.receive_bytes())
        assert (number, said["where"]) == (7, "moves.smile")
        for nonsense in (
            "{",
            "[]",
            '{"id": -1}',
            '{"id": "x"}',
            "null",
            '{"id": 1e99}',
            "[" * 9999,
        ):
            socket.send_text(nonsense)
            assert refusal(socket.receive_bytes())[0] == 0
        socket.send_text(json.dumps({"id": 8, "args": "x"}))
        assert refusal(socket.receive_bytes())[0] == 8
        socket.send_text(json.dumps({"id": 9, "args": ARGS}))
        assert unpacked(socket.receive_bytes())[0] == 9


class Page:
    """A socket in the test's hands."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[str] = asyncio.Queue()
        self.frames: list[bytes] = []

    async def receive_text(self) -> str:
        return await self.requests.get()

    async def send_bytes(self, frame: bytes) -> None:
        self.frames.append(frame)


def test_of_requests_that_come_while_a_picture_is_made_the_last_is_next(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    go = threading.Semaphore(0)

    def slow(workspace: Any, number: int, args: Any) -> bytes:
        begun.append(number)
        assert go.acquire(timeout=30)
        return error_frame(number, "", "")

    monkeypatch.setattr(live, "answer", slow)

    async def talk() -> list[bytes]:
        page = Page()
        conversation = Conversation(studio, page)  # type: ignore[arg-type]
        tasks = [asyncio.ensure_future(t) for t in (conversation.listen(), conversation.speak())]
        for number in range(1, 101):
            await page.requests.put(json.dumps({"id": number, "args": {}}))
            while not (begun and page.requests.empty()):
                await asyncio.sleep(0.001)
        for _ in range(2):
            go.release()
        while len(page.frames) < 2:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        return page.frames

    with ThreadPoolExecutor(1) as one:
        monkeypatch.setattr(studio, "decoding", one)
        frames = run_alone(talk())
    assert begun == [1, 100]
    assert [refusal(frame)[0] for frame in frames] == [1, 100]


def drained(socket: WebSocketTestSession) -> None:
    """Read until it ends."""
    while True:
        socket.receive_bytes()


def test_a_page_that_asks_for_more_than_a_hand_can_is_let_go(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RATE", 20)
    with connected(client) as socket:
        for number in range(50):
            socket.send_text(json.dumps({"id": number, "args": ARGS}))
        with pytest.raises(WebSocketDisconnect) as left:
            drained(socket)
    assert left.value.code == 1008
    monkeypatch.undo()
    with connected(client) as socket:
        socket.send_text(json.dumps({"id": 1, "args": {"label": "x" * live.LONGEST}}))
        with pytest.raises(WebSocketDisconnect):
            socket.receive_bytes()


def test_what_happens_is_told_to_every_page(client: TestClient, studio: Studio) -> None:
    with (
        connected(client, "/api/events") as one,
        connected(client, "/api/events") as other,
    ):
        studio.events.publish({"job": {"id": "1"}})
        assert json.loads(one.receive_text()) == {"job": {"id": "1"}}
        assert json.loads(other.receive_text()) == {"job": {"id": "1"}}
