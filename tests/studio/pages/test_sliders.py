"""Sliders: the picture follows the hand, and every one of them goes back."""

from __future__ import annotations

import numpy as np
import pytest
from seeing import rendered, settles_at, state_of, until

pytestmark = pytest.mark.slow
SAMPLE = {"base": {"kind": "sample", "seed": 5}, "moves": {}, "dims": {}, "label": None}


@pytest.fixture
def sliders(open_page):
    page = open_page(state=SAMPLE)
    page.keyboard.press("s")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return page


def test_a_direction_moves_the_picture_as_the_server_says(sliders):
    slider = sliders.get_by_role("slider", name="component 1", exact=True)
    slider.fill("2")
    state = state_of(sliders)
    assert state["moves"] == {"pca:1": 2}
    settles_at(sliders, state)
    assert np.abs(rendered(sliders, state) - rendered(sliders, SAMPLE)).max() > 5


def test_double_click_backspace_and_the_button_put_it_back(sliders):
    slider = sliders.get_by_role("slider", name="Latent 0", exact=True)
    for back in (
        lambda: slider.dblclick(position={"x": 10, "y": 8}),
        lambda: slider.press("Backspace"),
        lambda: sliders.get_by_role("button", name="Put Latent 0 back").click(),
    ):
        slider.fill("1")
        assert state_of(sliders)["dims"] == {"0": 1}
        back()
        assert state_of(sliders)["dims"] == {}
    settles_at(sliders, SAMPLE)


def test_a_value_is_typed_with_a_comma_or_beyond_the_slider(sliders):
    value = sliders.get_by_label("Latent 1, value")
    for text, meant in (("0,5", 0.5), ("-0.25", -0.25), ("7", 7)):
        value.fill(text)
        value.press("Enter")
        assert state_of(sliders)["dims"] == {"1": meant}
    value.fill("nonsense")
    value.blur()
    assert state_of(sliders)["dims"] == {"1": 7}


def test_arrow_keys_step_and_one_undo_takes_a_whole_drag_back(sliders):
    slider = sliders.get_by_role("slider", name="Latent 0", exact=True)
    slider.press("ArrowRight")
    step = state_of(sliders)["dims"]["0"]
    assert 0 < step < 0.2
    box = slider.bounding_box()
    sliders.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    sliders.wait_for_timeout(950)  # a drag later is a step of its own
    sliders.mouse.down()
    sliders.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2, steps=8)
    sliders.mouse.up()
    assert state_of(sliders)["dims"]["0"] > 1
    sliders.keyboard.press("Control+z")
    assert state_of(sliders)["dims"] == {"0": step}


def test_the_filter_finds_sliders_in_every_group(sliders):
    sliders.get_by_label("Find a slider").fill("latent 3")
    names = sliders.locator(".slider:visible label").all_inner_texts()
    assert names == ["Latent 3"]


def test_a_model_that_is_told_the_class_is_told_another(open_page):
    page = open_page("told", state=SAMPLE | {"label": "0"})
    page.keyboard.press("s")
    page.get_by_role("radio", name="7", exact=True).check()
    state = state_of(page)
    assert state["label"] == "7"
    settles_at(page, state)
    assert np.abs(rendered(page, state) - rendered(page, SAMPLE | {"label": "0"})).max() >= 2


# Every picture claims the same time, or the first of `took`: this machine's own is not asked.
COUNT = """window.asked = []; window.ahead = 0;
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    if (this.url.endsWith("events")) window.told = (what) => this.onmessage({ data: what });
    else this.addEventListener("message", ({ data }) => {
      const view = new DataView(data);
      view.setFloat32(16, window.took.shift() ?? 1, true);
      if (view.getUint8(9) & 2) window.ahead += 1;
    });
  }
  send(text) {
    window.asked.push(JSON.parse(text));
    if (window.asked.at(-1).along) window.ahead = 0;
    super.send(text);
  }
};"""


def asked(page, kind: str) -> int:
    """How many single pictures, or how many sliders, the page has asked for."""
    return page.evaluate(
        f"asked.filter((one) => {'!' if kind == 'single' else ''}one.along).length"
    )


@pytest.fixture
def counted(open_page, request):
    took = getattr(request, "param", [])
    page = open_page(state=SAMPLE, script=f"{COUNT} window.took = {took};")
    page.keyboard.press("s")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return page


def moved_to(page, name: str, value: float) -> dict:
    page.get_by_role("slider", name=name, exact=True).fill(str(value))
    return state_of(page)


def drawn_ahead(page) -> None:
    """Wait until all pictures of the slider are there."""
    until(page, "ahead > 0 && ahead === asked.findLast((one) => one.along).values.length")


def test_the_pictures_of_a_slider_are_there_before_the_hand(counted):
    moved_to(counted, "Latent 0", 1)
    drawn_ahead(counted)
    before = asked(counted, "single")
    for value in (-1, 0, 0.5, 2):
        settles_at(counted, moved_to(counted, "Latent 0", value))
    assert (asked(counted, "single"), asked(counted, "slider")) == (before, 1)


@pytest.mark.parametrize("counted", [[1000, 1000]], indirect=True)
def test_a_model_whose_first_pictures_were_slow_is_drawn_ahead_once_one_is_not(counted):
    settles_at(counted, moved_to(counted, "Latent 0", 1))
    assert asked(counted, "slider") == 0
    settles_at(counted, moved_to(counted, "Latent 0", 2))
    drawn_ahead(counted)
    assert asked(counted, "slider") == 1


def test_what_was_drawn_ahead_of_another_place_is_not_shown(counted):
    moved_to(counted, "Latent 0", 1)
    drawn_ahead(counted)
    settles_at(counted, moved_to(counted, "Latent 1", 1.5))
    settles_at(counted, moved_to(counted, "Latent 0", 0.5))
    counted.keyboard.press("x")
    settles_at(counted, SAMPLE)
    assert asked(counted, "slider") == 3


@pytest.mark.parametrize(("news", "drawn_anew"), [("session", 0), ("map", 0), ("latent", 1)])
def test_what_changes_pictures_takes_those_made_before_with_it(counted, news, drawn_anew):
    moved_to(counted, "component 1", 1)
    drawn_ahead(counted)
    before = asked(counted, "single")
    counted.evaluate("news => told(JSON.stringify({[news]: true}))", news)
    until(counted, f"asked.filter((one) => !one.along).length >= {before + drawn_anew}")
    counted.wait_for_timeout(500)
    assert asked(counted, "single") == before + drawn_anew
    settles_at(counted, moved_to(counted, "component 1", 2))
    assert asked(counted, "single") == before + drawn_anew + 1
