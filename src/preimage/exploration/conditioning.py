"""A direction that leaves other attributes as they are.

n̂ = n − Cᵀ(CCᵀ)⁻¹Cn, where the rows of C are the normals of the attributes to keep: what is left of
n changes none of their readings (Shen et al., "Interpreting the Latent Space of GANs for Semantic
Face Editing", 2020, §3.2, for one normal; the projection onto the complement of all for several).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.exploration.direction import Direction

DEPENDENT = 1e-6  # a normal of which this share is left beside the others adds nothing to them
NOTHING = 0.02  # how much of a direction must be left, as a share of its effect on its reading


def conditioned(direction: Direction, keep: Sequence[Direction]) -> Direction:
    """The direction made such that the readings of `keep` stay as they are.

    One unit still moves its own reading by one standard deviation.

    Raises InputError where an attribute is to move and to stay, and where nothing is left: what
    is kept decides the reading that is to move.
    """
    if not keep:
        return direction
    for kept in keep:
        if kept.attribute == direction.attribute:
            raise InputError(f"'{direction.name}' cannot move and be kept at once")
        if kept.model != direction.model or kept.space != direction.space:
            raise InputError(
                f"'{kept.name}' belongs to model {kept.model}, and '{direction.name}' to "
                f"{direction.model}"
            )
        if kept.normal is None:
            raise InputError(f"'{kept.name}' was found without labels: there is nothing to keep")
    n = direction.vector.double().flatten()
    C = torch.stack([_rows(kept) for kept in keep])  # (K, d)
    n̂ = projected(n, C)
    names = tuple(dict.fromkeys([*direction.conditioned, *(kept.attribute for kept in keep)]))
    if direction.normal is not None:
        w = direction.normal.double().flatten()
        effect, before = (w @ n̂).item(), (w @ n).item()
    else:
        effect, before = n̂.norm().item(), n.norm().item()
    if not effect > NOTHING * before:
        raise InputError(
            f"nothing of '{direction.name}' is left when {', '.join(k.name for k in keep)} must "
            "stay; keep fewer"
        )
    n̂ = n̂ * (before / effect)
    return replace(
        direction,
        vector=n̂.to(direction.vector.dtype).reshape(direction.vector.shape),
        conditioned=names,
        report={**direction.report, "left": round(effect / before, 4)},
    )


def projected(
    n: Tensor,  # (d,)
    C: Tensor,  # (K, d)
) -> Tensor:
    """n − Cᵀ(CCᵀ)⁻¹Cn: (d,). Rows that depend on one another, or are zero, do no harm."""
    # By the right singular vectors instead of (CCᵀ)⁻¹: the same where that exists, and stable.
    C = C / C.norm(dim=1, keepdim=True).clamp_min(1e-300)
    _, s, Vt = torch.linalg.svd(C, full_matrices=False)
    V = Vt[s > DEPENDENT * s[0]]  # orthonormal rows that span C's
    return n - V.T @ (V @ n)


def kept(names: Iterable[str], known: Mapping[str, Direction]) -> list[Direction]:
    """The directions that names mean: one, or of `hair` all of `hair:red`, `hair:grey`, ….

    Raises InputError for a name that is none.
    """
    found: list[Direction] = []
    for name in names:
        these = [d for d in known.values() if name in (d.name, d.attribute)]
        if not these:
            choices = {d.attribute for d in known.values()}
            mend = nearest_name(name, choices) if known else "there are no directions yet"
            raise InputError(f"nothing to keep by the name '{name}'; {mend}")
        found += [d for d in these if d not in found]
    return found


def _rows(direction: Direction) -> Tensor:
    assert direction.normal is not None
    return direction.normal.double().flatten()
