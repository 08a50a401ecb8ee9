"""Blend: from A to B, and A − B + C."""

from __future__ import annotations

import io
from urllib.parse import urljoin

import numpy as np
import pytest
from PIL import Image
from seeing import rendered, settles_at, state_of, until

pytestmark = pytest.mark.slow
A, B, C = ({"kind": "sample", "seed": seed} for seed in (3, 4, 5))


@pytest.fixture
def blend(open_page):
    page = open_page(state={"base": {"kind": "blend", "a": A, "b": B, "t": 0.5, "path": "lerp"}})
    page.keyboard.press("b")
    return page


def test_the_slider_goes_from_a_to_b(blend):
    slider = blend.get_by_role("slider", name="From A to B")
    for t, end in ((0, A), (1, B)):
        slider.fill(str(t))
        settles_at(blend, {"base": end})
    slider.fill("0.25")
    state = state_of(blend)
    assert state["base"] == {"kind": "blend", "a": A, "b": B, "t": 0.25, "path": "lerp"}
    blend.get_by_role("radio", name="Arc").check()
    assert state_of(blend)["base"]["path"] == "slerp"
    settles_at(blend, state_of(blend))
    blend.get_by_role("button", name="Exchange A and B").click()
    swapped = state_of(blend)["base"]
    assert (swapped["a"], swapped["b"], swapped["t"]) == (B, A, 0.75)


def test_the_film_shows_the_way_and_takes_one_there(blend):
    frames = blend.locator(".film button")
    assert frames.count() == 7
    frames.nth(1).click()
    assert abs(state_of(blend)["base"]["t"] - 1 / 6) < 1e-6
    assert frames.nth(1).get_attribute("aria-current") == "true"


def test_the_picture_is_dragged_into_a_slot_with_its_edits(open_page):
    edited = {"base": A, "moves": {}, "dims": {"0": 2.0, "1": -2.0}, "label": None}
    page = open_page(state=edited)
    page.keyboard.press("b")
    page.drag_and_drop(".live .fit", ".panel-blend .slot >> nth=1")
    until(page, "document.querySelectorAll('.slot')[1].ariaLabel.includes('kept latent')")
    page.get_by_role("slider", name="From A to B").fill("1")
    base = state_of(page)["base"]
    assert base["b"]["kind"] == "latent"
    plain = {"base": base["b"], "moves": {}, "dims": {}, "label": None}
    assert np.abs(rendered(page, plain) - rendered(page, edited)).max() <= 1


def test_a_slot_is_filled_from_the_map_by_chance_or_from_a_file(blend):
    first = blend.locator(".panel-blend .slot").first
    first.click()
    blend.keyboard.press("m")
    blend.keyboard.press("ArrowRight")
    blend.keyboard.press("Enter")
    assert state_of(blend)["base"]["a"]["kind"] in ("map", "item")
    first.click()
    blend.get_by_role("button", name="A random one").click()
    assert state_of(blend)["base"]["a"]["kind"] == "sample"
    first.click()
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 3).save(content, "PNG")
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": content.getvalue()}
    blend.locator(".asking input[type=file]").set_input_files(file)
    until(blend, "document.querySelectorAll('.slot')[0].ariaLabel.includes('Your image')")
    assert state_of(blend)["base"]["a"]["kind"] == "image"
    first.click()
    blend.keyboard.press("Escape")
    until(blend, "!document.querySelector('.asking')")


def test_a_minus_b_plus_c(open_page):
    page = open_page(state={"base": {"kind": "arithmetic", "a": A, "b": B, "c": C}})
    page.keyboard.press("b")
    assert page.get_by_role("radio", name="A − B + C").is_checked()
    settles_at(page, state_of(page) or {"base": {"kind": "arithmetic", "a": A, "b": B, "c": C}})
    page.locator(".slot:visible").nth(1).click()
    page.get_by_role("button", name="A random one").click()
    base = state_of(page)["base"]
    assert (base["kind"], base["a"], base["c"]) == ("arithmetic", A, C)
    assert base["b"] != B
    settles_at(page, {"base": base})


def test_it_plays_and_is_saved_as_an_animation(blend):
    blend.get_by_role("button", name="Play").click()
    before = blend.get_attribute("#picture", "data-painted")
    blend.wait_for_timeout(400)
    assert int(blend.get_attribute("#picture", "data-painted")) > int(before) + 3
    blend.get_by_role("button", name="Play").click()
    with blend.expect_download() as download:
        blend.get_by_title("Save it as GIF").click()
    saved = Image.open(download.value.path())
    assert saved.n_frames == 30
    for frame, base in ((0, A), (29, B)):
        saved.seek(frame)
        shown = saved.convert("RGB").resize((8, 8), Image.Resampling.BOX)
        wanted = rendered(blend, {"base": base})
        assert np.abs(np.asarray(shown).astype(int) - wanted).mean() < 6  # a palette of 256


def test_all_kinds_of_files_that_the_server_makes_are_offered(blend):
    able = blend.request.get(urljoin(blend.url, "/api/session")).json()["exports"]
    shown = blend.locator(".panel-blend .exports button").all_inner_texts()
    assert [text.lower() for text in shown] == [
        kind for kind in ("gif", "webp", "mp4") if kind in able
    ]
