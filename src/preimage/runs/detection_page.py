"""The page of a detection: what is called anomalous, the worst first, and how scores lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from preimage.applications.anomaly.inspection import Inspector
from preimage.applications.anomaly.photos import label
from preimage.core.words import counted
from preimage.pictures import Figure, Section, Table, histogram, page

SHOWN = 24  # photographs on the page
LISTED = 200  # in its table
NAMED = 10  # files that could not be used, by name


def detection_page(
    inspector: Inspector,
    worst: Sequence[Mapping[str, Any]],  # rows, the worst first
    folder: Path,  # that their files are in
    sheet: Image.Image,  # of explanations
    *,
    skipped: Sequence[Mapping[str, str]] = (),
) -> str:
    """The whole page as text."""
    bad = [row for row in worst if row["mask"] is not None]
    sections = [
        Section(
            "What stands out",
            guarantee(inspector) + " Heat is where a picture differs from good ones, and boxes "
            "hold what differs most.",
            [_figure(row, folder) for row in worst[:SHOWN]],
            columns=3,
        ),
        Section(
            "Why",
            "The part of each picture that is oddest, as the detector saw it; what the model made "
            "of it, where a model took part; the difference, and the heat.",
            [Figure("The oddest parts, the worst first.", sheet, pixelated=True)],
        ),
        Section(
            "How odd they all are",
            f"Above {inspector.threshold:.3g} a picture is called anomalous.",
            [Figure("", _spread(inspector, worst))],
            Table(
                ("picture", "score", "p", "verdict", "area"),
                [
                    (_name(r), float(r["score"]), float(r["p_value"]), r["verdict"], r["area"])
                    for r in worst[:LISTED]
                ],
                caption=_left_out(worst, skipped),
            ),
        ),
    ]
    return page(
        "Anomalies",
        f"{counted(len(worst), 'picture')} looked at, {len(bad)} called anomalous.",
        sections,
        facts=(
            (f"{len(bad):,}", "anomalous"),
            (f"{len(worst) - len(bad):,}", "good"),
            (f"{len(inspector.good):,}", "good ones held out for the threshold"),
        ),
        footer="Made by preimage anomaly score.",
    )


def guarantee(inspector: Inspector) -> str:
    """What the threshold promises, in words."""
    n, rate = len(inspector.good), inspector.false_alarms
    return (
        f"The threshold was set on {n:,} good images held out: of further good images like these "
        f"no more than {100 * rate:.3g} % are called anomalous, on average over the choice of "
        "those held out."
    )


def _figure(row: Mapping[str, Any], folder: Path) -> Figure:
    with Image.open(folder / row["heat"]) as image:
        image.load()
    regions = counted(len(row["regions"]), "region")
    where = f", {regions} of {row['area']:,} pixels" if row["regions"] else ""
    words = f"{_name(row)}: {row['verdict']}, p = {row['p_value']:.2g}{where}"
    image.thumbnail((360, 360))
    return Figure(words, image, pixelated=False)


def _spread(inspector: Inspector, rows: Sequence[Mapping[str, Any]]) -> Any:
    series = {
        "good, held out": inspector.good.tolist(),
        "these": [row["score"] for row in rows],
    }
    return histogram(series, xlabel="score")


def _name(row: Mapping[str, Any]) -> str:
    return label(row["name"], row["page"], row["pages"])


def _left_out(rows: Sequence[Any], skipped: Sequence[Mapping[str, str]]) -> str:
    parts = []
    if len(rows) > LISTED:
        parts.append(f"The worst {LISTED} of {len(rows):,}; scores.csv has them all.")
    if skipped:
        names = [row["name"] for row in skipped[:NAMED]] + ["…"] * (len(skipped) > NAMED)
        parts.append(f"{counted(len(skipped), 'file')} could not be used: {', '.join(names)}.")
    return " ".join(parts)
