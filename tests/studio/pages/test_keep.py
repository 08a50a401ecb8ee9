"""Keep: the gallery, files, the command line and the link."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from seeing import pixels, rendered, settles_at, state_of, until

from preimage.cli.main import run

pytestmark = pytest.mark.slow
STATE = {"base": {"kind": "sample", "seed": 8}, "moves": {}, "dims": {"2": 1.5}, "label": None}


@pytest.fixture
def keep(open_page):
    page = open_page(state=STATE)
    page.keyboard.press("k")
    return page


def test_what_is_kept_survives_a_reload_and_is_shown_again(keep):
    keep.get_by_label("Name of the picture").fill("A <b>fine</b> one")
    keep.get_by_role("button", name="Keep it").click()
    keep.wait_for_selector(".keepsake")
    keep.keyboard.press("Escape")
    keep.locator("#view").get_by_role("button", name="Random").click()
    keep.reload()
    keep.wait_for_selector(".keepsake")
    tile = keep.get_by_role("button", name="A <b>fine</b> one", exact=True)
    assert tile.locator("b").count() == 0
    assert pixels(
        keep.request.get(tile.locator("img").evaluate("image => image.src")).body()
    ).shape == (8, 8, 3)
    tile.click()
    settles_at(keep, STATE)
    keep.get_by_role("button", name="Remove A <b>fine</b> one").click()
    until(keep, "!document.querySelector('.keepsake')")


def test_the_picture_and_its_latents_are_saved(keep):
    with keep.expect_download() as download:
        keep.get_by_title("Save this as PNG").click()
    shown = pixels(download.value.path().read_bytes())
    assert np.abs(shown - rendered(keep, STATE)).max() == 0
    with keep.expect_download() as download:
        keep.get_by_title("Save this as Latents").click()
    with np.load(download.value.path()) as saved:
        assert any(array.size == 8 for array in saved.values())


def test_the_command_line_draws_the_same(keep, tmp_path, monkeypatch):
    until(keep, "document.querySelector('.code code').textContent.startsWith('preimage')")
    words = shlex.split(keep.inner_text(".code code >> nth=0"))
    monkeypatch.chdir(tmp_path)
    assert run(words[1:]) == 0
    made = pixels((tmp_path / "picture.png").read_bytes())
    assert np.abs(made - rendered(keep, STATE)).max() <= 1


def test_the_link_opens_the_same_picture(keep, open_page):
    state_of(keep)
    link = keep.inner_text(".code code >> nth=1")
    other = open_page()
    other.goto(link)
    other.reload()
    other.wait_for_selector("#map[data-points]")
    settles_at(other, STATE)
