"""Plots draw what they were given, the same each time, whatever things are called."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from preimage.pictures import bars, curves, histogram, scatter

HOSTILE = ["</text><script>alert(1)</script>", "_hidden", "$x^$", "a\x00b\x1b", "犬", '"&<']


def all_plots(names):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 2))
    labels = np.arange(60) % len(names)
    steps = np.arange(50)
    return [
        curves({n: (steps, np.exp(-steps / 9) + i) for i, n in enumerate(names)}, xlabel="step",
               ylabel=names[0], title=names[1]),
        scatter(points, labels, classes=names, xlabel=names[2]),
        bars({n: rng.random(len(names)) for n in names}, names, ylabel="share"),
        histogram({n: rng.normal(size=99) for n in names}, xlabel="distance"),
    ]  # fmt: skip


def test_the_same_data_give_the_same_bytes():
    for one, two in zip(all_plots(["a", "b", "c"]), all_plots(["a", "b", "c"]), strict=True):
        assert one.svg() == one.svg() == two.svg()
        assert one.png() == two.png()


@pytest.mark.filterwarnings("error")
def test_names_come_from_people():
    for plot in all_plots(HOSTILE):
        svg = plot.svg()
        ElementTree.fromstring(svg)  # well formed: nothing in a name opened or closed an element
        assert "<script" not in svg
        said = "".join(ElementTree.fromstring(svg).itertext())
        assert "alert(1)" in said
        assert "_hidden" in said
        assert "$x^$" in said


def test_svg_stands_in_any_page():
    for plot in all_plots(["a", "b", "c"]):
        svg = plot.svg()
        assert svg.startswith("<svg ")
        assert svg.endswith("</svg>")
        assert "<style" not in svg
        assert "<metadata" not in svg
        assert "currentColor" in svg
        assert not re.search(r'(href|src)="(?!#|data:)', svg)  # asks the network for nothing


def test_steps_are_counted_in_whole_numbers():
    svg = curves({"a": (range(18), range(0, 1800, 100))}, xlabel="step", ylabel="loss").svg()
    said = [text for text in ElementTree.fromstring(svg).itertext() if text.strip()]
    assert not any(".5" in text for text in said)


def test_a_line_goes_through_its_points():
    steps, values = [0, 10, 20, 40], [4.0, 3.0, 5.0, 1.0]
    axes = curves({"training": (steps, values)}, xlabel="step", ylabel="loss").canvas.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), np.c_[steps, values])


def test_log_is_of_the_values():
    plot = curves({"loss": ([1, 2, 3], [1, 100, 1e4])}, xlabel="step", ylabel="loss", log=True)
    assert (plot.canvas.axes[0].get_xscale(), plot.canvas.axes[0].get_yscale()) == ("linear", "log")


def test_histogram_shares_add_up_to_one_on_common_edges():
    values = {"a": [0, 1, 2, np.nan, np.inf], "b": np.linspace(-3, 3, 100)}
    axes = histogram(values, xlabel="x", bins=7).canvas.axes[0]
    filled, _, other, _ = axes.patches
    assert filled.get_data().values.sum() == pytest.approx(1)
    np.testing.assert_array_equal(filled.get_data().edges, other.get_data().edges)


def test_a_large_scatter_is_drawn_as_pixels():
    many = np.random.default_rng(0).normal(size=(20_000, 2))
    assert len(scatter(many).svg()) < 400_000


def test_png_is_an_image_on_white():
    plot = curves({"loss": ([1, 2], [2, 1])}, xlabel="step", ylabel="loss")
    image = Image.open(io.BytesIO(plot.png())).convert("RGBA")
    assert image.getpixel((0, 0)) == (255, 255, 255, 255)


def test_a_logarithmic_axis_is_labelled_in_plain_powers():
    plot = curves({"a": ([0, 1, 2], [1.0, 1e-4, 1e-8])}, xlabel="x", ylabel="y", log=True)
    assert "10⁻⁴" in plot.svg()
    assert "mathdefault" not in plot.svg()
