"""Arrays in, numbers with intervals out: how real, how various, how sharp, how smooth."""

from preimage.metrics.geometry import largest_step, path_length
from preimage.metrics.features import RandomFeatures, extract
from preimage.metrics.fidelity import Fidelity, fidelity
from preimage.metrics.frechet import Moments, frechet, frechet_distance
from preimage.metrics.measure import Measure
from preimage.metrics.memorisation import median_nearest, nearest_ratio
from preimage.metrics.sharpness import sharpness

__all__ = [
    "Fidelity",
    "Measure",
    "Moments",
    "RandomFeatures",
    "extract",
    "fidelity",
    "frechet",
    "frechet_distance",
    "largest_step",
    "median_nearest",
    "nearest_ratio",
    "path_length",
    "sharpness",
]
