"""How likely are images under a model that can only bound it from below?

With log-weights log wₖ = log p(x|zₖ) + log p(zₖ) − log q(zₖ|x), zₖ ~ q: their mean is the evidence
lower bound (Kingma & Welling, "Auto-encoding variational Bayes", 2014, eq. 2), and the logarithm
of the mean weight a tighter one, that tends to log p(x) as K grows and in expectation never falls
(Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders", 2016, theorem 1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from preimage.core import InputError
from preimage.metrics.measure import Measure


def evidence_bound(log_weights: Tensor) -> Tensor:
    """(N, K) → (N,), in nats."""
    return _checked(log_weights).mean(1)


def importance_bound(log_weights: Tensor) -> Tensor:
    """log (1/K) Σ wₖ: (N, K) → (N,), in nats."""
    return _checked(log_weights).logsumexp(1) - math.log(log_weights.shape[1])


def bits_per_dimension(nats: Measure, dimensions: int) -> Measure:
    """−nats / (D log 2): the length of a code, and so the lower the better."""
    scale = -1 / (dimensions * math.log(2))
    return Measure(nats.value * scale, nats.high * scale, nats.low * scale, nats.n)


def _checked(log_weights: Tensor) -> Tensor:
    if log_weights.ndim != 2 or 0 in log_weights.shape:
        raise InputError(f"log-weights {tuple(log_weights.shape)}; give (images, samples)")
    if torch.isnan(log_weights).any():
        raise InputError("log-weights hold values that are no numbers")
    return log_weights.double()
