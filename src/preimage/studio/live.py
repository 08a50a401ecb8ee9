"""Pictures as they are asked for: one binary WebSocket, and the latest request wins.

A page asks as often as its slider moves. While one picture is made, only the last request that came
meanwhile is kept, so the picture never lags behind the hand. What goes back is a small header and
raw pixels: at these sizes a PNG would take longer to pack than to send.

    u32 id, u16 width, u16 height, u8 channels, u8 flags, u16 place, f32 fade, f32 ms; pixels

Little-endian. Flag 1: it went wrong, and instead of pixels comes JSON that says how and where. Flag
2: a picture made ahead, of the slider's `place`-th value (`ahead.py`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from preimage.core import InputError
from preimage.studio.ahead import MOST, Ahead, is_slider, next_few
from preimage.studio.args import check_text, parse
from preimage.studio.render import Rendered, meanwhile, render
from preimage.studio.workspace import Workspace

if TYPE_CHECKING:
    from preimage.studio.app import Studio

HEADER = struct.Struct("<IHHBBHff")
ERROR, AHEAD = 1, 2  # flags
STILL = 0.04  # seconds after a picture, when the hand is taken to rest
RATE = 1000  # messages a second, above which a page is let go
LONGEST = 1 << 16  # bytes of a message


def one_thread() -> None:
    """More threads are no quicker at one image, and wait for one another."""
    torch.set_num_threads(1)


def decoding_thread() -> ThreadPoolExecutor:
    """The thread in which all live pictures are made, one after another."""
    return ThreadPoolExecutor(1, "decode", initializer=one_thread)


def frame(number: int, made: Rendered, *, flags: int = 0, place: int = 0) -> bytes:
    height, width, channels = made.pixels.shape
    milliseconds = 1000 * made.seconds
    head = HEADER.pack(number, width, height, channels, flags, place, made.fade, milliseconds)
    return head + made.pixels.tobytes()


def error_frame(number: int, message: str, where: str) -> bytes:
    said = json.dumps({"error": message, "where": where}, ensure_ascii=False)
    return HEADER.pack(number, 0, 0, 0, ERROR, 0, 1.0, 0.0) + said.encode()


def answer(workspace: Workspace, number: int, args: Any) -> bytes:
    """The frame of a request; whatever goes wrong is one as well."""
    try:
        check_text(args)
        return frame(number, render(workspace, meanwhile(workspace, parse(args))))
    except InputError as error:
        return error_frame(number, str(error), getattr(error, "where", "args"))
    except Exception as error:  # one picture that fails must not end the others
        logging.getLogger(__name__).exception("a picture could not be made")
        return error_frame(number, f"{type(error).__name__}: {error}"[:200], "args")


def ahead_answers(workspace: Workspace, ahead: Ahead) -> list[bytes]:
    """The next few frames of what is drawn ahead."""
    made = next_few(workspace, ahead)
    return [frame(ahead.number, one, flags=AHEAD, place=place) for place, one in made]


@dataclass
class Request:
    """A picture that is waited for."""

    number: int
    args: Any


def read(text: str) -> Request | Ahead:
    """What a page asks for. Raises ValueError where it is nothing that can be asked for."""
    request = json.loads(text)
    number = request["id"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << 32:
        raise ValueError("the id of a request is a whole number of 32 bits")
    if "along" not in request:
        return Request(number, request.get("args"))
    along, values = request["along"], request["values"]
    if not is_slider(along) or not isinstance(values, list) or len(values) > MOST:
        raise ValueError("a slider has a name, and not too many places")
    return Ahead(number, request.get("args"), along, values)


class Conversation:
    """One page's requests: of each kind the last, for a hand that has moved on is not served."""

    def __init__(self, studio: Studio, socket: WebSocket):
        self.studio, self.socket = studio, socket
        self.latest: Request | None = None
        self.ahead: Ahead | None = None
        self.wake = asyncio.Event()
        self.answered = -math.inf  # when the last picture that was waited for was sent

    async def listen(self) -> None:
        """Take requests until the page leaves, or asks for more than any hand can."""
        second, count = time.monotonic(), 0
        while True:
            text = await self.socket.receive_text()
            now = time.monotonic()
            second, count = (second, count + 1) if now - second < 1 else (now, 1)
            if count > RATE or len(text) > LONGEST:
                await self.socket.close(1008)
                return
            try:
                request = read(text)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                await self.socket.send_bytes(error_frame(0, "this is no request", "args"))
                continue
            if isinstance(request, Ahead):
                self.ahead = request
            else:
                self.latest = request
            self.wake.set()

    async def speak(self) -> None:
        """Make what is asked for, and only when nobody waits, what may be asked for next."""
        while True:
            await self.wake.wait()
            if self.latest is not None:
                request, self.latest = self.latest, None
                await self.socket.send_bytes(await self._made(answer, request.number, request.args))
                self.answered = time.monotonic()
            elif self.ahead is not None and not self.ahead.done:
                if not self.ahead.slow or await self._still():
                    for made in await self._made(ahead_answers, self.ahead):
                        await self.socket.send_bytes(made)
            else:
                self.wake.clear()

    async def _still(self) -> bool:
        """Wait until the hand rests; whether it does, and nothing was asked for meanwhile."""
        self.wake.clear()
        rest = max(0.0, self.answered + STILL - time.monotonic())
        with suppress(TimeoutError):
            await asyncio.wait_for(self.wake.wait(), rest)
        asked = self.wake.is_set()
        self.wake.set()
        return not asked

    async def _made(self, make: Callable[..., Any], *given: Any) -> Any:
        """What the decoding thread makes of the run that is open."""
        loop = asyncio.get_running_loop()
        workspace = self.studio.workspace
        return await loop.run_in_executor(self.studio.decoding, make, workspace, *given)


def router(studio: Studio) -> APIRouter:
    made = APIRouter()

    @made.websocket("/api/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        conversation = Conversation(studio, socket)
        speaking = asyncio.ensure_future(conversation.speak())
        try:
            with suppress(WebSocketDisconnect, KeyError, RuntimeError):
                await conversation.listen()
        finally:
            speaking.cancel()
            with suppress(BaseException):
                await speaking

    return made
