"""One's own image in the page: brought in three ways, found, judged, edited, and found again."""

from __future__ import annotations

import base64
import contextlib
import io
import time
from urllib.parse import urljoin

import numpy as np
import pytest
from PIL import Image
from seeing import KEEP_SOCKETS, pixels, rendered, state_of, until

from preimage.studio.jobs.folder import ENDED

pytestmark = pytest.mark.slow
DRAWN = {"base": {"kind": "sample", "seed": 4}}
SLOW = 180_000  # ms: a worker that starts imports torch, and other tests may run beside
PASTE = """text => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, bubbles: true }));
}"""
DROP = """text => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
  const zone = document.querySelector(WHERE);
  for (const kind of ["dragover", "drop"])
    zone.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
}"""
ON_PANEL, ON_PICTURE = (
    DROP.replace("WHERE", w) for w in ("'.panel-bring .panel-inner'", "'#view'")
)


@pytest.fixture
def bring(open_page):
    page = open_page(state=DRAWN)
    page.keyboard.press("i")
    return page


def png(page) -> bytes:
    """A picture that the model draws, as a file."""
    content = io.BytesIO()
    Image.fromarray(rendered(page, DRAWN).astype(np.uint8)).save(content, "png")
    return content.getvalue()


def search_ended(page) -> None:
    """Waits until the last search has ended, whatever the page knows of it."""
    end, jobs = time.monotonic() + SLOW / 1000, urljoin(page.url, "/api/jobs")
    while (job := page.request.get(jobs).json()[0])["status"] not in ENDED:
        assert time.monotonic() < end, job
        page.wait_for_timeout(30)


def test_an_image_is_found_judged_edited_and_outlives_a_reload(bring):
    file = {"name": "<b>me</b>.png", "mimeType": "image/png", "buffer": png(bring)}
    bring.locator(".panel-bring input[type=file]").set_input_files(file)
    found = bring.get_by_text("The model knows such images")
    found.wait_for(timeout=SLOW)
    state = state_of(bring)
    assert state["base"]["kind"] == "image"
    assert np.abs(rendered(bring, state) - pixels(file["buffer"])).max() <= 3
    bring.get_by_text("What it leaves open").wait_for()
    bring.locator(".panel-bring .curve svg path").first.wait_for()
    until(bring, "document.querySelectorAll('.panel-bring .figure img[src*=uncertainty]').length")
    # It is edited like any other picture.
    bring.keyboard.press("s")
    bring.locator(".panel-sliders input[type=range]").first.press("ArrowRight")
    assert state_of(bring)["base"] == state["base"]
    # After a reload the search is still known.
    bring.keyboard.press("i")
    bring.reload()
    found.wait_for(timeout=SLOW)
    bring.get_by_role("listitem").get_by_alt_text("Image 1 that you brought").wait_for()


@pytest.mark.parametrize("way", [PASTE, ON_PANEL, ON_PICTURE], ids=["pasted", "panel", "picture"])
def test_an_image_is_shown_at_once_and_its_search_can_be_cancelled(bring, way):
    playwright = pytest.importorskip("playwright.sync_api")
    if way == ON_PICTURE:  # that opens the panel
        bring.keyboard.press("s")
    bring.evaluate(way, base64.b64encode(png(bring)).decode())
    until(bring, "document.querySelector('.panel-bring .figure img[src*=images]')")
    cancel = bring.locator(".panel-bring").get_by_role("button", name="Cancel")
    with contextlib.suppress(
        playwright.TimeoutError
    ):  # the search may be done before the hand is there
        cancel.click(timeout=1000)
    search_ended(bring)
    cancel.wait_for(state="hidden")
    assert state_of(bring)["base"]["kind"] == "image"


def test_what_was_told_while_the_connection_was_lost_is_asked_for_when_it_is_back(open_page):
    page = open_page(state=DRAWN, script=KEEP_SOCKETS)
    page.keyboard.press("i")
    page.evaluate("events[0].onmessage = null")  # it hears nothing from now on
    page.evaluate(ON_PANEL, base64.b64encode(png(page)).decode())
    cancel = page.locator(".panel-bring").get_by_role("button", name="Cancel")
    cancel.wait_for()
    jobs = urljoin(page.url, "/api/jobs")
    latest = page.request.get(jobs).json()[0]["id"]
    assert page.request.delete(f"{jobs}/{latest}").ok
    search_ended(page)
    assert cancel.is_visible()
    page.evaluate("events[0].close()")
    cancel.wait_for(state="hidden")


def test_an_answer_that_comes_after_a_later_event_changes_nothing(bring):
    def late(route):
        answer = route.fetch()
        time.sleep(1)  # the page hears of the end before
        route.fulfill(response=answer)

    bring.route("**/api/jobs*", late)
    bring.route("**/api/jobs/*", late)
    bring.evaluate(ON_PANEL, base64.b64encode(png(bring)).decode())
    until(bring, "document.querySelector('.panel-bring .figure img[src*=images]')")
    cancel = bring.locator(".panel-bring").get_by_role("button", name="Cancel")
    with contextlib.suppress(Exception):  # the search may be done before the hand is there
        cancel.click(timeout=1000)
    bring.wait_for_timeout(2500)
    assert cancel.is_hidden()
