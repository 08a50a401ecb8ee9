"""The demo's section on evaluation: what can be said of samples, and how surely."""

from __future__ import annotations

from preimage.api.evaluations import evaluate
from preimage.demo.material import Material
from preimage.evaluation.scorecard import table
from preimage.pictures import Section

SCORES = ("kid", "precision", "coverage", "novelty", "copies", "modes")


def evaluation(material: Material) -> Section:
    """The digits' VAE beside held-out digits, in a few scores that need no background."""
    run = material.runs["digits"]
    report = evaluate(run.path, metrics=SCORES, pictures=True, seed=material.seed)
    return Section(
        "How good is it?",
        "A number says little alone. So beside each stands its interval, for another draw would "
        "give another number, and its null: the same number for real digits in the place of "
        "samples. Where the two cannot be told apart, no generator could do better.",
        [report.figures["density"], report.figures["nearest"]],
        table=table(report),
        command=f"preimage evaluate {run.path} --out evaluation",
    )
