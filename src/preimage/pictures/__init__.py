"""Arrays to pictures: sheets of images, plots and a page that holds them; callers write files."""

from preimage.pictures.frames import animation, check_format, contact_sheet
from preimage.pictures.page import Figure, Section, Table, page
from preimage.pictures.plots import Plot, bars, curves, histogram, scatter
from preimage.pictures.sheet import data_uri, manifold, pairs, png, sheet

__all__ = [
    "Figure",
    "Plot",
    "Section",
    "Table",
    "animation",
    "bars",
    "check_format",
    "contact_sheet",
    "curves",
    "data_uri",
    "histogram",
    "manifold",
    "page",
    "pairs",
    "png",
    "scatter",
    "sheet",
]
