"""The studio as a server on this machine: a port, a token, and the page that opens."""

from __future__ import annotations

import errno
import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from preimage.core import InputError
from preimage.data import cache as store
from preimage.data.source import find
from preimage.studio.app import Studio, create_app
from preimage.studio.live import LONGEST

PORT = 8642
TRIED = 20  # ports from there on
HERE = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE = ("0.0.0.0", "::")


def serve(
    runs: Sequence[Path],
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    folders: Sequence[Path] = (),
    source: str | None = None,
    device: str = "auto",
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve until it is interrupted.

    port: unset, 8642 or the next that is free.
    say: is told the address, with its token.

    Raises InputError for a run, folder or source that is none, and for a port or host that cannot
    be had.
    """
    if source is not None:
        find(source, store.root(None))  # or say at once that there is no such thing
    listening = listen(host, port)
    try:
        studio = Studio(runs, folders=folders, source=source, device=device)
        token, number = secrets.token_urlsafe(24), listening.getsockname()[1]
        app = create_app(studio, token=token, hosts=names_of(host), port=number)
        shown = "localhost" if host in (*HERE, *EVERYWHERE) else host
        address = f"http://{shown}:{number}/?token={token}"
        say(address)
        if browser:
            webbrowser.open(address)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,
                ws_max_size=LONGEST,
                ws_per_message_deflate=False,  # pixels of a moving picture are sent, not packed
                timeout_graceful_shutdown=2,
            )
        )
        server.run(sockets=[listening])
    finally:
        listening.close()


def names_of(host: str) -> tuple[str, ...]:
    """What a browser may call this server."""
    if host in EVERYWHERE:
        try:
            found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        except OSError:
            found = []
        return (*HERE, socket.gethostname(), *(str(entry[4][0]) for entry in found))
    return HERE if host in HERE else (host, *HERE)


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens. Raises InputError where there can be none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = range(PORT, PORT + TRIED) if port is None else (port,)
    for number in wanted:
        # Only where it is called TCP does asyncio send what is small at once: bodies waited 40 ms.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host.strip("[]"), number))
            made.listen(128)
            return made
        except OSError as error:
            made.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise InputError(
                f"cannot listen on {host}:{number}: {error.strerror or error}; "
                "give another --host or --port"
            ) from None
        except OverflowError:
            made.close()
            raise InputError(f"--port {number} is no port; give 0 to 65535") from None
    if port is None:
        raise InputError(f"ports {PORT} to {PORT + TRIED - 1} are all taken; give --port")
    raise InputError(f"--port {port} is taken; give another, or leave it out")
