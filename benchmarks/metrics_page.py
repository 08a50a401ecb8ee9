"""Scores, as `report.py` shows them."""

from __future__ import annotations

from typing import Any

from tables import Target, table

Result = dict[str, Any]


def metrics(results: list[Result]) -> str:
    """Scores of samples: how fast, beside the forms in use."""
    (r,) = results
    fd, shares, scored, stream = r["frechet"], r["shares"], r["table"], r["stream"]
    head = ["what", "CPU s", "the form in use", "CPU s", "times quicker", "difference"]
    body = [
        [
            f"Fréchet distance, {fd['n']:,} × {fd['d']:,}",
            f"{fd['seconds']:.2f}",
            "`scipy.linalg.sqrtm`",
            f"{fd['sqrtm_seconds']:.1f}",
            f"{fd['ratio']:.1f}",
            f"{fd['relative_difference']:.0e} of it",
        ]
    ]
    targets = [
        Target("Fréchet distance: times quicker", fd["ratio"], 10, least=True),
        Target("Fréchet distance: relative difference", fd["relative_difference"], 1e-6),
    ]
    for name in ("gaussian", "features"):
        x = shares[name]
        what = f"precision, recall, density, coverage, {shares['n']:,} × {shares['d']:,}, {name}"
        times = [f"{x['seconds']:.2f}", "`prdc`", f"{x['prdc_seconds']:.1f}"]
        body.append([what, *times, f"{x['ratio']:.1f}", f"{x['largest_difference']:.0e}"])
        targets += [
            Target(f"{name}: times quicker than `prdc`", x["ratio"], 5, least=True),
            Target(f"{name}: largest difference", x["largest_difference"], 1e-9),
        ]
    targets.append(Target("memory a stream adds, MB", stream["memory_grown_mb"], 100))
    said = METRICS_COST.format(
        n=scored["n"],
        features=scored["features_seconds"],
        scores=scored["scores_seconds"],
        rate=stream["rows_a_second"],
        rows=stream["n"],
        d=stream["d"],
        few=fd["few_rows_seconds"],
    )
    parts = ["## Scores", METRICS, table(head, body), said, "### Targets"]
    rows = [target.row() for target in targets]
    return "\n\n".join([*parts, table(["what", "figure", "bound", "met"], rows)])


METRICS = """One process, one thread, CPU time. The Fréchet distance takes moments to a number;
precision, recall, density and coverage take features to all four, of features as networks have
them and of Gaussian ones, whose distances are all nearly alike."""


METRICS_COST = """With fewer rows than features the distance takes {few:.2f} s. {n:,} images of
32 × 32: {features:.1f} s for the random net's features of these and of twice as many real ones,
{scores:.1f} s for seven scores with intervals, nulls and words. A stream of {rows:,}
rows of {d:,} features is taken in at {rate:,.0f} rows a second, by one CPU, moments by group and a
draw of rows."""


def whole_report(results: list[Result]) -> str:
    """What a person waits for who asks for everything."""
    (r,) = results
    said = WHOLE.format(
        n=r["n"],
        scores=r["scores"],
        seconds=r["seconds"],
        cpu=r["cpu_seconds"],
        threads="one thread" if r["machine"]["threads"] == 1 else "all processors",
        parts=", ".join(f"{name} {seconds:.0f} s" for name, seconds in r["parts"].items()),
    )
    target = Target(f"whole report of {r['n']:,} 32×32 images, seconds", r["seconds"], 60)
    rows = table(["what", "figure", "bound", "met"], [target.row()])
    return "\n\n".join(["## A whole report", said, rows])


WHOLE = """All {scores} scores that `evaluate` has for a VAE, of {n:,} CIFAR-10 images by the
model's own features, with intervals, nulls and pictures: {seconds:.0f} s by the clock, {cpu:.0f}
CPU s, on {threads}. The longest parts: {parts}."""
