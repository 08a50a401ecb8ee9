"""The page's part on searching."""

from __future__ import annotations

from typing import Any

from tables import Target, table

Result = dict[str, Any]

RETRIEVAL = """Each test image asks for the others; those of its class, or person, are right.
R-precision is the share of right ones among the first R, R being how many there are; mean average
precision looks at the whole order. 95 % intervals: bootstrap over queries, of ORL over people.
No model and no metric saw a label. The default metric (*) was settled on training images, whose
mean average precision is the last column. PCA is of the training images, of as many numbers."""

SCALE = """Vectors are posterior means of training images of MNIST and Fashion-MNIST, each changed a
little, to unit length; queries are of changed test images, each asked by itself, on one thread, in
CPU time. Recall is of the ten nearest that exact search finds."""


def retrieval(results: list[Result]) -> str:
    """Whose neighbours are right, and how fast they are found among a million."""
    parts, targets = ["## Searching", RETRIEVAL], []
    by = {r["part"]: r for r in results}
    for name in ("fashion-mnist", "orl"):
        if (r := by.get(name)) is None:
            continue
        head = ["", "R-precision", "mean average precision", "on training images"]
        parts += [f"### {name}: `{r['recipe']}`, {r['queries']:,} queries"]
        parts += [table(head, [_row(row, r["ours"]) for row in r["rows"]])]
        targets += _margins(name, r)
    if r := by.get("million"):
        parts += ["### A million latents", SCALE, _million(r)]
        what = f"{r['n']:,} × {r['d']}"
        targets += [
            Target(f"{what}: ms a query", r["ms"], 2),
            Target(f"{what}: recall of the ten nearest", r["recall"], 0.95, least=True),
        ]
    rows = [target.row() for target in targets]
    return "\n\n".join([*parts, "### Targets", table(["what", "figure", "bound", "met"], rows)])


def _row(row: Result, ours: str) -> list[str]:
    figures = [
        f"{m:.3f} ({low:.3f} to {high:.3f})" for m, low, high in (row["r_precision"], row["map"])
    ]
    star = " *" if row["way"] == ours else ""
    return [row["way"] + star, *figures, f"{row['settings']:.3f}"]


def _margins(name: str, r: Result) -> list[Target]:
    """The lower ends of the intervals of what ours is better by."""
    made = []
    for pair, (precision, ap) in r["margins"].items():
        if pair.startswith(r["ours"]) and not pair.endswith("angle"):
            for what, margin in (("R-precision", precision), ("average precision", ap)):
                title = f"{name}: {pair}, {what}, lower end"
                made.append(Target(title, margin[1], 0, least=True))
    return made


def _million(r: Result) -> str:
    return (
        f"The index itself, {r['n']:,} × {r['d']}: {r['add_seconds']:.0f} CPU s to write and "
        f"{r['lists_seconds']:.0f} to make the lists, {r['size'] / 1e6:,.0f} MB on the disk, of "
        f"which the lists are {r['lists_size'] / 1e6:,.0f}, the latents and what is known of the "
        f"images the rest. Opened by another process in {r['open_ms']:.0f} ms; {r['ms']:.2f} ms a "
        f"query at a recall of {r['recall']:.3f} ({r['said']:.3f} is what the index says); exact "
        f"search takes {r['exact_ms']:.1f} ms, {r['ratio']:.0f} times as long. With a condition "
        f"that half of the images meet, {r['filtered_ms']:.1f} ms. The reader's own memory grew by "
        f"{r['memory'] / 1e6:.0f} MB; the rest is mapped."
    )
