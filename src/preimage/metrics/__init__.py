"""Arrays in, numbers with intervals out: how real, how various, how sharp, how smooth."""

from preimage.metrics.extractors import Extractor, Features, extractor
from preimage.metrics.features import RandomFeatures, extract
from preimage.metrics.fidelity import Fidelity, fidelity
from preimage.metrics.frechet import GroupedMoments, Moments, frechet, frechet_distance
from preimage.metrics.geometry import largest_step, path_length
from preimage.metrics.inception_score import inception_score
from preimage.metrics.kernel import kernel_distance
from preimage.metrics.measure import Measure
from preimage.metrics.memorisation import median_nearest, nearest_ratio
from preimage.metrics.quality import METRICS, halves, quality
from preimage.metrics.score import Score, Stamp, judged
from preimage.metrics.sharpness import sharpness
from preimage.metrics.streaming import FeatureStatistics, statistics_of

__all__ = [
    "METRICS",
    "Extractor",
    "FeatureStatistics",
    "Features",
    "Fidelity",
    "GroupedMoments",
    "Measure",
    "Moments",
    "RandomFeatures",
    "Score",
    "Stamp",
    "extract",
    "extractor",
    "fidelity",
    "frechet",
    "frechet_distance",
    "halves",
    "inception_score",
    "judged",
    "kernel_distance",
    "largest_step",
    "median_nearest",
    "nearest_ratio",
    "path_length",
    "quality",
    "sharpness",
    "statistics_of",
]
