"""Reports on models: which metric is taken on what, and what real images score on it."""

from preimage.evaluation.compare import MEASURES, Comparison, Contender, Scores, compare
from preimage.evaluation.evaluate import Report, chosen, evaluate
from preimage.evaluation.material import Material
from preimage.evaluation.report import report, sections, table

__all__ = [
    "MEASURES",
    "Comparison",
    "Contender",
    "Material",
    "Report",
    "Scores",
    "chosen",
    "compare",
    "evaluate",
    "report",
    "sections",
    "table",
]
