"""Which images step t trains on: a function of the seed and t, so there is nothing to save."""

from __future__ import annotations

import numpy as np

from preimage.core import seeds
from preimage.training.secret import uniform


class Order:
    """Epoch after epoch, each in an order of its own, cut into batches that may straddle two."""

    def __init__(self, indices: np.ndarray, *, batch_size: int, seed: int):
        self.indices, self.batch_size, self.seed = indices, batch_size, seed
        self._epoch, self._permutation = -1, indices

    def batch(self, step: int) -> np.ndarray:
        """The indices of step `step`, (batch_size,)."""
        n = len(self.indices)
        parts, position, wanted = [], step * self.batch_size, self.batch_size
        while wanted:
            epoch, offset = divmod(position, n)
            part = self.permutation(epoch)[offset : offset + wanted]
            parts.append(part)
            position, wanted = position + len(part), wanted - len(part)
        return np.concatenate(parts)

    def permutation(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            numbers = np.random.default_rng(seeds.derive(self.seed, "epoch", epoch))
            self._epoch, self._permutation = epoch, numbers.permutation(self.indices)
        return self._permutation


class Poisson:
    """Each image in each batch with probability `rate`, by itself: batches differ in size.

    What privacy gains by sampling it gains for such batches, and where nobody knows who is in them.
    """

    def __init__(self, indices: np.ndarray, *, rate: float, secret: int):
        self.indices, self.rate, self.secret = indices, rate, secret

    def batch(self, step: int) -> np.ndarray:
        """The indices of step `step`: (B,), B perhaps 0."""
        return self.indices[uniform(len(self.indices), self.secret, "batch", step) < self.rate]
