"""How sure a classifier is of each sample, and how evenly its classes are used.

IS = exp E KL(p(y|x) ‖ p(y)): Salimans et al., "Improved techniques for training GANs", 2016, §4.
It never looks at real images, and is bounded by the number of classes. With few samples p(y) is
uneven by chance, which costs about (K − 1)/2N of the score; the usual mean over ten splits pays
that ten times over (Barratt & Sharma, "A note on the Inception score", 2018, §3.2).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError
from preimage.metrics.measure import Measure, from_left_out, group_of


class InceptionScore:
    """The score of probabilities or logits that come in batches, by groups of the rows.

    The mean entropy and the mean probabilities are all it takes, so a score is merged like moments.
    """

    def __init__(self, *, groups: int = 20) -> None:
        self.n = torch.zeros(groups, dtype=torch.float64)
        self.negentropy = torch.zeros(groups, dtype=torch.float64)  # Σ_x Σ_y p(y|x) log p(y|x)
        self.probabilities = torch.zeros(groups, 0, dtype=torch.float64)  # Σ_x p(y|x)
        self.next = 0

    def update(self, logits: Tensor, *, first: int | None = None) -> None:
        """Take in logits (B, K): those that follow the last, or from place `first` on."""
        if logits.dim() != 2 or logits.shape[1] < 2:
            raise InputError(
                f"logits must be rows (N, K) of 2 classes or more, not {tuple(logits.shape)}"
            )
        if bad := int((~logits.isfinite()).any(1).sum()):
            raise InputError(f"logits: {bad} of {len(logits)} rows hold NaN or infinite values")
        if self.probabilities.shape[1] == 0:
            self.probabilities = torch.zeros(len(self.n), logits.shape[1], dtype=torch.float64)
        start = self.next if first is None else first
        log_p = logits.detach().to("cpu", torch.float64).log_softmax(1)
        of = group_of(len(logits), len(self.n), first=start)
        self.n.index_add_(0, of, torch.ones(len(of), dtype=torch.float64))
        self.negentropy.index_add_(0, of, (log_p.exp() * log_p).sum(1))
        self.probabilities.index_add_(0, of, log_p.exp())
        self.next = start + len(logits)

    def merge(self, other: InceptionScore) -> InceptionScore:
        """The score of both sets of rows, which must be of different places of one stream."""
        if not (self.n.sum() and other.n.sum()):
            return self if self.n.sum() else other
        both = InceptionScore(groups=len(self.n))
        both.n = self.n + other.n
        both.negentropy = self.negentropy + other.negentropy
        both.probabilities = self.probabilities + other.probabilities
        both.next = max(self.next, other.next)
        return both

    def measure(self) -> Measure:
        """The score, in one split, with the jackknife's interval."""
        groups = len(self.n)
        if self.n.sum() < 2 * groups:
            raise InputError(f"an Inception score needs at least {2 * groups} samples")
        whole = self._score(torch.ones(groups, dtype=torch.float64))
        others = 1 - torch.eye(groups, dtype=torch.float64)
        left_out = np.array([self._score(weights) for weights in others])
        found = from_left_out(whole, left_out, int(self.n.sum()))
        return found.within(1, self.probabilities.shape[1])

    def _score(self, weights: Tensor) -> float:
        n = weights @ self.n
        marginal = weights @ self.probabilities / n
        entropy = -torch.xlogy(marginal, marginal).sum()
        return (weights @ self.negentropy / n + entropy).exp().item()


def inception_score(logits: Tensor, *, splits: int = 1) -> Measure:
    """The score of logits (N, K); the mean over consecutive splits, as papers have it, if asked.

    The interval is of its expectation for so many samples.
    """
    if splits == 1:
        score = InceptionScore()
        score.update(logits)
        return score.measure()
    parts = [inception_score(part) for part in logits.chunk(splits)]
    values = np.array([part.value for part in parts])
    # the splits are independent: each of G tells the others' mean as one left out of G does
    left_out = (values.sum() - values) / (len(values) - 1)
    found = from_left_out(float(values.mean()), left_out, len(logits))
    return found.within(1, logits.shape[1])
