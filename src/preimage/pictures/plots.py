"""Plots in one quiet style, as SVG that takes the colours of its page, or as PNG.

Matplotlib is used through its objects and never through `pyplot`, so that nothing is shared
between threads and no window is ever asked for. The same data give the same bytes.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

# Ten colours that colour-blind readers tell apart, on white and on black:
# Petroff, "Accessible color sequences for data visualization", 2021.
PALETTE = (
    "#3f90da",
    "#e76300",
    "#832db6",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#a96b59",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
INK = "#27303b"  # in SVG it becomes the text colour of the page around it

STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout on every machine
    "font.size": 10,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "preimage",
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$"
    "xtick.color": INK,
    "ytick.color": INK,
}
_SPARSE = 40  # a line of at most so many points shows each of them
_MANY = 500  # above so many points a scatter is drawn as pixels, for the size of the file


@dataclass(frozen=True)
class Plot:
    """A finished plot and what it shows in words."""

    canvas: Canvas
    alt: str

    def svg(self) -> str:
        """An `<svg>` element without prolog, date or ids of its own, transparent."""
        text = self._saved("svg", transparent=True, metadata={"Date": None}).decode()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
        text = re.sub(r"<style.*?</style>\s*", "", text, flags=re.DOTALL)  # would style the page
        text = text.replace("<svg ", '<svg stroke-linejoin="round" ', 1)
        text = re.sub(r'<g id="[^"]*"', "<g", text)
        text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text)
        return text.replace(INK, "currentColor").strip()

    def png(self, *, dpi: int = 160) -> bytes:
        """The bytes of a PNG file, on white."""
        return self._saved("png", dpi=dpi, facecolor="white", metadata={"Software": None})

    def _saved(self, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # the page's own fonts have it
            self.canvas.savefig(buffer, format=kind, **options)
        return buffer.getvalue()


def curves(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],  # name → (steps, values)
    *,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    title: str | None = None,
) -> Plot:
    """Lines over one axis, such as training and held-out loss; `log` is for the values."""
    with matplotlib.rc_context(STYLE):
        canvas, axes = blank(xlabel, ylabel, title)
        for i, (name, (steps, values)) in enumerate(series.items()):
            steps, values = np.asarray(steps, float), np.asarray(values, float)
            axes.plot(
                steps,
                values,
                color=PALETTE[i % len(PALETTE)],
                linewidth=1.6,
                marker="o" if len(steps) <= _SPARSE else None,
                markersize=3.5,
                label=plain(name),
            )
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
            axes.yaxis.set_minor_formatter(NullFormatter())
        _light_grid(axes)
        if len(series) > 1:
            axes.legend()
    return finished(canvas, f"{ylabel} over {xlabel}: {', '.join(series)}")


def scatter(
    points: ArrayLike,  # (N, 2)
    labels: ArrayLike | None = None,  # (N,) indices into `classes`
    *,
    classes: Sequence[str] = (),
    xlabel: str = "",
    ylabel: str = "",
    title: str | None = None,
) -> Plot:
    """A map of points, coloured by class, with each class's name at its median."""
    points = np.asarray(points, float)
    labels = np.zeros(len(points), int) if labels is None else np.asarray(labels)
    with matplotlib.rc_context(STYLE):
        canvas, axes = blank(xlabel, ylabel, title, size=(5.6, 4.8))
        for k in map(int, np.unique(labels)):
            chosen = points[labels == k]
            axes.scatter(
                chosen[:, 0],
                chosen[:, 1],
                s=float(np.clip(8000 / len(points), 3, 18)),
                color=PALETTE[k % len(PALETTE)],
                alpha=0.75,
                linewidths=0,
                rasterized=len(points) > _MANY,
            )
            if classes:
                x, y = np.median(chosen, axis=0)
                axes.text(x, y, plain(classes[k]), weight="bold", ha="center", va="center")
        _light_grid(axes, "both")
    between = f" of {len(classes)} classes: {', '.join(classes)}" if classes else ""
    return finished(canvas, f"A map of {len(points)} points{between}")


def bars(
    series: Mapping[str, Sequence[float]],  # name → one value for each of `labels`
    labels: Sequence[str],
    *,
    ylabel: str,
    xlabel: str = "",
    title: str | None = None,
) -> Plot:
    """Groups of upright bars, one group for each label and one bar in it for each series."""
    with matplotlib.rc_context(STYLE):
        canvas, axes = blank(xlabel, ylabel, title)
        places = np.arange(len(labels))
        width = 0.8 / len(series)
        for i, (name, values) in enumerate(series.items()):
            offset = (i - (len(series) - 1) / 2) * width
            colour = PALETTE[i % len(PALETTE)]
            axes.bar(places + offset, values, width * 0.92, color=colour, label=plain(name))
        crowded = sum(len(label) for label in labels) > 60
        axes.set_xticks(places, [plain(label) for label in labels], rotation=45 * crowded)
        if crowded:
            for tick in axes.get_xticklabels():
                tick.set(ha="right", rotation_mode="anchor")
        _light_grid(axes)
        if len(series) > 1:
            axes.legend()
    return finished(canvas, f"{ylabel} of {', '.join(labels)}: {', '.join(series)}")


def histogram(
    series: Mapping[str, ArrayLike],  # name → values
    *,
    xlabel: str,
    ylabel: str = "share",
    bins: int = 40,
    title: str | None = None,
) -> Plot:
    """How values are spread: for each series the share of its finite values in each bin."""
    finite = {name: _finite(values) for name, values in series.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(finite.values())), bins)
    with matplotlib.rc_context(STYLE):
        canvas, axes = blank(xlabel, ylabel, title)
        for i, (name, values) in enumerate(finite.items()):
            shares = np.histogram(values, edges)[0] / max(len(values), 1)
            colour = PALETTE[i % len(PALETTE)]
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(shares, edges, color=colour, linewidth=1.4, label=plain(name))
        _light_grid(axes)
        if len(series) > 1:
            axes.legend()
    return finished(canvas, f"How {xlabel} is spread: {', '.join(series)}")


def blank(
    xlabel: str, ylabel: str, title: str | None, *, size: tuple[float, float] = (5.6, 3.3)
) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=size, layout="constrained")
    axes = canvas.add_subplot()
    axes.set(xlabel=plain(xlabel), ylabel=plain(ylabel), title=plain(title or ""))
    return canvas, axes


def finished(canvas: Canvas, alt: str) -> Plot:
    """Lay the plot out once and for all; each drawing would move things by a hair otherwise."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    return Plot(canvas, alt)


def _light_grid(axes: Axes, which: str = "y") -> None:
    axes.grid(axis=which, color=INK, alpha=0.13, linewidth=0.7)  # pyright: ignore[reportArgumentType]
    axes.tick_params(length=0)
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(6))


def _finite(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, float).ravel()
    return values[np.isfinite(values)]


def _power(value: float) -> str:
    """A tick of a logarithmic axis: `10⁻⁴`, without matplotlib's own mathematics."""
    exponent = round(math.log10(value))
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def plain(text: str) -> str:
    """Text as people's files may name it, without what an SVG or a legend cannot hold."""
    text = "".join(c for c in text if c.isprintable())
    return text if not text.startswith("_") else "\u200b" + text  # "_" hides a legend's entry
