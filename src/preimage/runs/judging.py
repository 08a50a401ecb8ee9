"""The report of a detector that was judged: its scores, how they lie, and what it got wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from preimage.applications.anomaly.inspection import Inspector
from preimage.applications.anomaly.judging import Judgement, Looked
from preimage.applications.anomaly.photos import Pictures
from preimage.core.words import counted
from preimage.metrics.measure import Measure
from preimage.pictures import Figure, Section, Table, histogram, page, pairs
from preimage.runs.detecting import warmed
from preimage.runs.detection_page import guarantee
from preimage.runs.files import readable_errors, write_bytes, write_json

MaskOf = Callable[[int, tuple[int, int]], np.ndarray]
SHOWN = 8  # photographs in a figure
SIDE = 144  # pixels
NOTED = 5  # notes on the page; the JSON has all


def save_judgement(
    out: Path,
    found: Judgement,
    inspector: Inspector,
    good: Pictures,
    bad: Pictures,
    mask_of: MaskOf | None,
) -> Path:
    """Write `report.html` and `evaluation.json`; returns the page's path."""
    with readable_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    write_json(out / "evaluation.json", found.to_json())
    rows = {
        "anomalies, the oddest": _some(found, lambda r: r.kind != "good" and r.anomalous, 1),
        "anomalies that were missed": _some(
            found, lambda r: r.kind != "good" and not r.anomalous, -1
        ),
        "false alarms": _some(found, lambda r: r.kind == "good" and r.anomalous, 1),
    }
    figures = [
        Figure(
            f"{name.capitalize()}: {len(some)} of {counted(count, 'picture')}.",
            _drawn(some, inspector, good, bad, mask_of),
            pixelated=False,
        )
        for name, (some, count) in rows.items()
        if some
    ]
    spread = {
        "good": [r.score for r in found.looked if r.kind == "good"],
        "anomalous": [r.score for r in found.looked if r.kind != "good"],
    }
    sections = [
        Section(
            "How well it tells them apart",
            guarantee(inspector) + " Intervals are of 95 %, over images.",
            table=Table(("score", "value", "95 % interval", "against chance"), judged_rows(found)),
        ),
        Section(
            "Where scores lie",
            f"Above {inspector.threshold:.3g} a picture is called anomalous.",
            [Figure("", histogram(spread, xlabel="score"))],
            Table(
                ("what is wrong", "image AUROC", "95 % interval", "pictures"),
                [
                    (kind, float(m.value), interval(m), sum(r.kind == kind for r in found.looked))
                    for kind, m in found.kinds.items()
                ],
            ),
        ),
        Section("What it sees, and what it does not", "Heat, and masks where known.", figures),
    ]
    text = page(
        "A detector judged",
        " ".join(
            [
                f"{len(spread['good']):,} good pictures and {len(spread['anomalous']):,} others.",
                *(f"{note[0].upper()}{note[1:]}." for note in found.notes[:NOTED]),
            ]
        ),
        sections,
        footer="Made by preimage anomaly evaluate.",
    )
    write_bytes(out / "report.html", text.encode())
    return out / "report.html"


def judged_rows(found: Judgement) -> list[tuple[str, float, str, str]]:
    """Each score with its interval and its word, for a table."""
    return [
        (score.name, float(score.measure.value), interval(score.measure), score.word)
        for score in found.scores.values()
    ]


def interval(measure: Measure) -> str:
    return f"{measure.low:.3f} to {measure.high:.3f}"


def _some(
    found: Judgement, chosen: Callable[[Looked], bool], order: int
) -> tuple[Sequence[Looked], int]:
    """The first few by score, and how many there are."""
    rows = sorted((r for r in found.looked if chosen(r)), key=lambda r: -order * r.score)
    return rows[:SHOWN], len(rows)


def _drawn(
    rows: Sequence[Looked], inspector: Inspector, good: Pictures, bad: Pictures, mask_of: Any
) -> Image.Image:
    """Photographs, each under its heat map, and their masks."""
    shown: dict[str, list[torch.Tensor]] = {"picture": [], "heat": []}
    for row in rows:
        photo = (good if row.kind == "good" else bad).open(row.index)
        finding = inspector.inspect(photo)
        height, width = photo.size
        plain = Image.fromarray(photo.shown((0, 0, width, height), (height, width)))
        shown["picture"].append(_small(plain))
        shown["heat"].append(_small(warmed(photo, finding, inspector.pixel_threshold)))
        if mask_of is not None:
            known = mask_of(row.index, photo.size) if row.kind != "good" else np.zeros((1, 1), bool)
            shown.setdefault("mask", []).append(_small(Image.fromarray(known).convert("RGB")))
    under = [f"{row.kind}\np = {row.p_value:.2g}" for row in rows]
    rows_of = {name: torch.stack(part) for name, part in shown.items()}
    return pairs(rows_of, under=under, scale=1, padding=4)


def _small(image: Image.Image) -> torch.Tensor:
    """A picture in a square of its own, on white: (3, SIDE, SIDE) in [−1, 1]."""
    ratio = SIDE / max(image.size)
    width, height = (max(1, round(side * ratio)) for side in image.size)
    filter = Image.Resampling.BOX if ratio < 1 else Image.Resampling.NEAREST
    square = Image.new("RGB", (SIDE, SIDE), "white")
    small = image.convert("RGB").resize((width, height), filter)
    square.paste(small, ((SIDE - width) // 2, (SIDE - height) // 2))
    return torch.from_numpy(np.asarray(square).astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
