"""Which scores are worth their place, and how much: chosen on good images and planted defects only.

Weights are found by adding scores one at a time, the same one again if it helps again (Caruana et
al., "Ensemble Selection from Libraries of Models", 2004, §2): what helps nothing keeps weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ROUNDS = 12  # scores added, counting repeats
GAIN = 5e-4  # of mean AUROC, that another score must bring


def auroc(bad: Tensor, good: Tensor) -> Tensor:
    """P(bad > good) + ½ P(bad = good) of each column: (M, P), (N, P) → (P,)."""
    ordered = good.T.contiguous().sort(1).values
    wanted = bad.T.contiguous()
    below = torch.searchsorted(ordered, wanted)
    up_to = torch.searchsorted(ordered, wanted, right=True)
    return (below + up_to).double().mean(1) / (2 * len(good))


def weights(good: Tensor, bad: Sequence[Tensor]) -> Tensor:
    """Weights (P,) ≥ 0, of sum 1, of standardised scores.

    good: (N, P) of good images. bad: (M, P) of defective ones, a tensor for each kind of defect;
    each kind counts the same.
    """
    P = good.shape[1]
    chosen, best = torch.zeros(P), 0.0
    total, totals = torch.zeros(len(good), 1), [torch.zeros(len(part), 1) for part in bad]
    for _ in range(ROUNDS):
        areas = torch.stack(
            [auroc(t + b, total + good) for t, b in zip(totals, bad, strict=True)]
        ).mean(0)
        i = int(areas.argmax())
        if areas[i] < best + GAIN:
            break
        best = float(areas[i])
        chosen[i] += 1
        total = total + good[:, i : i + 1]
        totals = [t + b[:, i : i + 1] for t, b in zip(totals, bad, strict=True)]
    return chosen / chosen.sum()
