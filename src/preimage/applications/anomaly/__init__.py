"""What is unlike the good images: scores, heat maps and a threshold of a known false-alarm rate."""

from preimage.applications.anomaly.detector import Detector, Explanation

__all__ = ["Detector", "Explanation"]
