"""A comparison as tables and pictures."""

from __future__ import annotations

from preimage.evaluation.compare import MEASURES, Comparison, Scores, measured
from preimage.evaluation.scorecard import shown
from preimage.pictures import Figure, Section, Table, page, pairs, sheet


def table(comparison: Comparison) -> Table:
    """One row a measure, one column a model, and how to read it."""
    columns: dict[str, Scores] = {c.name: c.scores for c in comparison.contenders}
    columns["real images"] = comparison.null
    rows = []
    for field, (name, meaning) in MEASURES.items():
        cells = [shown(dict(measured(scores))[field]) for scores in columns.values()]
        if any(cells):
            rows.append((name, *cells, meaning))
    return Table(
        header=("", *columns, "how to read it"),
        rows=rows,
        caption=(
            f"{comparison.n} samples of each against {comparison.n} held-out images of "
            f"{comparison.data}, with 95 % intervals. Real images: training images in the place "
            "of samples, and two of them cross-faded for the midpoints."
            + "".join(f" {note}" for note in comparison.notes)
        ),
    )


def sections(comparison: Comparison) -> list[Section]:
    """The table, and what lies behind it: samples, interpolations, reconstructions."""
    contenders = comparison.contenders
    names = " and ".join(c.name for c in contenders)
    found = [
        Section(
            "Side by side",
            f"What {names} score on the same images, and what real images would score.",
            table=table(comparison),
        ),
        Section(
            "Samples",
            "Drawn at random and not chosen, beside real images that were held out.",
            [
                *(Figure(c.name, sheet(c.samples, columns=8, padding=4)) for c in contenders),
                Figure("real images", sheet(comparison.real, columns=8, padding=4)),
            ],
            columns=len(contenders) + 1,
        ),
        Section(
            "Interpolations",
            "Each row walks in a straight line from one sample's latent code to another's: "
            "a continuous latent space changes a little in every step, and stays among images.",
            [
                Figure(c.name, sheet(c.strips.flatten(0, 1), columns=c.strips.shape[1], padding=4))
                for c in contenders
            ],
            columns=len(contenders),
        ),
    ]
    rows = {c.name: c.reconstructions for c in contenders if c.reconstructions is not None}
    if rows:
        found.append(
            Section(
                "Reconstructions",
                "Held-out images, and what comes back of them from the models that can encode.",
                [Figure("", pairs({"original": comparison.originals, **rows}))],
            )
        )
    return found


def report(comparison: Comparison) -> str:
    """The comparison as one HTML page."""
    names = " against ".join(c.name for c in comparison.contenders)
    return page(
        f"{names} on {comparison.data}",
        "The same images, the same measures, and what real images would score.",
        sections(comparison),
    )
