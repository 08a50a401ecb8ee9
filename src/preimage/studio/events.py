"""What happens, told to every page: jobs that go on, a better map, directions that are known."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

WAITING = 256  # messages that a page may be behind; one that is further behind is let go


class Events:
    """A hub: `publish` may be called from any thread."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._pages: set[asyncio.Queue[str | None]] = set()

    def publish(self, message: dict[str, Any]) -> None:
        loop = self.loop
        if loop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop is closed at this very moment
                loop.call_soon_threadsafe(self._hand_out, json.dumps(message))

    def _hand_out(self, text: str) -> None:
        for page in list(self._pages):
            try:
                page.put_nowait(text)
            except asyncio.QueueFull:
                self._pages.discard(page)
                page.get_nowait()
                page.put_nowait(None)  # the end, once it has read what waits

    @contextlib.contextmanager
    def listening(self):
        page: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
        self._pages.add(page)
        try:
            yield page
        finally:
            self._pages.discard(page)


def router(events: Events) -> APIRouter:
    made = APIRouter()

    @made.websocket("/api/events")
    async def listen(socket: WebSocket) -> None:
        await socket.accept()
        with events.listening() as page:
            sending = asyncio.ensure_future(_send(socket, page))
            try:
                while True:  # a page has nothing to say here; its leaving is noticed
                    await socket.receive_text()
            except (WebSocketDisconnect, KeyError):
                return
            finally:
                sending.cancel()

    return made


async def _send(socket: WebSocket, page: asyncio.Queue[str | None]) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (text := await page.get()) is not None:
            await socket.send_text(text)
        await socket.close(1013)  # it connects again, and asks how things stand
