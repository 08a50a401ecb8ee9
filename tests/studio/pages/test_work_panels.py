"""Mend, restore, search, check, name, train and jobs in the page, by hand and by keys."""

from __future__ import annotations

import pytest
from seeing import picture, rendered, state_of, until

import preimage as pi

pytestmark = pytest.mark.slow
ITEM = {"base": {"kind": "item", "index": 30}}
SLOW = 180_000  # ms


def opened(open_page, key, **options):
    page = open_page(state=ITEM, **options)
    page.keyboard.press(key)
    return page


def test_a_hole_is_painted_and_one_of_several_fillings_is_taken(open_page):
    page = opened(open_page, "e")
    fill = page.get_by_role("button", name="Fill it")
    assert fill.is_disabled()
    canvas = page.locator(".pad canvas").nth(1)
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.4
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] * 0.2, y, steps=4)
    page.mouse.up()
    assert marked(page) > 0
    by_hand = marked(page)
    page.get_by_role("button", name="Undo a stroke").click()
    assert marked(page) == 0
    # The same with keys alone: Space paints, Backspace erases.
    canvas.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    assert marked(page) > 0
    page.keyboard.press("Backspace")
    page.get_by_role("button", name="Mark the rest instead").click()
    assert marked(page) > 64 - by_hand - 8
    page.get_by_role("button", name="Mark the rest instead").click()
    fill.click()
    fillings = page.locator(".panel-mend .figures button")
    fillings.nth(1).wait_for(timeout=SLOW)
    fillings.nth(1).click()
    assert fillings.nth(1).get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Go on with this one").click()
    until(page, "atob(location.hash.slice(1).replaceAll('-','+')).includes('image')")
    assert state_of(page)["base"]["kind"] == "image"


def marked(page) -> int:
    """Pixels of the mask, when the brush is elsewhere."""
    page.mouse.move(5, 5)
    page.evaluate("document.activeElement.blur()")
    return int((picture(page, ".pad canvas:nth-of-type(2)")[..., 0] > 150).sum())


def test_a_damaged_picture_comes_back_with_how_sure_it_is(open_page):
    page = opened(open_page, "n")
    until(page, "document.querySelectorAll('.panel-restore .figure img[src^=blob]').length === 2")
    page.get_by_text("Noise", exact=True).locator("..").locator("input").check()
    page.get_by_role("button", name="Bring it back").click()
    page.get_by_text("Does it know what it does not know?").wait_for(timeout=SLOW)
    for name in ("restored", "uncertainty"):
        until(
            page, f"document.querySelector('.panel-restore img[src*={name}]')?.naturalWidth === 8"
        )


def test_similar_images_follow_the_picture_and_the_condition(open_page):
    page = opened(open_page, "f")
    page.wait_for_selector(".hits button")
    before = page.locator(".hits button").first.get_attribute("aria-label")
    page.get_by_label("Only those where").fill("class = 3")
    until(page, "document.querySelector('.panel-search [role=status]').textContent.includes('of ')")
    page.get_by_label("Only those where").fill("clas = 3")
    page.locator(".panel-search .error", has_text="did you mean 'class'").wait_for()
    page.get_by_label("Only those where").fill("")
    page.locator(".hits button").nth(2).click()
    assert state_of(page)["base"]["kind"] == "item"
    until(page, f"document.querySelector('.hits button').ariaLabel !== {before!r}")
    page.get_by_role("button", name="Mark them on the map").click()


def test_a_detector_says_whether_a_picture_is_odd(open_page, address, trained):
    address("digits")
    page = opened(open_page, "c")
    if "default" not in pi.saved_detectors(trained):
        page.get_by_role("button", name="Learn what is normal").wait_for()
        x = pi.dataset("digits").batch(range(200))
        pi.save_detector(trained, pi.fit_detector(trained, x, scores="patches"))
        page.reload()
    page.locator(".verdict", has_text="odd").wait_for(timeout=SLOW)
    until(page, "document.querySelector('.panel-check .heat').naturalWidth === 256")
    page.get_by_label("How strongly the odd places are shown").fill("0")
    until(page, "getComputedStyle(document.querySelector('.panel-check .heat')).opacity === '0'")


def test_examples_that_are_shown_become_a_slider(open_page):
    page = opened(open_page, "d")
    make = page.get_by_role("button", name="Make the slider")
    page.get_by_label("Its name").fill("odd one")
    make.click()
    page.locator(".panel-name .error", has_text="at least 5 are needed").wait_for()
    for side, first in (("Have it", 0), ("Do not", 100)):
        group = page.get_by_role("region", name=side)
        for index in range(first, first + 6):
            show(page, index)
            group.get_by_role("button", name="Add the one shown").click()
        until(
            page,
            f"document.querySelector('section[aria-label=\"{side}\"] .badge').textContent === '6'",
        )
    make.click()
    page.locator(".panel-name .finding", has_text="is a slider now").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove odd one").click()
    until(page, "!document.querySelector('[aria-label=\"Remove odd one\"]')")


def show(page, index: int) -> None:
    state = {"base": {"kind": "item", "index": index}, "moves": {}, "dims": {}, "label": None}
    page.evaluate(
        """state => new Promise((done) => {
          addEventListener("hashchange", () => setTimeout(done), { once: true });
          location.hash = btoa(JSON.stringify(state)).replace(/=+$/, "");
        })""",
        state,
    )


def test_a_training_is_begun_watched_listed_and_stopped(open_page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = opened(open_page, "g")
    page.get_by_text("A zip", exact=True).locator("..").locator("input").check()
    page.get_by_role("button", name="Train", exact=True).click()
    page.locator(".panel-train .error", has_text="Choose the images first").wait_for()
    page.get_by_text("Here already", exact=True).locator("..").locator("input").check()
    page.get_by_label("Recipe").select_option("vae-mlp")
    page.get_by_label("Minutes, about").fill("30")
    page.get_by_role("button", name="Train", exact=True).click()
    page.locator(".training .curve path").first.wait_for(timeout=SLOW)
    page.reload()  # it goes on, and the page finds it
    page.wait_for_selector("#picture[data-painted]")
    stop = page.get_by_role("button", name="Stop and save")
    stop.wait_for(timeout=SLOW)
    page.keyboard.press("j")
    job = page.locator(".job", has_text="Train on").first
    job.locator("summary").click()
    page.keyboard.press("g")
    stop.click()
    page.locator(".training .job-says", has_text="Cancelled").wait_for(timeout=SLOW)
    assert page.locator(".training code").inner_text().startswith("preimage train --resume")


@pytest.mark.parametrize("key", "ienfcdgj")
def test_panels_fit_a_phone_in_the_dark(open_page, key):
    phone = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
    page = opened(open_page, key, **phone)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = page.evaluate(
        "[...document.querySelectorAll('#panel .panel-body:not([hidden]) *')]"
        ".filter(one => one.checkVisibility())"
        ".filter(one => one.getBoundingClientRect().right > innerWidth + 1)"
        ".map(one => one.outerHTML.slice(0, 80))"
    )
    assert wide == []
    unlabelled = page.evaluate(
        "[...document.querySelectorAll('#panel button, #panel input, #panel select')]"
        ".filter(one => one.checkVisibility() && !(one.ariaLabel || one.labels?.length ||"
        " one.textContent.trim() || one.title)).map(one => one.outerHTML.slice(0, 80))"
    )
    assert unlabelled == []


def test_the_view_shows_what_the_server_draws(open_page):
    page = opened(open_page, "e")
    assert abs(picture(page) - rendered(page, state_of(page))).max() <= 1
