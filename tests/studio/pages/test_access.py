"""The page for everyone: names, keys, contrast, small screens, and text that is only text."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from seeing import HOSTILE, PATIENCE, until

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
NAMELESS, CONTRAST = ((HERE / name).read_text() for name in ("nameless.js", "contrast.js"))


def tabs(page) -> list[str]:
    return page.locator(".tab:visible").evaluate_all("all => all.map(one => one.id)")


def settled(page, faults: str) -> list[str]:
    """What is still wrong when a panel had the time to fill."""
    end = time.monotonic() + PATIENCE
    while (found := page.evaluate(faults)) and time.monotonic() < end:
        page.wait_for_timeout(100)
    return found


def test_everything_in_every_panel_has_a_name(page):
    for tab in tabs(page):
        page.locator(f"#{tab}").click()
        page.wait_for_timeout(150)
        page.evaluate("document.querySelectorAll('#panel details').forEach(one => one.open = true)")
        assert settled(page, NAMELESS) == [], tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_told_from_its_ground(open_page, scheme):
    page = open_page(color_scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert settled(page, CONTRAST) == []


def test_the_theme_is_turned_and_remembered(open_page):
    page = open_page(color_scheme="light")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    page.wait_for_selector("#map[data-points]")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_nothing_is_wider_than_a_phone(open_page):
    page = open_page(viewport={"width": 390, "height": 844})
    for tab in tabs(page):
        page.locator(f"#{tab}").click()
        page.wait_for_timeout(150)
        wide = page.evaluate(
            """() => [...document.querySelectorAll("body, .bar, .view, .viewbar, .panel, .map-top")]
              .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
              .map((one) => `${one.className} ${one.scrollWidth} > ${one.clientWidth}`)"""
        )
        assert wide == [], tab


def test_every_panel_is_reached_by_its_key_and_the_focus_is_seen(page):
    for tab in tabs(page):
        key = re.search(r"\((.)\)$", page.get_attribute(f"#{tab}", "title"))[1]
        page.keyboard.press(key.lower())
        assert page.get_attribute(f"#{tab}", "aria-selected") == "true"
    page.locator("#tab-sliders").focus()
    page.keyboard.press("ArrowDown")
    seen = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert (page.evaluate("document.activeElement.role"), seen) == ("tab", "solid")


def test_the_sheet_of_keys_opens_and_closes(page):
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Help")
    assert sheet.is_visible()
    text = sheet.inner_text()
    assert all(words in text for words in ("Undo", "Lasso", "Hold to see the original", "Search"))
    page.keyboard.press("Escape")
    assert sheet.is_hidden()


def test_keys_typed_into_a_field_are_only_text(page):
    page.keyboard.press("/")
    page.keyboard.type("sbk?")
    assert page.locator(".find input").input_value() == "sbk?"
    assert page.get_by_role("dialog", name="Help").is_hidden()


def test_names_and_labels_are_shown_as_text(open_page):
    page = open_page("hostile")
    until(page, "document.querySelector('.legend').textContent.includes('onerror')")
    assert page.locator(".legend img, .legend b").count() == 0
    assert HOSTILE in page.inner_text(".legend")
    page.keyboard.press("m")
    page.keyboard.press("0")
    for _ in range(40):  # over the images, until one is met
        page.keyboard.press("ArrowRight")
        if page.locator(".hover-card").is_visible():
            break
    page.keyboard.press("/")
    page.keyboard.type("<script")
    until(page, "document.querySelector('.find .count').textContent !== ''")
    assert page.locator("script:not([src])").count() == 0
    assert "hacked" not in page.title()
