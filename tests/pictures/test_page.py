"""The page carries everything it shows and nothing a name could smuggle in."""

from html.parser import HTMLParser

import numpy as np

from preimage.pictures import Figure, Section, Table, curves, page, sheet

HOSTILE = """<img src=x onerror=alert(1)>'"&</style><script>alert(1)</script>"""
TEXT_VOID = {"meta", "img", "br", "link", "input"}


class Reader(HTMLParser):
    """Elements with their attributes, the text, and whether every element was closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in TEXT_VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def report(text="plain"):
    picture = sheet(np.zeros((4, 1, 8, 8)))
    plot = curves({text: ([1, 2, 3], [3, 2, 1])}, xlabel=text, ylabel=text)
    sections = [
        Section(text, text, [Figure(text, picture), Figure(text, plot, alt=text)], columns=2),
        Section(text, text, [Figure(text, {text: picture, "b": picture})], id=text),
        Section("Numbers", text, table=Table([text, "n"], [[text, 1]], text), command=text),
    ]
    facts = [(text, text)]
    return page(text, text, sections, cover=Figure("", picture, text), facts=facts, footer=text)


def test_every_text_arrives_and_none_becomes_markup():
    plain, hostile = Reader(report("plain")), Reader(report(HOSTILE))
    assert [tag for tag, _ in plain.elements] == [tag for tag, _ in hostile.elements]
    assert not plain.open
    assert not hostile.open
    assert hostile.text.count(HOSTILE) == plain.text.count("plain")
    assert not hostile.all("script")
    assert all(not name.startswith("on") for _, a in hostile.elements for name in a)
    assert hostile.all("img")[0]["alt"] == HOSTILE


def test_the_page_asks_the_network_for_nothing():
    for _, attributes in Reader(report()).elements:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
    assert "url(http" not in report()
    assert "@import" not in report()


def test_the_navigation_leads_to_each_section():
    reader = Reader(report(HOSTILE))
    anchors = [section["id"] for section in reader.all("section")]
    assert len(set(anchors)) == 3
    assert [link["href"] for link in reader.all("a")] == ["#" + anchor for anchor in anchors]


def test_every_picture_says_what_it_shows():
    reader = Reader(report())
    assert all(image["alt"] for image in reader.all("img"))
    plots = [div for div in reader.all("div") if div.get("role") == "img"]
    assert all(div["aria-label"] for div in plots)


def test_names_that_utf8_cannot_hold_are_written_all_the_same():
    report("caf\udce9.png").encode("utf-8")


def test_numbers_in_tables():
    table = Table(["model", "score", "n"], [["vae", 0.61234, 12345], ["gan", None, 7]])
    reader = Reader(page("t", "l", [Section("s", "s", table=table)]))
    assert [cell.get("class") for cell in reader.all("td")] == [None, "number", "number"] * 2
    for shown in ("0.6123", "12,345", "–"):
        assert shown in reader.text


def test_the_same_report_gives_the_same_page():
    assert report() == report()
