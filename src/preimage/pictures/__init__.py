"""Arrays to pictures: sheets of images, plots and a page that holds them; callers write files.

Plots are imported when they are first used: who writes a PNG waits for no plotting library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preimage.pictures.frames import animation, check_format, contact_sheet
from preimage.pictures.page import Figure, Section, Table, page
from preimage.pictures.sheet import data_uri, manifold, pairs, png, sheet

if TYPE_CHECKING:
    from preimage.pictures.plots import Plot, bars, curves, histogram, scatter

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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from preimage.pictures import plots

    return getattr(plots, name)
