"""The demo's report at a hundredth of its training: everything is there, and nothing is fetched."""

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

import preimage as pi
from preimage.demo import run_demo
from preimage.demo.jobs import JOBS
from preimage.demo.sections import SECTIONS

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.headings, self.images, self.links, self.sections = [], [], [], 0
        self._in_heading = False

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.sections += tag == "section"
        self._in_heading = tag == "h2"
        self.images += [attrs["src"]] if tag == "img" else []
        self.links += [v for k, v in attrs.items() if k in ("src", "href", "action", "data")]
        assert tag not in ("script", "iframe", "object", "link")

    def handle_data(self, data):
        if self._in_heading:
            self.headings.append(data)
        self._in_heading = False


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    steps = []
    path = run_demo(out, effort=0.005, progress=steps.append)
    page = Page()
    text = path.read_text(encoding="utf-8")
    page.feed(text)
    return out, text, page, steps


def test_every_section_is_there(made):
    _, _, page, _ = made
    assert page.sections == len(SECTIONS)
    assert page.headings == [
        "The data",
        "Learning",
        "There and back",
        "Digits nobody wrote",
        "Faces nobody drew",
        "Between two images",
        "The whole space",
        "The code behind an image",
        "One thing changed, and nothing else",
        "What is missing, filled in",
        "More like this",
        "What is wrong with this one",
        "VAE against GAN",
        "How good is it?",
    ]


def test_the_page_asks_for_nothing(made):
    _, text, page, _ = made
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert not re.search(r"url\((?!['\"]?(data:|#))", text)


def test_the_pictures_open_and_show_something(made):
    page = made[2]
    assert len(page.images) >= 11
    for source in page.images:
        image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        low, high = image.convert("L").getextrema()
        assert high - low > 100


def test_the_manifold_has_all_its_codes(made):
    text = made[1]
    assert "15 × 15 codes" in text
    assert "5% to 95%" in text


def test_the_numbers_are_those_of_a_comparison(made):
    text = made[1]
    for name in ("Sharpness", "Coverage", "Latent continuity", "Reconstruction error"):
        assert name in text


def test_runs_are_kept_and_can_be_used(made):
    out = made[0]
    for job in JOBS:
        model = pi.load(out / "runs" / job.name)
        assert model.sample(2).shape == (2, *model.data.shape)


def test_every_job_is_followed_to_its_end(made):
    steps = made[3]
    for job in JOBS:
        mine = [step for step in steps if step.stage == job.title]
        assert mine[-1].step == mine[-1].total
    assert steps[-1].stage == "report"
    assert steps[-1].step == steps[-1].total


def test_a_folder_in_use_is_refused(made):
    with pytest.raises(pi.InputError, match="exists already"):
        run_demo(made[0])


def test_the_page_says_where_the_time_went(made):
    _, text, _, _ = made
    told = re.search(r"Of the time took (.*?)\.</", text, re.S)
    assert told is not None
    assert "VAE on faces" in told[1]
    assert "The code behind an image" in told[1]
