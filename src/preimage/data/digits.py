"""The digits that ship: scikit-learn's 1,797 handwritten digits of 8×8 pixels.

From the test part of "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998, UCI).
"""

from __future__ import annotations

import numpy as np

CLASSES = tuple("0123456789")


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 1, 8, 8) uint8 and labels (1797,) int64; the 17 grey levels span 0 … 255."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return images, labels.astype(np.int64)
