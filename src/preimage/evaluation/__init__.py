"""Reports on models: which metric is taken on what, and what real images score on it."""

from preimage.evaluation.compare import MEASURES, Comparison, Contender, Scores, compare
from preimage.evaluation.report import report, sections, table

__all__ = [
    "MEASURES",
    "Comparison",
    "Contender",
    "Scores",
    "compare",
    "report",
    "sections",
    "table",
]
