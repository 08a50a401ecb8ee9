"""What a test sees of a page: its state, and the pixels of its canvases."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import Any
from urllib.parse import urljoin

import numpy as np
from PIL import Image

HOSTILE = "<img src=x onerror=document.title='hacked'>"
PATIENCE = 20.0  # seconds: other tests may run beside
KEEP_SOCKETS = """const Real = WebSocket;
window.events = [];
window.WebSocket = class extends Real {
  constructor(address) {
    super(address);
    if (address.endsWith("/events")) window.events.push(this);
  }
};"""


def encoded(state: dict[str, Any]) -> str:
    full = {"moves": {}, "dims": {}, "label": None} | state
    return base64.urlsafe_b64encode(json.dumps(full).encode()).decode().rstrip("=")


def state_of(page: Any) -> dict[str, Any]:
    """What the address bar holds, when it has settled: by the page's clock, which may be late."""
    page.evaluate("() => new Promise((done) => setTimeout(done, 220))")
    text = page.evaluate("location.hash.slice(1)")
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) if text else {}


def until(page: Any, expression: str) -> None:
    """Waits for something to be so; the page's own rules forbid it to wait by eval."""
    end = time.monotonic() + PATIENCE
    while not _is(page, expression):
        assert time.monotonic() < end, f"it did not come to be: {expression}"
        page.wait_for_timeout(30)


def _is(page: Any, expression: str) -> bool:
    try:
        return bool(page.evaluate(expression))
    except Exception as error:
        if "navigation" in str(error):  # the page is being loaded anew
            return False
        raise


def picture(page: Any, selector: str = "#picture") -> np.ndarray:
    """The pixels of a canvas, (H, W, 3), when no request is under way any more."""
    page.wait_for_timeout(120)
    text = page.evaluate("s => document.querySelector(s).toDataURL()", selector)
    return pixels(base64.b64decode(text.split(",")[1]))


def drawn(page: Any) -> np.ndarray:
    """The map as it is seen, without what stands on it, (H, W, 3)."""
    page.wait_for_timeout(250)
    page.evaluate(
        """() => document.querySelectorAll("#map > :not(canvas)").forEach(
          (one) => (one.style.visibility = "hidden"))"""
    )
    seen = pixels(page.locator("#map").screenshot())
    page.evaluate(
        """() => document.querySelectorAll("#map > :not(canvas)").forEach(
          (one) => (one.style.visibility = ""))"""
    )
    return seen


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def rendered(page: Any, state: dict[str, Any]) -> np.ndarray:
    """What the server draws of a state."""
    response = page.request.post(urljoin(page.url, "/api/render"), data={"args": state})
    assert response.ok, response.text()
    return pixels(response.body())


def settles_at(page: Any, state: dict[str, Any]) -> None:
    """The picture comes to be what the server draws of this state, to a grey level."""
    wanted, end = rendered(page, state), time.monotonic() + PATIENCE
    while np.abs(picture(page) - wanted).max() > 1:
        assert time.monotonic() < end, "the picture is another one"
