"""Better samples by exploring the latent space: the methods by name, and the loop over samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Step
from preimage.core.config import changed
from preimage.core.errors import nearest_name
from preimage.exploration.decoding import check_room
from preimage.exploration.langevin import Langevin
from preimage.exploration.metropolis import MetropolisHastings
from preimage.exploration.ratio import DensityRatio
from preimage.exploration.rejection import Rejection
from preimage.exploration.target import Target

Method = Rejection | MetropolisHastings | Langevin

METHODS: dict[str, Callable[[], Method]] = {
    "rejection": Rejection,
    "metropolis-hastings": MetropolisHastings,
    "langevin": Langevin,
}


@dataclass(frozen=True)
class GuidedSamples:
    """Samples drawn towards real images, and what they cost."""

    images: Tensor  # (N, C, H, W) in [−1, 1]
    latents: Tensor  # (N, *space.shape)
    labels: Tensor | None  # (N,) of a conditional model
    log_ratio: Tensor  # (N,) log r: above 0, likelier among real images than among plain samples
    decodes: float  # for each sample; a plain one costs 1


def method(name: str, **options: Any) -> Method:
    """The method of that name, with its options. Raises InputError for one there is not."""
    if name not in METHODS:
        raise InputError(f"no method '{name}'; {nearest_name(name, METHODS)}")
    found, known = changed(METHODS[name](), **options)
    if unknown := options.keys() - known:
        names = [field.name for field in fields(found)]
        wrong = unknown.pop()
        raise InputError(f"no option '{wrong}' of {name}; {nearest_name(wrong, names)}")
    if found.strength < 0:
        raise InputError(f"strength={found.strength:g} would seek what is not real; give 0 or more")
    return found


def guide(
    model: LatentModel,
    n: int,
    method: Method,
    ratio: DensityRatio,
    *,
    seed: int = 0,
    label: int | str | None = None,
    prior: str | None = None,
    batch_size: int = 256,
    progress: Callable[[Step], None] | None = None,
) -> GuidedSamples:
    """n samples of a model by a method; sample 7 of a seed is the same whatever n.

    Raises InputError for what the method cannot do, and for more samples than memory holds.
    """
    check_room(model, n)
    target = Target(model, ratio, seed=seed, prior=prior, label=label)
    method.check(target)
    frozen = [p for p in model.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    try:
        parts = list(_batches(target, method, n, batch_size, progress))
    finally:
        for p in frozen:
            p.requires_grad_(True)
    images, latents, log_r, decodes = zip(*parts, strict=True)
    labels = target.labels(list(range(n)))
    return GuidedSamples(
        torch.cat(images),
        torch.cat(latents),
        None if labels is None else labels.cpu(),
        torch.cat(log_r),
        sum(decodes) / max(n, 1),
    )


def _batches(
    target: Target,
    method: Method,
    n: int,
    batch_size: int,
    progress: Callable[[Step], None] | None,
) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
    for first in range(0, max(n, 1), batch_size):
        rows = list(range(first, min(first + batch_size, n)))
        noise, log_r, decodes = torch.empty(0, target.dim), torch.empty(0), 0
        if rows:
            for noise, log_r, decodes in method.run(target, rows):  # noqa: B007
                pass
        with torch.no_grad():
            x = target.images(noise, rows).float().cpu()
        yield x, target.latents(noise).cpu(), log_r, decodes + len(rows)
        if progress is not None:
            progress(Step(first + len(rows), n, stage="sample"))
