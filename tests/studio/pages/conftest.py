"""A studio behind a real server, and real pages of it in a headless browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from seeing import HOSTILE, PATIENCE, encoded

import preimage as pi
from preimage.studio.app import Studio, create_app
from preimage.studio.serve import HERE, listen

CHROMIUM = Path("/usr/bin/chromium")
OURS = ("GL Driver Message",)  # what a software renderer says of itself


@pytest.fixture(scope="session")
def hostile(runs: Path, cache: Path) -> Path:
    """A run on images whose names and labels would like to be HTML."""
    folder, rng = runs / "hostile-images", np.random.default_rng(0)
    for label in (HOSTILE, "<b>plain<|b>"):
        (folder / label).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{k}<script>alert({k})<|script>.png")
    options = {"recipe": "vae-mlp", "steps": 4, "latent": 4, "validations": 1}
    return pi.train(folder, out=runs / "hostile", **options).path


@pytest.fixture(scope="session")
def address(trained: Path, hostile: Path, flat: Path) -> Iterator[Callable[[str], str]]:
    """The address of a studio by the run that is to be open in it."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []
    known: dict[str, str] = {}

    def get(name: str) -> str:
        if name not in known:
            runs = {"digits": [trained], "hostile": [hostile], "told": [flat, trained]}[name]
            listening = listen("127.0.0.1", 0)
            port = listening.getsockname()[1]
            app = create_app(Studio(runs), token="token", hosts=HERE, port=port)
            server = uvicorn.Server(
                uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
            )
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            servers.append((server, thread))
            known[name] = f"http://localhost:{port}/?token=token"
        return known[name]

    yield get
    for server, thread in servers:
        server.should_exit = True
        thread.join(PATIENCE)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with sync.sync_playwright() as browsers:
        browser = browsers.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any, address: Callable[[str], str]) -> Iterator[Callable[..., Any]]:
    """Pages; a test that makes one complain on its console, or ask elsewhere, has failed."""
    contexts: list[Any] = []
    said: list[str] = []

    def get(
        run: str = "digits",
        *,
        welcome: bool = False,
        script: str = "",
        state: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        options = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | options
        context = chromium.new_context(**options)
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        if not welcome:
            script += ";localStorage.setItem('preimage-welcome', 'seen')"
        context.add_init_script(script)
        page, home = context.new_page(), address(run)
        page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else 0)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        ours = home.split("?")[0].removeprefix("http")
        page.on(
            "request", lambda r: None if ours in r.url or "blob:" in r.url else said.append(r.url)
        )
        page.goto(home)
        if state is not None:
            page.goto(home.split("?")[0] + "#" + encoded(state))
            page.reload()
        page.wait_for_selector("#map[data-points]")
        page.wait_for_selector("#picture[data-painted]")
        return page

    yield get
    for context in contexts:
        context.close()
    assert [line for line in said if not any(part in line for part in OURS)] == []


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    return open_page()
