"""Which scores are worth their place, and how much: chosen on good images and planted defects only.

Weights are found by adding scores one at a time, the same one again if it helps again, to the best
few with equal weights (Caruana et al., "Ensemble Selection from Libraries of Models", 2004, §2.2).
Among beginnings that are as good the longest is taken, since planted defects are not real ones and
several opinions err less than one. What helps nothing keeps weight 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.applications.anomaly.defects import WHOLE

ROUNDS = 12  # scores added to the first few, counting repeats
MOST = 20_000  # good rows that areas are worked out with
EQUAL = 0.1  # relatively, of 1 − mean AUROC, that beginnings may differ by and be as good
PLACED = 0.75  # AUROC of turned images, from which things have their place
GAIN = 0.05  # of 1 − mean AUROC, that another score must take away
SHOWN = 1 / 3  # of the weight, at most, for scores that were taught planted defects
LARGE_GAIN = 1 / 3  # the same, beside a score that is trusted beforehand


def auroc(bad: Tensor, good: Tensor) -> Tensor:
    """P(bad > good) + ½ P(bad = good) of each column: (M, P), (N, P) → (P,)."""
    ordered = good.T.contiguous().sort(1).values
    wanted = bad.T.contiguous()
    below = torch.searchsorted(ordered, wanted)
    up_to = torch.searchsorted(ordered, wanted, right=True)
    return (below + up_to).double().mean(1) / (2 * len(good))


def balanced_weights(
    good: Tensor, bad: Mapping[str, Tensor], *, trusted: int | None = None
) -> Tensor:
    """Weights (P,) for defects of a part and, equally, for images of another thing.

    Where images have no up and down, as those of most surfaces, turning, bending and joining good
    ones makes no bad one, and only defects of a part count; elsewhere, the score `trusted` has all
    the weight but what others earn by taking away LARGE_GAIN of all that it gets wrong.
    """
    local = weights(good, [part for kind, part in bad.items() if kind not in WHOLE])
    whole = [part for kind, part in bad.items() if kind in WHOLE]
    if not whole or auroc(bad["turned"], good).max() < PLACED:
        return local
    if trusted is not None:
        alone = F.one_hot(torch.tensor(trusted), good.shape[1]).float()
        return _ascended(good[:MOST], list(bad.values()), start=alone, gain=LARGE_GAIN)
    return (local + weights(good, whole)) / 2


def weights(good: Tensor, bad: Sequence[Tensor]) -> Tensor:
    """Weights (P,) ≥ 0, of sum 1, of standardised scores.

    good: (N, P) of good images. bad: (M, P) of defective ones, a tensor for each kind of defect;
    each kind counts the same. The mean of the weights found without each kind in turn, so that
    none of them decides alone: real defects will be of another kind again.
    """
    good = good[:MOST]
    without = [[part for j, part in enumerate(bad) if j != i] for i in range(len(bad))]
    found = []
    for kinds in without:
        kinds = kinds or bad
        found.append(_ascended(good, kinds, start=_best_few(good, kinds), gain=GAIN))
    return torch.stack(found).mean(0)


def capped(found: Tensor, shown: Tensor) -> Tensor:
    """Weights (P,) of which `shown` (P,) bool have no more than a share of SHOWN in all.

    Those are scores that were taught what the weights were found with: planted defects flatter
    them, and real ones will not.
    """
    share = found[shown].sum()
    if share <= SHOWN or shown.all():
        return found
    others = torch.where(shown, 0.0, found)
    others = others if others.any() else (~shown).float()
    return torch.where(shown, SHOWN * found / share, (1 - SHOWN) * others / others.sum())


def _best_few(good: Tensor, bad: Sequence[Tensor]) -> Tensor:
    """The longest of the best beginnings, (P,): of each score in it, 1."""
    P = good.shape[1]
    order = torch.stack([auroc(part, good) for part in bad]).mean(0).argsort(descending=True)
    prefixes = torch.zeros(P, P)
    for k in range(P):
        prefixes[order[: k + 1], k] = 1 / (k + 1)
    areas = torch.stack([auroc(part @ prefixes, good @ prefixes) for part in bad]).mean(0)
    start = int((1 - areas <= (1 + EQUAL) * (1 - areas.max())).nonzero().max())
    return prefixes[:, start] * (start + 1)


def _ascended(good: Tensor, bad: Sequence[Tensor], *, start: Tensor, gain: float) -> Tensor:
    """Weights that no further score improves: the mean AUROC over kinds, step by step."""
    chosen = start
    areas = [auroc((part @ start)[:, None], (good @ start)[:, None]) for part in bad]
    best = float(torch.stack(areas).mean())
    for _ in range(ROUNDS):
        totals = (good @ chosen)[:, None] + good
        areas = torch.stack([auroc((part @ chosen)[:, None] + part, totals) for part in bad])
        i = int(areas.mean(0).argmax())
        if areas[:, i].mean() <= best + gain * (1 - best):
            break
        best = float(areas[:, i].mean())
        chosen = chosen + F.one_hot(torch.tensor(i), len(chosen))
    return chosen / chosen.sum()
