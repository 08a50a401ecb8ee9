"""Live pictures: what is sent, and that the last request wins."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from settling import run_alone
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from preimage.studio import ahead, live
from preimage.studio.ahead import SHORT, Ahead, next_few
from preimage.studio.app import Studio
from preimage.studio.args import parse
from preimage.studio.live import Conversation, error_frame
from preimage.studio.render import render

ARGS = {"base": {"kind": "sample", "seed": 3}, "dims": {"1": 0.5}}


def connected(client: TestClient, path: str = "/api/live") -> WebSocketTestSession:
    host = str(client.base_url).removeprefix("http://")
    return client.websocket_connect(path, headers={"host": host})


def unpacked(frame: bytes, *, flags: int = 0, place: int = 0) -> tuple[int, float, np.ndarray]:
    """The number, the fade and the pixels of a frame, read as the page reads it."""
    number, width, height, channels, *told, fade, took = struct.unpack_from("<IHHBBHff", frame)
    assert told == [flags, place]
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


@asynccontextmanager
async def talking(studio: Studio) -> AsyncIterator[Page]:
    """A page whose conversation goes on."""
    page = Page()
    conversation = Conversation(studio, page)  # type: ignore[arg-type]
    tasks = [asyncio.ensure_future(t) for t in (conversation.listen(), conversation.speak())]
    yield page
    for task in tasks:
        task.cancel()


def run_with_a_thread(studio: Studio, monkeypatch: pytest.MonkeyPatch, talk: Any) -> Any:
    with ThreadPoolExecutor(1) as one:
        monkeypatch.setattr(studio, "decoding", one)
        return run_alone(talk())


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
        async with talking(studio) as page:
            for number in range(1, 101):
                await page.requests.put(json.dumps({"id": number, "args": {}}))
                while not (begun and page.requests.empty()):
                    await asyncio.sleep(0.001)
            for _ in range(2):
                go.release()
            while len(page.frames) < 2:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
        return page.frames

    frames = run_with_a_thread(studio, monkeypatch, talk)
    assert begun == [1, 100]
    assert [refusal(frame)[0] for frame in frames] == [1, 100]


VALUES = [0.5, 0.0, 1.0, -1.5, 2.0, 0.25]


@pytest.mark.parametrize(
    ("along", "at"),
    [
        ("dims.1", lambda v: ARGS | {"dims": {"1": v}}),
        ("dims.0", lambda v: ARGS | {"dims": {"1": 0.5, "0": v}}),
        ("moves.pca:1", lambda v: ARGS | {"moves": {"pca:1": v}}),
    ],
)
def test_what_a_slider_is_about_to_show_is_what_it_shows_then(
    client: TestClient, studio: Studio, along: str, at: Any
) -> None:
    studio.workspace.settled.wait(60)
    with connected(client) as socket:
        socket.send_text(json.dumps({"id": 5, "args": ARGS, "along": along, "values": VALUES}))
        for place, value in enumerate(VALUES):
            frame = unpacked(socket.receive_bytes(), flags=live.AHEAD, place=place)
            expected = render(studio.workspace, parse(at(value))).pixels
            assert frame[:2] == (5, 1.0)
            assert np.abs(frame[2].astype(int) - expected).max() <= 1  # rounded in another batch


def test_a_blend_is_drawn_ahead_from_end_to_end(client: TestClient, studio: Studio) -> None:
    ends = {"a": {"kind": "sample", "seed": 1}, "b": {"kind": "sample", "seed": 2}}
    args = {"base": {"kind": "blend", **ends, "t": 0.3, "path": "lerp"}}
    with connected(client) as socket:
        asked = {"id": 1, "args": args, "along": "base.t", "values": [0, 1]}
        socket.send_text(json.dumps(asked))
        for place, end in enumerate(ends.values()):
            pixels = unpacked(socket.receive_bytes(), flags=live.AHEAD, place=place)[2]
            expected = render(studio.workspace, parse({"base": end})).pixels
            assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"args": ARGS, "along": "moves.nothing of that name", "values": [1, 2]},
        {"args": ARGS, "along": "dims.1", "values": ["x"]},
        {"args": ARGS, "along": "dims.1", "values": [1e99]},
        {"args": ARGS, "along": "base.t", "values": [0.5]},
        {"args": "x", "along": "dims.1", "values": [1]},
        {"args": ARGS, "along": "dims.1", "values": []},
        {"args": ARGS | {"label": "\ud800"}, "along": "dims.1", "values": [1]},
    ],
)
def test_what_cannot_be_drawn_ahead_is_left_without_a_word(client: TestClient, wrong: dict) -> None:
    with connected(client) as socket:
        socket.send_text(json.dumps({"id": 1, **wrong}))
        for number in (2, 3):
            time.sleep(0.2)  # until it was tried
            socket.send_text(json.dumps({"id": number, "args": ARGS}))
            assert unpacked(socket.receive_bytes())[0] == number


def test_a_slider_that_fails_is_tried_once(studio: Studio) -> None:
    slider = Ahead(1, ARGS, "moves.nothing of that name", [1.0] * 9)
    assert next_few(studio.workspace, slider) == []
    assert slider.done


def test_a_slider_of_too_many_places_is_no_request(client: TestClient) -> None:
    with connected(client) as socket:
        for values in ([0.0] * 257, 3, None):
            asked = {"id": 1, "args": ARGS, "along": "dims.1", "values": values}
            socket.send_text(json.dumps(asked))
            assert refusal(socket.receive_bytes())[0] == 0


@pytest.mark.parametrize("along", ["base.a", "base.seed", "nonsense", "", 3, None, ["dims.1"]])
def test_only_what_sliders_move_is_drawn_ahead(client: TestClient, along: Any) -> None:
    with connected(client) as socket:
        socket.send_text(json.dumps({"id": 1, "args": ARGS, "along": along, "values": [1]}))
        assert refusal(socket.receive_bytes())[0] == 0


def test_as_many_are_drawn_at_once_as_a_hand_may_wait_for(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {"seconds": SHORT / 3.5}
    several = ahead.render_several

    def timed(workspace: Any, wanted: Any) -> list[Any]:
        return [replace(one, seconds=taken["seconds"]) for one in several(workspace, wanted)]

    monkeypatch.setattr(ahead, "render_several", timed)
    slider = Ahead(1, ARGS, "dims.1", [0.1 * k for k in range(20)])
    assert [len(next_few(studio.workspace, slider)) for _ in range(2)] == [1, 3]
    assert not slider.slow
    taken["seconds"] = SHORT / 100
    assert [len(next_few(studio.workspace, slider)) for _ in range(2)] == [3, 4]
    taken["seconds"] = 2 * SHORT
    assert [len(next_few(studio.workspace, slider)) for _ in range(2)] == [4, 1]
    assert slider.slow


def test_what_takes_long_is_not_begun_before_the_hand_rests(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def quick_answer(workspace: Any, number: int, args: Any) -> bytes:
        begun.append("asked")
        return error_frame(number, "", "")

    def slow_ahead(workspace: Any, slider: Any) -> list[bytes]:
        begun.append("ahead")
        slider.drawn += 1
        slider.each = 1.0
        return []

    monkeypatch.setattr(live, "answer", quick_answer)
    monkeypatch.setattr(live, "ahead_answers", slow_ahead)
    monkeypatch.setattr(live, "STILL", 1.5)

    async def talk() -> None:
        async with talking(studio) as page:
            slider = {"along": "dims.0", "values": [1, 2]}
            await page.requests.put(json.dumps({"id": 1, "args": {}, **slider}))
            for number in range(2, 8):
                await page.requests.put(json.dumps({"id": number, "args": {}}))
                await asyncio.sleep(0.05)
            while len(begun) < 8:
                await asyncio.sleep(0.005)

    run_with_a_thread(studio, monkeypatch, talk)
    assert sorted(begun[:7]) == ["ahead"] + 6 * ["asked"]
    assert begun[7] == "ahead"


def test_who_waits_goes_first_and_only_the_slider_moved_last_is_drawn_ahead(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, int]] = []
    go = threading.Semaphore(0)

    def slow_answer(workspace: Any, number: int, args: Any) -> bytes:
        begun.append(("asked", number))
        assert go.acquire(timeout=30)
        return error_frame(number, "", "")

    def slow_ahead(workspace: Any, slider: Any) -> list[bytes]:
        begun.append(("ahead", slider.number))
        slider.drawn += 1
        assert go.acquire(timeout=30)
        return [error_frame(slider.number, "", "")]

    monkeypatch.setattr(live, "answer", slow_answer)
    monkeypatch.setattr(live, "ahead_answers", slow_ahead)

    async def talk() -> None:
        async with talking(studio) as page:

            async def ask(number: int, **more: Any) -> None:
                await page.requests.put(json.dumps({"id": number, "args": {}, **more}))
                while not (begun and page.requests.empty()):
                    await asyncio.sleep(0.001)

            slider = {"along": "dims.0", "values": [1, 2]}
            await ask(1, **slider)  # its first picture is being made while the others come
            await ask(2, **slider)
            await ask(3)
            await ask(4)
            for _ in range(4):
                go.release()
            while len(page.frames) < 4:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)

    run_with_a_thread(studio, monkeypatch, talk)
    assert begun == [("ahead", 1), ("asked", 4), ("ahead", 2), ("ahead", 2)]


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
