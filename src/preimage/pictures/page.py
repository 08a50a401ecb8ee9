"""A report as one HTML page: pictures, plots and tables, with everything it needs inside.

The page asks the network for nothing and runs no script. All text is escaped: names of files and
classes come from people. Only an SVG made by `plots` is put in as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from PIL import Image

from preimage.pictures.sheet import data_uri

if TYPE_CHECKING:
    from preimage.pictures.plots import Plot

Cell = str | int | float | None


@dataclass(frozen=True)
class Figure:
    """A picture and the words under it; `alt` says what is in it to those who cannot see it."""

    caption: str
    picture: Image.Image | Plot | Mapping[str, Image.Image]  # a mapping: rows, each with its name
    alt: str = ""  # the caption, or the plot's own words, where empty
    pixelated: bool = True  # show the pixels of an image sharply when a screen enlarges it
    wide: bool = False  # let a plot take all the width there is


@dataclass(frozen=True)
class Table:
    """Rows of cells: numbers stand to the right, None is a dash."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """One thing the report shows, with the sentence that says what to see in it."""

    title: str
    sentence: str
    figures: Sequence[Figure] = ()
    table: Table | None = None
    id: str | None = None  # the anchor; made from the title where None
    command: str | None = None  # what to type to get the same
    columns: int = 1  # figures side by side, where the screen is wide enough


def page(
    title: str,
    lead: str,
    sections: Sequence[Section],
    *,
    cover: Figure | None = None,  # a picture above everything
    facts: Sequence[tuple[str, str]] = (),  # (figure, what it counts): ("1,797", "digits")
    footer: str = "",
) -> str:
    """The whole page as text; write it as UTF-8."""
    anchors = _anchors(sections)
    links = "".join(
        f'<a href="#{anchor}">{_text(section.title)}</a>'
        for anchor, section in zip(anchors, sections, strict=True)
    )
    counted = "".join(
        f"<div><dd>{_text(value)}</dd><dt>{_text(name)}</dt></div>" for value, name in facts
    )
    body = "\n".join(
        _section(section, anchor) for anchor, section in zip(anchors, sections, strict=True)
    )
    parts = [
        f"<header><h1>{_text(title)}</h1>",
        f'<p class="lead">{_text(lead)}</p>',
        f'<dl class="facts">{counted}</dl>' if facts else "",
        _figure(cover) if cover else "",
        "</header>",
        f'<nav aria-label="Sections"><div>{links}</div></nav>' if sections else "",
        f"<main>\n{body}\n</main>",
        f"<footer><p>{_text(footer)}</p></footer>" if footer else "",
    ]
    style = resources.files("preimage.pictures").joinpath("page.css").read_text("utf-8")
    return _DOCUMENT.format(
        title=_text(title), style=style, body="\n".join(part for part in parts if part)
    )


# The policy lets the page use its own styles and inlined images, and nothing else.
_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _section(section: Section, anchor: str) -> str:
    figures = "\n".join(_figure(figure) for figure in section.figures)
    parts = [
        f'<section id="{anchor}">',
        f"<h2>{_text(section.title)}</h2>",
        f"<p>{_text(section.sentence)}</p>",
        f'<div class="figures" style="--columns:{section.columns:d}">\n{figures}\n</div>'
        if section.figures
        else "",
        _table(section.table) if section.table else "",
        f"<pre><code>{_text(section.command)}</code></pre>" if section.command else "",
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _figure(figure: Figure) -> str:
    picture = figure.picture
    from preimage.pictures.plots import Plot

    if isinstance(picture, Plot):
        alt = _text(figure.alt or picture.alt)
        look = "plot wide" if figure.wide else "plot"
        shown = f'<div class="{look}" role="img" aria-label="{alt}">{picture.svg()}</div>'
    elif isinstance(picture, Mapping):
        rows = (
            f"<span>{_text(name)}</span>{_image(row, name, figure.pixelated)}"
            for name, row in picture.items()
        )
        shown = f'<div class="rows">{"".join(rows)}</div>'
    else:
        shown = _image(picture, figure.alt or figure.caption, figure.pixelated)
    caption = f"<figcaption>{_text(figure.caption)}</figcaption>" if figure.caption else ""
    return f"<figure>{shown}{caption}</figure>"


def _image(image: Image.Image, alt: str, pixelated: bool) -> str:
    look = ' class="pixelated"' if pixelated else ""
    return (
        f'<img src="{data_uri(image)}" alt="{_text(alt)}"'
        f' width="{image.width}" height="{image.height}"{look}>'
    )


def _table(table: Table) -> str:
    caption = f"<caption>{_text(table.caption)}</caption>" if table.caption else ""
    numeric = [
        all(isinstance(row[i], int | float | None) for row in table.rows)
        for i in range(len(table.header))
    ]
    head = "".join(
        f'<th scope="col"{_right(right)}>{_text(name)}</th>'
        for name, right in zip(table.header, numeric, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(
            f"<td{_right(right)}>{_text(_shown(cell))}</td>"
            for cell, right in zip(row, numeric, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="table"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _right(right: bool) -> str:
    return ' class="number"' if right else ""


def _shown(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.4g}" if abs(cell) < 1e4 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _text(text: str) -> str:
    """Escaped text, without what UTF-8 cannot hold (a file's name may be any bytes)."""
    return escape(text.encode("utf-8", "replace").decode("utf-8"), quote=True)


def _anchors(sections: Sequence[Section]) -> list[str]:
    """One id for each section, of letters, digits and hyphens, all different."""
    anchors: list[str] = []
    for section in sections:
        stem = re.sub(r"\W+", "-", section.id or section.title.lower()).strip("-") or "section"
        anchor, count = stem, 2
        while anchor in anchors:
            anchor, count = f"{stem}-{count}", count + 1
        anchors.append(anchor)
    return anchors
