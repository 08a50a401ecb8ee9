"""The page as a whole: one state in the address bar, and a picture that follows it."""

from __future__ import annotations

from urllib.parse import urljoin

import numpy as np
import pytest
from seeing import KEEP_SOCKETS, encoded, picture, pixels, rendered, settles_at, state_of, until

pytestmark = pytest.mark.slow
SAMPLE = {"base": {"kind": "sample", "seed": 5}, "moves": {}, "dims": {}, "label": None}


def test_a_picture_is_there_at_once_and_random_makes_another(page):
    first = picture(page)
    assert first.std() > 5
    page.keyboard.press("r")
    settles_at(page, state_of(page))
    assert np.abs(picture(page) - first).max() > 10
    assert state_of(page)["base"]["kind"] == "sample"


def test_the_first_picture_drifts_until_it_is_touched(open_page):
    page = open_page(reduced_motion="no-preference")
    first = picture(page)
    page.wait_for_timeout(600)
    assert np.abs(picture(page) - first).max() > 3
    page.keyboard.press("Shift")
    stopped = state_of(page)
    assert stopped["base"]["kind"] in ("blend", "sample")
    settles_at(page, stopped)


def test_a_reload_brings_the_state_back(open_page):
    state = SAMPLE | {"dims": {"2": 1.25}}
    page = open_page(state=state)
    settles_at(page, state)
    page.reload()
    page.wait_for_selector("#map[data-points]")
    assert state_of(page) in ({}, state)
    settles_at(page, state)


def test_undo_and_redo_go_through_what_was_kept(open_page):
    page = open_page(state=SAMPLE)
    page.keyboard.press("r")
    second = state_of(page)
    assert second["base"] != SAMPLE["base"]
    page.keyboard.press("Control+z")
    settles_at(page, SAMPLE)
    page.get_by_role("button", name="Redo").click()
    settles_at(page, second)


def test_the_original_is_seen_while_it_is_held(open_page):
    edited = SAMPLE | {"dims": {"0": 2.5, "1": -2.5}}
    page = open_page(state=edited)
    settles_at(page, edited)
    page.keyboard.down("o")
    settles_at(page, SAMPLE)
    page.keyboard.up("o")
    settles_at(page, edited)
    assert state_of(page) == edited
    page.keyboard.press("x")
    settles_at(page, SAMPLE)


def test_an_image_of_the_data_is_its_own_original(open_page):
    page = open_page(state={"base": {"kind": "item", "index": 7}})
    page.keyboard.down("o")
    until(page, "!document.querySelector('.over').hidden")
    image = page.request.get(urljoin(page.url, "/api/items/7/image")).body()
    assert np.array_equal(picture(page, ".over"), pixels(image))
    page.keyboard.up("o")
    until(page, "document.querySelector('.over').hidden")


def test_a_kept_picture_stands_beside_the_next_one_and_swaps(open_page):
    page = open_page(state=SAMPLE)
    settles_at(page, SAMPLE)
    page.keyboard.press("a")
    page.keyboard.press("r")
    second = state_of(page)
    settles_at(page, second)
    assert np.abs(picture(page, ".kept canvas") - rendered(page, SAMPLE)).max() <= 1
    page.get_by_role("button", name="Exchange A and the picture").click()
    settles_at(page, SAMPLE)
    assert np.abs(picture(page, ".kept canvas") - rendered(page, second)).max() <= 1


def test_the_newest_of_many_states_is_what_is_seen(open_page):
    page = open_page(state=SAMPLE)
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda text: sent.append(text)))
    page.reload()
    page.wait_for_selector("#map[data-points]")
    slider = page.locator(".slide").first
    slider.evaluate(
        """range => { for (let k = 0; k <= 200; k += 1) {
          range.value = range.min * (1 - k / 200);
          range.dispatchEvent(new Event("input", {bubbles: true})); } }"""
    )
    settles_at(page, SAMPLE)
    assert len(sent) < 20  # of two hundred: those that waited were let go


def test_a_lost_connection_is_said_calmly_and_comes_back(open_page):
    page = open_page()
    sockets = []

    def pass_on(route):
        sockets.append(route)
        route.connect_to_server()

    page.route_web_socket("**/api/live", pass_on)
    page.reload()
    page.wait_for_selector("#map[data-points]")
    until(page, "document.querySelector('#line').hidden")
    sockets[-1].close(code=1012, reason="gone")
    until(page, "document.querySelector('#line').textContent.startsWith('Connection lost')")
    until(page, "document.querySelector('#line').hidden")
    page.keyboard.press("r")
    settles_at(page, state_of(page))


def test_what_is_wrong_is_shown_where_it_arose(open_page):
    page = open_page()
    page.evaluate("history.replaceState(null, '', location.pathname)")
    page.goto(page.url.split("#")[0] + "#" + encoded(SAMPLE | {"moves": {"no such": 1.0}}))
    until(page, "!document.querySelector('.stage-note').hidden")
    assert "no such" in page.inner_text(".stage-note")
    page.keyboard.press("x")
    until(page, "document.querySelector('.stage-note').hidden")


def test_the_welcome_goes_through_three_steps_and_stays_away(open_page):
    page = open_page(welcome=True)
    for _ in range(3):
        page.locator(".welcome .primary").click()
    until(page, "!document.querySelector('.welcome')")
    page.reload()
    page.wait_for_selector("#map[data-points]")
    assert page.locator(".welcome").count() == 0


def test_another_run_is_opened_from_the_bar(open_page):
    page = open_page("told")
    assert page.locator(".classes input").count() == 10
    page.get_by_label("Run").select_option(label="digits")
    until(page, "document.title.startsWith('digits')")
    page.wait_for_selector("#map[data-points]")
    assert page.locator(".classes").count() == 0
    page.get_by_label("Run").select_option(label="told")  # as the next test expects it
    until(page, "document.title.startsWith('told')")


def test_a_page_whose_connection_is_back_is_as_it_was(open_page):
    page = open_page(state={"base": {"kind": "sample", "seed": 4}}, script=KEEP_SOCKETS)
    before = state_of(page)
    page.evaluate("window.stays = true; events[0].close()")
    with page.expect_response("**/api/session"):  # what may have changed meanwhile
        until(page, "events.length === 2 && events[1].readyState === WebSocket.OPEN")
    assert page.evaluate("window.stays")
    assert state_of(page) == before
