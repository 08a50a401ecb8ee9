"""A report as a table for the terminal and as a page to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from preimage.evaluation.evaluate import Report
from preimage.evaluation.meanings import GROUPS, MEANINGS
from preimage.metrics.measure import Measure
from preimage.metrics.score import Score
from preimage.pictures import Section, Table, page

NO_BREAK = "\u00a0"  # a space that stays within its line
HEADINGS: dict[str, tuple[str, str]] = {
    "quality": ("Quality", "Are samples, as a whole, like real images?"),
    "fidelity": ("Fidelity and diversity", "Is each sample realistic, and is all there is drawn?"),
    "reconstruction": ("Reconstruction", "What is lost between an image and its reconstruction?"),
    "geometry": ("Geometry", "Does a small step of the latent make a small change of the image?"),
    "disentanglement": ("Disentanglement", "Does each number of the latent stand for one thing?"),
    "likelihood": ("Likelihood", "How likely are held-out images under the model?"),
    "memorisation": ("Memorisation", "Are samples new, or copies of training images?"),
    "membership": ("Membership", "Could somebody tell which images were trained on?"),
    "collapse": ("Collapse", "Does the model draw all kinds of image, or a few again and again?"),
}
"""Group of scores → its title, and the question that it answers."""


def shown(measure: Measure | None) -> str | None:
    """A value with its interval, short enough for a cell; None where there is none."""
    if measure is None:
        return None
    known = measure.low == measure.high  # and not measured
    if known or not (math.isfinite(measure.low) or math.isfinite(measure.high)):
        return _figure(measure.value)
    span = f"{_figure(measure.low)}{NO_BREAK}to{NO_BREAK}{_figure(measure.high)}"
    return f"{_figure(measure.value)} ({span})"


def _figure(value: float) -> str:
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "–"
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", "−")  # lines break after a hyphen


def table(report: Report, *, group: str | None = None) -> Table:
    """One row a score: value, null, and what the two say together; of one group or of all."""
    scores = [s for s in report.scores if group in (None, MEANINGS[s.name].group)]
    nulls = any(score.null is not None for score in scores)
    rows = []
    for score in scores:
        meaning = MEANINGS[score.name]
        beside = (shown(score.null), word(score)) if nulls else ()
        rows.append((meaning.title, shown(score.measure), *beside, meaning.sentence))
    beside = (f"null ({_against(scores)})", "in a word") if nulls else ()
    header = ("", f"value (95{NO_BREAK}% interval)", *beside, "read it as")
    return Table(header, rows, _caption(report, group))


def _against(scores: Sequence[Score]) -> str:
    """What the nulls of these scores are of."""
    named = dict.fromkeys(score.against for score in scores if score.null is not None)
    return ", ".join(named) if len(named) == 1 else "the same of real data"


def word(score: Score) -> str:
    """What value and null say together, and how large a difference would have shown."""
    if score.null is None:
        return "–"
    if "indistinguishable" in score.word and score.detectable is not None:
        return f"{score.word}; differences of {_figure(score.detectable)} would show"
    return score.word


def _caption(report: Report, group: str | None) -> str:
    """What the figures of a group rest on."""
    scores = [s for s in report.scores if group in (None, MEANINGS[s.name].group)]
    parts = []
    for stamp in dict.fromkeys(score.stamp for score in scores if score.stamp is not None):
        within = "" if stamp.comparable else "; compare only scores of this very stamp"
        parts.append(
            f"Features: {stamp.extractor} ({stamp.hash}), {stamp.resize}, {stamp.dtype}{within}."
        )
    notes = dict.fromkeys(f"{MEANINGS[s.name].title}: {s.note}." for s in scores if s.note)
    return " ".join(dict.fromkeys([*parts, *notes]))


def heading(name: str) -> str:
    """What a group or a score is called."""
    return HEADINGS[name][0] if name in HEADINGS else MEANINGS[name].title


def sections(report: Report) -> list[Section]:
    """A section a group of scores, the pictures, and what could not be measured."""
    found = [
        Section(*HEADINGS[group], table=table(report, group=group))
        for group in GROUPS
        if any(MEANINGS[score.name].group == group for score in report.scores)
    ]
    if report.figures:
        pictures = Section(
            "Look at them",
            "What no score says: which samples, which images.",
            list(report.figures.values()),
        )
        found.insert(1, pictures)
    if report.skipped:
        rows = [(heading(name), why) for name, why in report.skipped.items()]
        found.append(
            Section("Not measured", "And why.", table=Table(("", "what is missing"), rows))
        )
    return found


def scorecard(report: Report) -> str:
    """The whole page, as HTML."""
    lead = (
        f"{report.subject}, held against {report.against}. No number stands alone: beside each is "
        "its 95 % interval, and its null, the same number for real images in the place of what is "
        "judged. Only a difference between the two says anything."
    )
    return page(
        f"How good is {report.subject}?", lead, sections(report), footer="\n".join(report.notes)
    )
