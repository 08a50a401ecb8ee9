"""benchmarks/RESULTS.md from the files in benchmarks/results: `python benchmarks/report.py`.

Every benchmark writes files of its own; what this page shows of each is one table, and the targets
it was held to. A result that stands beside another's (a quarter of `dcgan`'s) is worked out here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from machine import RESULTS, ROOT

Result = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A bound on one figure."""

    what: str
    value: float
    bound: float
    least: bool = False  # whether the bound is from below

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.least else self.value <= self.bound

    def row(self) -> list[str]:
        sign = "≥" if self.least else "≤"
        return [self.what, f"{self.value:.3g}", f"{sign} {self.bound:.3g}", _yes(self.met)]


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def quality(results: list[Result]) -> str:
    """Samples judged by LeNet: one row a recipe and budget."""
    judged = [r for r in results if "frechet" in r]
    parts = ["## Sample quality for CPU time", QUALITY]
    for data in dict.fromkeys(r["data"] for r in judged):
        rows = [r for r in judged if r["data"] == data]
        rows.sort(key=lambda r: r["frechet"])
        head = ["recipe", "CPU minutes", "Fréchet distance", "certainty", "smallest class"]
        head += ["nearest neighbour", "test", "samples"]
        real = rows[0]["real"]
        body = [["*real training images*", "", *_figures(real), "", "", ""]]
        body += [
            [f"`{r['recipe']}`", f"{r['cpu_minutes']:.1f}", *_figures(r), *_near(r)] for r in rows
        ]
        parts += [f"### {data}", table(head, body)]
    if covering := [r for r in results if "modes" in r]:
        rows = sorted(covering, key=lambda r: -r["modes"])
        body = [[*_named(r), str(r["modes"]), f"{r['mode_kl']:.2f}"] for r in rows]
        real = rows[0]["real"]
        body.insert(0, ["*real images*", "", str(real["modes"]), f"{real['mode_kl']:.2f}"])
        head = ["recipe", "CPU minutes", "modes of 1,000", "KL to uniform"]
        parts += ["### stacked-mnist", STACKED, table(head, body)]
    targets = [t.row() for t in quality_targets(results)]
    return "\n\n".join([*parts, "### Targets", table(["what", "figure", "bound", "met"], targets)])


QUALITY = """Each recipe trains on the 60,000 training images on one thread, for so many minutes of
process CPU time. The judge is a LeNet-5 that others trained: Fréchet distance on its 84 features,
5,000 samples against the 10,000 test images, mean (and range) of three draws; the mean probability
of the likeliest class; the smallest share of a class; and the median distance to the nearest
training image, of samples and of test reconstructions (for a GAN, of test images), on [0, 1]. One
training seed a row."""

STACKED = """Three digits as the channels of one 32×32 image: how many of the 1,000 triples 10,000
samples show, read by the same LeNet."""


def quality_targets(results: list[Result]) -> list[Target]:
    """What the quality benchmark is held to, as far as it has been measured."""
    by = {(r["data"], r["recipe"], r["budget"]): r for r in results}
    targets = []
    for minutes, bound in ((3.5, 2.5), (10, 2.0)):
        if r := by.get(("mnist", "vae-gan", minutes)):
            what = f"mnist `vae-gan` at {minutes:g} minutes"
            ratio = r["neighbour_samples"] / r["neighbour_reconstructions"]
            targets += [
                Target(f"{what}: CPU minutes", r["cpu_minutes"], minutes),
                Target(f"{what}: Fréchet distance", r["frechet"], bound),
                Target(f"{what}: smallest class", r["smallest_share"], 0.08, least=True),
                Target(f"{what}: neighbours, off reconstructions'", abs(ratio - 1), 0.1),
            ]
    for data, ours, theirs in QUARTERS:
        pairs = [(r, by.get((data, theirs, r["budget"]))) for r in results]
        for mine, other in pairs:
            if other and mine["data"] == data and mine["recipe"] == ours:
                what = f"{data} `{ours}` against `{theirs}` at {mine['budget']:g} minutes"
                targets.append(Target(what, mine["frechet"] / other["frechet"], 0.25))
    return targets


QUARTERS = (
    ("fashion-mnist", "vae-gan", "dcgan"),
    ("mnist", "gan", "gan-mlp"),
    ("mnist", "gan", "dcgan"),
)


def _named(r: Result) -> list[str]:
    return [f"`{r['recipe']}`", f"{r['cpu_minutes']:.1f}"]


def _figures(r: Result) -> list[str]:
    low, high = min(r["frechet_draws"]), max(r["frechet_draws"])
    distance = f"{r['frechet']:.2f} ({low:.2f}–{high:.2f})"
    return [distance, f"{r['certainty']:.3f}", f"{100 * r['smallest_share']:.1f} %"]


def _near(r: Result) -> list[str]:
    beside = r.get("neighbour_reconstructions", r["neighbour_test"])
    picture = f"quality-{r['data']}-{r['recipe']}-{r['budget']:g}min.png"
    return [f"{r['neighbour_samples']:.2f}", f"{beside:.2f}", f"[grid](results/{picture})"]


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"


SECTIONS = {"quality": quality}


def page(results: list[Result]) -> str:
    """The whole page."""
    parts = ["# Measured", "Written by `python benchmarks/report.py` from `benchmarks/results/`."]
    for name, section in SECTIONS.items():
        if mine := [r for r in results if r.get("benchmark") == name]:
            parts += [section(mine), stamp(mine)]
    return "\n\n".join(parts) + "\n"


def stamp(results: list[Result]) -> str:
    """Where and on which code these were measured."""
    where = results[-1]["machine"]
    commits = ", ".join(sorted({r["commit"] for r in results}))
    return (
        f"Measured on {where['processor']}, {where['threads']} thread, torch {where['torch']}, "
        f"at commit {commits}."
    )


def main() -> None:
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    (ROOT / "benchmarks" / "RESULTS.md").write_text(page(results))


if __name__ == "__main__":
    main()
