"""Who may talk to the studio, and in what form: checked before anything else is.

A page of any site that is open in the same browser can send requests to this machine. So there is a
token for each launch, on HTTP and WebSockets alike; the Host must be ours, or a name that another
site has pointed here would pass for us; an Origin must be ours too; bodies come as types that no
form can send; and they are counted as they arrive. What is served may load nothing from elsewhere,
run no inline script and stand in no frame.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_BYTES = 8 << 20  # of a body: masks come in JSON
RAW = {"/api/images": 32 << 20, "/api/archives": 1 << 30}  # bodies that are files, in bytes
POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
METHODS = ("GET", "HEAD", "POST", "DELETE")


class TooLarge(Exception):
    """A body has more bytes than may come."""


class Guard:
    """An ASGI application around another, which lets through only what is meant for it."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: Sequence[str], port: int):
        """hosts: the names by which the studio is reached; with the port, or without it."""
        self.app, self.token, self.cookie = app, token, f"preimage_{port}"
        self.hosts = {f"{host}:{port}".lower() for host in hosts}
        if port == 80:
            self.hosts |= {host.lower() for host in hosts}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None and scope["type"] == "websocket":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif refusal is None:
            await self._served(scope, headers, receive, _with_headers(send))
        elif refusal == (303, ""):
            await _redirect(_with_headers(send), self._set_cookie())
        else:
            await _refuse(_with_headers(send), *refusal)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Why a request is not let through; (303, "") where it brought the token in its address."""
        if headers.get("host", "").lower() not in self.hosts:
            return 403, "this studio does not answer to that Host"
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self.origins:
            return 403, "requests from other sites are refused"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and (
            scope["type"] == "websocket" or scope["path"] != "/"
        ):
            return 403, "requests from other sites are refused"
        if scope["type"] == "http":
            if scope["method"] not in METHODS:
                return 405, "this method is not used here"
            if scope["path"] == "/" and scope["method"] == "GET" and self._asked(scope):
                return 303, ""
        if not self._known(headers):
            return 403, "open the address that preimage studio has printed"
        if scope["type"] == "http" and scope["method"] == "POST":
            return _type_refusal(scope["path"], headers)
        return None

    def _asked(self, scope: Scope) -> bool:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return any(self._same(token) for token in query.get("token", ()))

    def _known(self, headers: Headers) -> bool:
        own = headers.get("x-preimage-token")
        if own is not None:
            return self._same(own)
        # As browsers read them: Python's own reader gives up where another server's are odd.
        return self._same(cookie_parser(headers.get("cookie", "")).get(self.cookie, ""))

    def _same(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())

    def _set_cookie(self) -> bytes:
        return f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict".encode()

    async def _served(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        cap = RAW.get(scope["path"], JSON_BYTES)
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > cap:
            await _refuse(send, 413, f"more than {cap >> 20} MB")
            return
        left, begun = cap, False

        async def counting() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise TooLarge
            return message

        async def sending(message: Message) -> None:
            nonlocal begun
            if left < 0 and not begun:
                raise TooLarge  # what the application has to say of half a body
            begun = True
            await send(message)

        try:
            await self.app(scope, counting, sending)
        except TooLarge:
            if not begun:
                await _refuse(send, 413, f"more than {cap >> 20} MB")


def _type_refusal(path: str, headers: Headers) -> tuple[int, str] | None:
    """A form of another site could send text or a form, but neither of these types."""
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    wanted = "application/octet-stream" if path in RAW else "application/json"
    return None if given == wanted else (415, f"the body must be {wanted}")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(k, v) for k, v in message.get("headers", ()) if k.lower() != b"server"]
            given = {key.lower() for key, _ in own}
            own += [(k, v) for k, v in HEADERS if k not in given]
            if b"cache-control" not in given:
                own.append((b"cache-control", b"no-store"))
            message = {**message, "headers": own}
        await send(message)

    return sending


async def _redirect(send: Send, cookie: bytes) -> None:
    headers: list[Any] = [(b"location", b"/"), (b"set-cookie", cookie), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body"})


async def _refuse(send: Send, status: int, message: str) -> None:
    body = json.dumps({"error": message, "where": "request"}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
