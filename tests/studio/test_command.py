"""`preimage studio`: the address it says, the port it takes, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from settling import run_alone

from preimage.cli.main import run
from preimage.core import InputError
from preimage.studio import serve


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_left_to_its_owner(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=f"--port {taken} is taken"):
        serve.listen("127.0.0.1", taken)
    monkeypatch.setattr(serve, "PORT", taken)
    with serve.listen("127.0.0.1", None) as made:
        assert taken < made.getsockname()[1] < taken + serve.TRIED
    monkeypatch.setattr(serve, "TRIED", 1)
    with pytest.raises(InputError, match="give --port"):
        serve.listen("127.0.0.1", None)


def test_images_that_are_not_there_are_said_at_once(tmp_path) -> None:
    with pytest.raises(InputError, match="no file or folder 'nowhere'"):
        serve.serve([tmp_path], source="nowhere", browser=False)


def test_bodies_do_not_wait_until_their_headers_have_been_received() -> None:
    async def delayed() -> bool:
        accepted = asyncio.get_running_loop().create_future()

        class Taken(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.set_result(transport.get_extra_info("socket"))

        with serve.listen("127.0.0.1", 0) as listening:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(Taken, sock=listening)
            async with server:
                _, writer = await asyncio.open_connection(*listening.getsockname())
                option = (await accepted).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                writer.close()
        return option == 0

    assert not run_alone(delayed())


@pytest.mark.parametrize(
    "words",
    [
        ["--port", "99999"],
        ["--host", "no.such.host.invalid"],
        ["--folder", "nowhere"],
        ["nowhere"],
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    trained: Path, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    own = [] if words == ["nowhere"] else [str(trained)]
    assert run(["studio", *own, *words, "--no-browser"]) == 2
    said = capfd.readouterr()
    assert "\n" not in said.err.strip()
    assert "Traceback" not in said.err
    assert words[-1] in said.err or words[0] in said.err


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
def test_it_says_one_line_serves_and_ends_with_ctrl_c(trained: Path, cache: Path) -> None:
    options = (str(trained), "--port", "0", "--no-browser")
    process = subprocess.Popen(
        [sys.executable, "-m", "preimage", "studio", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        found = re.fullmatch(r"(http://localhost:\d+)/\?token=([\w-]{20,})", line)
        assert found, line
        request = urllib.request.Request(
            f"{found[1]}/api/session", headers={"X-Preimage-Token": found[2]}
        )
        with urllib.request.urlopen(request, timeout=30) as said:
            assert said.status == 200
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (out, error) == ("", "")
    assert process.returncode in (0, 130)
