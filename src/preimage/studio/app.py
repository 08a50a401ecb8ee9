"""The studio as an ASGI application: what is open, and the routes that show it.

A part of the studio is a function `router(studio)` that gives routes; `create_app` lists them. All
of them find what they need in the `Studio`: `studio.workspace` is the run that is open at the
moment, `studio.events` tells every page, and `studio.closing` is called at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection

from preimage.core import InputError
from preimage.studio import (
    check,
    events,
    exports,
    gallery,
    items,
    live,
    maps,
    naming,
    restoring,
    search,
    session,
    training,
    uploads,
)
from preimage.studio.args import check_text
from preimage.studio.events import Events
from preimage.studio.gone import Gone
from preimage.studio.guard import Guard
from preimage.studio.jobs import routes as jobs
from preimage.studio.live import decoding_thread
from preimage.studio.workspace import Workspace

PARTS = (
    session,
    maps,
    items,
    live,
    uploads,
    exports,
    gallery,
    jobs,
    training,
    search,
    check,
    naming,
    restoring,
)
STATIC = Path(__file__).parent / "static"


class Studio:
    """What is open, and what all parts of the studio share."""

    def __init__(
        self,
        runs: Sequence[Path],
        *,
        folders: Sequence[Path] = (),
        source: str | None = None,
        device: str = "auto",
    ):
        """runs: folders of runs; the first is opened, the others when they are asked for.

        folders: below which the page may name files of this machine.
        source: images to show instead of the first run's own.
        """
        self.events = Events()
        self.folders = tuple(_folder(folder) for folder in folders)
        self.device = device
        self.decoding: ThreadPoolExecutor = decoding_thread()
        self.closing: list[Callable[[], None]] = []
        self.panels: dict[str, bool] = {}  # which of the optional ones there are
        self.runs: dict[str, Path] = {}
        self.workspaces: dict[str, Workspace] = {}
        for path in runs:
            self.add(path)
        first = next(iter(self.runs))
        self.workspace = self._opened(first, source)
        self.workspace.settle()  # not before it is known to be the one that is shown

    def add(self, path: Path) -> str:
        """The id of a run, which `open` takes; nothing is loaded yet."""
        known = {place.resolve(): name for name, place in self.runs.items()}
        if Path(path).resolve() in known:
            return known[Path(path).resolve()]
        name = session.run_id(path)
        self.runs[name] = Path(path)
        return name

    def open(self, name: str) -> Workspace:
        """Show another run. Raises InputError where there is none of that id, or it is broken."""
        if name not in self.runs:
            raise InputError("there is no such run")
        self.workspace = self._opened(name, None)
        self.workspace.settle()
        self.events.publish({"session": True})
        return self.workspace

    def _opened(self, name: str, source: str | None) -> Workspace:
        if name not in self.workspaces:
            made = Workspace(
                self.runs[name], source=source, device=self.device, publish=self._publish
            )
            made.id = name
            self.workspaces[name] = made
        return self.workspaces[name]

    def _publish(self, message: dict[str, Any]) -> None:
        """What a workspace has to say; the map's state is told in full."""
        if "map" in message:
            if message["map"]["workspace"] != self.workspace.id:
                return
            message = {"map": maps.about(self.workspace)}
        self.events.publish(message)

    def close(self) -> None:
        for end in self.closing:
            end()
        for workspace in self.workspaces.values():
            workspace.close()
        self.decoding.shutdown(wait=False, cancel_futures=True)


def _folder(path: Path) -> Path:
    if not Path(path).is_dir():
        raise InputError(f"--folder {path} is no folder")
    return Path(path).resolve()


def create_app(studio: Studio, *, token: str, hosts: Sequence[str], port: int) -> Guard:
    """The application: every request passes the guard first."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        studio.events.loop = asyncio.get_running_loop()
        yield
        studio.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.studio = studio
    app.add_exception_handler(InputError, _input_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _our_fault)
    for part in PARTS:
        app.include_router(part.router(studio), dependencies=[Depends(_whole_text)])
    app.include_router(events.router(studio.events))
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="static")
    return Guard(app, token=token, hosts=hosts, port=port)


async def _whole_text(connection: HTTPConnection) -> None:
    """Refuses JSON with half a character in it, before it is in a file, or in an answer."""
    kind = connection.headers.get("content-type", "")
    if not isinstance(connection, Request) or not kind.startswith("application/json"):
        return
    body = await connection.body()
    if b"\\u" in body or b"\xed" in body:  # none can be written without these
        with contextlib.suppress(json.JSONDecodeError, RecursionError):  # nobody has read it
            check_text(json.loads(body))


def _input_error(request: Request, error: Exception) -> JSONResponse:
    status = 404 if isinstance(error, Gone) else 400
    where = getattr(error, "where", "")
    return JSONResponse({"error": str(error), "where": where}, status)


def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])[:80]
    return JSONResponse({"error": f"malformed: {first['msg']}"[:200], "where": where}, 400)


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail), "where": ""}, error.status_code)


def _left(request: Request, error: Exception) -> JSONResponse:
    """The page was closed while it sent something: nobody's fault, and nobody hears it."""
    return JSONResponse({"error": "the request was broken off", "where": ""}, 499)


def _our_fault(request: Request, error: Exception) -> JSONResponse:
    logging.getLogger(__name__).error("%s", error, exc_info=error)
    said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return JSONResponse({"error": said, "where": ""}, 500)
