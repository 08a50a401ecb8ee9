"""The section on editing of benchmarks/RESULTS.md."""

from __future__ import annotations

from typing import Any

from tables import Target, table

Result = dict[str, Any]

PLAIN, BEST, TRUTH = "mean difference", "counterfactual", "*the truth*"
DISCRETE = ("hair_style", "hair_colour", "eye_colour", "glasses", "beard", "shirt")


def editing(results: list[Result]) -> str:
    """Faces factor by factor, arithmetic, and the pictures of others."""
    parts = ["## Editing, against the truth", EDITING]
    targets: list[Target] = []
    for r in results:
        if "ceiling" not in r:
            continue
        parts += [f"### {r['data']}: {r['n']} edited, {r['labelled']:,} labelled"]
        parts += [_ceiling(r), _methods(r), _factors(r)]
        if "arithmetic" in r:
            parts += ["#### z₁ − z₂ + z₃", ARITHMETIC, _arithmetic(r)]
            parts += [_picture(r["data"], "-arithmetic")]
            targets += editing_targets(r)
        parts += [_picture(r["data"])]
    for r in results:
        if "ceiling" not in r:
            parts += [f"### {r['data']}: {r['n']} in five tones, {r['labelled']} pairs", _tones(r)]
            parts += [_picture(r["data"])]
    rows = [t.row() for t in targets]
    return "\n\n".join([*parts, "### Targets", table(["what", "figure", "bound", "met"], rows)])


EDITING = """One factor of a face is changed in the latent and the picture decoded; a judge that no
method has seen reads all factors off it. Strengths are in standard deviations. *Wanted*: slope of
the factor on the strength asked, or the share that reached the class asked. *Others*: root mean
square of all other factors' slopes. *Per unit* divides that by the wanted slope: a method that does
little disturbs little. *Nearer*: share of edits nearer to the face drawn again with that factor
changed, seen through the model, than the unedited reconstruction is; *faces*: of faces whose edits
of all strengths together are. *Left*: what is left of that
distance. *The truth* is that very picture, read by the judge. In brackets: 95 % intervals over
faces."""

ARITHMETIC = """Beard and glasses − no beard but glasses + neither: share of 200 triples of which
every one of the 18 factors is within half a standard deviation of, or in the class of, the true
answer (the person of z₃ with a beard, through the model), and of the factors it was drawn from."""


def _ceiling(r: Result) -> str:
    names = list(r["ceiling"]["originals"])
    head = ["read by the judge", *names]
    body = [[kind, *(f"{r['ceiling'][kind][n]:.3f}" for n in names)] for kind in r["ceiling"]]
    said = "R² of continuous factors, share right of discrete ones:"
    return f"{said}\n\n{table(head, body)}"


def _methods(r: Result) -> str:
    """One row a method: means over factors."""
    head = [
        "method",
        "wanted, continuous",
        "class reached",
        "others",
        "per unit",
        "nearer",
        "faces",
        "left",
    ]
    body = []
    for name, rows in r["methods"].items():
        slopes = [row["wanted"][0] for f, row in rows.items() if not _discrete(r, f)]
        reached = [row["wanted"][0] for f, row in rows.items() if _discrete(r, f)]
        others = _mean([row["others"][0] ** 2 for row in rows.values()]) ** 0.5
        wanted = _mean([row["wanted"][0] for row in rows.values()])
        nearer = [row["nearer"][0] for row in rows.values()]
        of_faces = [row["faces"][0] for row in rows.values()]
        left = [row["left"] for row in rows.values()]
        figures = [_number(slopes), _number(reached), f"{others:.3f}", f"{others / wanted:.3f}"]
        body.append([name, *figures, _number(nearer), _number(of_faces), _number(left)])
    return table(head, body)


def _factors(r: Result) -> str:
    """One row a factor: the plain method beside the best one and the truth."""
    body = []
    shown = [name for name in (TRUTH, PLAIN, BEST) if name in r["methods"]]
    columns = [*(("wanted", n) for n in shown), *(("others", n) for n in shown)]
    columns += [("nearer", n) for n in shown[1:]] if TRUTH in shown else []
    columns += [("faces", n) for n in shown[1:]] if TRUTH in shown else []
    head = ["factor", *(f"{what}: {name}" for what, name in columns)]
    for factor in r["methods"][PLAIN]:
        figures = [(what, r["methods"][name][factor][what]) for what, name in columns]
        body.append([factor, *(_interval(x, 2 if what == "wanted" else 3) for what, x in figures)])
    return table(head, body)


def _arithmetic(r: Result) -> str:
    head = ["row", "all right", "all right, as drawn", "bearded", "worst factor"]
    body = []
    for name, row in r["arithmetic"].items():
        worst = f"{row['worst'][1]} {row['worst'][0]:.3f}" if "worst" in row else ""
        beard = f"{row['beard']:.3f}" if "beard" in row else ""
        body.append([name, f"{row['right']:.3f}", f"{row['right_as_drawn']:.3f}", beard, worst])
    return table(head, body)


def _tones(r: Result) -> str:
    head = ["method", "nearer to the toned reconstruction", "to the toned emoji", "left"]
    body = []
    for name, rows in r["methods"].items():
        row = rows["tone"]
        near = [_interval(row["nearer"], 3), _interval(row["nearer_to_the_emoji"], 3)]
        body.append([name, *near, f"{row['left']:.2f}"])
    return table(head, body)


def editing_targets(r: Result) -> list[Target]:
    """What editing is held to, factor by factor."""
    targets = []
    for factor, row in r["methods"][BEST].items():
        plain = r["methods"][PLAIN][factor]
        wanted = row["wanted"][0]
        if _discrete(r, factor):
            targets.append(Target(f"{factor}: class reached", wanted, 0.9, least=True))
        else:
            targets.append(Target(f"{factor}: slope, off 1", abs(wanted - 1), 0.2))
        targets.append(Target(f"{factor}: others", row["others"][0], 0.15))
        ratio = _per_unit(row) / _per_unit(plain)
        what = f"{factor}: others per unit, of the plain mean difference's"
        targets.append(Target(what, ratio, 0.5))
        targets.append(Target(f"{factor}: faces nearer", row["faces"][0], 0.9, least=True))
    right = r["arithmetic"]["one person"]["right"]
    return [*targets, Target("arithmetic, one person: all right", right, 0.85, least=True)]


def _per_unit(row: Result) -> float:
    return row["others"][0] / max(row["wanted"][0], 1e-3)


def _discrete(r: Result, factor: str) -> bool:
    return "arithmetic" not in r or factor in DISCRETE


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _number(values: list[float]) -> str:
    mean = _mean(values)
    return "" if mean != mean else f"{mean:.2f}"


def _interval(figures: list[float], digits: int = 2) -> str:
    value, low, high = figures
    return f"{value:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _picture(data: str, which: str = "") -> str:
    name = f"editing-{data}{which}.png"
    return f"![{name}](results/{name})"
