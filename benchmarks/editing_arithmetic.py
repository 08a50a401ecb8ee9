"""z₁ − z₂ + z₃: beard and glasses − no beard but glasses + neither = beard without glasses.

Row "one person": the four faces differ in beard and glasses alone, the textbook's parallelogram.
Row "means of strangers": z₁ and z₂ are means of 20 faces each that have nothing to do with the
person of z₃, as of two folders. Row "strangers": of one face each. The true answer is the person of
z₃ with a beard, as the model reconstructs it and the judge reads it; agreement with the factors
that it was drawn from, which the reconstruction itself may miss, stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from editing_measures import agreement
from factor_regressor import Regressor, tensor
from preimage.data import faces
from preimage.data.faces import FACTORS, Factors

TRIPLES, FOLDER = 200, 20

Through = Callable[[Tensor], Tensor]


def arithmetic(
    encode: Through,
    decode: Through,
    judge: Regressor,
    edit: Callable[[Tensor], Tensor],  # the same edit by a direction: latents z₃ → with a beard
    *,
    triples: int = TRIPLES,
    seed: int = 5,
) -> tuple[dict[str, Any], Tensor]:
    """Shares of triples of which every factor is right, by row; and some pictures of row one."""

    def latents(factors: Factors) -> Tensor:
        return encode(tensor(faces.render(factors)))

    people = faces.sample(triples, seed=seed, correlated=True)
    z3 = latents(faces.change(people, beard="none", glasses="no"))
    bearded = faces.change(people, beard="beard", glasses="no")
    truth = judge.read(decode(latents(bearded)))
    drawn = {
        f.name: torch.nn.functional.one_hot(torch.from_numpy(bearded[f.name]), len(f.values))
        if f.values
        else torch.from_numpy(bearded[f.name])
        for f in FACTORS
    }

    def pair(of: Factors) -> tuple[Tensor, Tensor]:
        both = [faces.change(of, beard=beard, glasses="yes") for beard in ("beard", "none")]
        return latents(both[0]), latents(both[1])

    def strangers(count: int, seed: int) -> Tensor:
        n = triples * count
        z1 = latents(faces.change(faces.sample(n, seed=seed), beard="beard", glasses="yes"))
        z2 = latents(faces.change(faces.sample(n, seed=seed + 1), beard="none", glasses="yes"))
        return (z1 - z2).unflatten(0, (triples, count)).mean(1)

    z1, z2 = pair(people)
    answers = {
        "one person": z1 - z2 + z3,
        "means of strangers": strangers(FOLDER, 100) + z3,
        "strangers": strangers(1, 200) + z3,
        "the same edit, counterfactual": edit(z3),
    }
    rows: dict[str, Any] = {}
    for name, z in answers.items():
        seen = judge.read(decode(z))
        right = agreement(seen, truth, FACTORS)
        against = agreement(seen, drawn, FACTORS)
        rows[name] = {
            "right": _share(right),
            "beard": right["beard"].double().mean().item(),
            "worst": min((v.double().mean().item(), k) for k, v in right.items()),
            "right_as_drawn": _share(against),
        }
    reconstructed = agreement(truth, drawn, FACTORS)
    rows["*the reconstruction itself*"] = {"right": 1.0, "right_as_drawn": _share(reconstructed)}
    shown = torch.cat([decode(z[:8]) for z in (z1, z2, z3, answers["one person"])])
    return rows, shown


def _share(right: dict[str, Tensor]) -> float:
    return torch.stack(list(right.values())).all(0).double().mean().item()
