"""Strengths that are true in images: directions corrected by what the model itself makes of them.

A linear reading of latents promises that one unit along n is one standard deviation of the
attribute. Whether it is shows only in the picture: decode z + s·n, read the image again, and the
slope of the readings on s says how much came of each unit. For several directions
the slopes form a matrix R, of which reading i answers to direction j, and the directions are mixed
such that each has the slopes that were meant: 1 for its own reading and 0 for those of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Unsupported
from preimage.exploration.direction import Direction
from preimage.metrics.measure import Measure, of_mean

STRENGTHS = (-1.0, -0.5, 0.5, 1.0)
LEAST_SLOPE = 0.05  # of a direction's own reading: below, it does nothing worth scaling
DAMPING = 0.01  # of a mixture, in squared slopes: how dear it is to leave the direction
Reader = Callable[[Tensor, Tensor | None], Tensor]  # images and their labels → readings (B, R)


def encoded(model: LatentModel, readings: Sequence[Direction]) -> Reader:
    """The readings of images by the model's own encoder.

    Raises Unsupported where it has none.
    """
    if not model.can("encode"):
        raise Unsupported(
            "calibration reads the images again, and this model has no encoder; "
            "train one with: preimage encoder"
        )

    def read(x: Tensor, labels: Tensor | None) -> Tensor:
        z = model.encode(x, labels).mean
        return torch.stack([direction.read(z) for direction in readings], 1)

    return read


@torch.no_grad()
def slopes(
    model: LatentModel,
    directions: Sequence[Direction],
    latents: Tensor,  # (N, *space.shape): where to begin
    read: Reader,
    *,
    labels: Tensor | None = None,  # (N,), of a conditional model
    strengths: Sequence[float] = STRENGTHS,
    batch_size: int = 256,
) -> Tensor:
    """How much each reading changes for each unit along each direction: (N, R, D), on the CPU.

    The least-squares slope over the strengths, of every latent by itself.
    """
    s = torch.tensor(strengths)
    weights = (s - s.mean()) / (s - s.mean()).square().sum()
    parts = []
    for rows in torch.arange(len(latents)).split(max(1, batch_size // len(s))):
        z = latents[rows].to(model.device).repeat_interleave(len(s), 0)
        y = None if labels is None else labels[rows].to(model.device).repeat_interleave(len(s), 0)
        at = s.repeat(len(rows)).to(z)
        per_direction = []
        for direction in directions:
            x = model.decode(direction.move(z, at), y, space=direction.space)
            readings = read(x, y).float().cpu().reshape(len(rows), len(s), -1)
            per_direction.append(torch.einsum("s,nsr->nr", weights, readings))
        parts.append(torch.stack(per_direction, 2))
    return torch.cat(parts)


def calibrated(
    model: LatentModel,
    direction: Direction,
    latents: Tensor,
    *,
    labels: Tensor | None = None,
    read: Reader | None = None,  # readings (B, 1) of images; unset, by the model's encoder
    **options: object,
) -> Direction:
    """The direction with its length such that one unit is one standard deviation in images.

    The report gets `slope`, what one unit was before, with its interval over latents.

    Raises Unsupported where the model has no encoder and no other reader is given; InputError
    where images hardly answer to the direction, or with the opposite.
    """
    reader = read or encoded(model, [direction])
    found = slopes(model, [direction], latents, reader, labels=labels, **options)  # type: ignore[arg-type]
    slope = of_mean(found[:, 0, 0])
    _check(direction, slope)
    return replace(
        direction,
        vector=direction.vector / slope.value,
        report={**direction.report, "slope": asdict(slope)},
    )


def calibrated_jointly(
    model: LatentModel,
    directions: Sequence[Direction],
    latents: Tensor,
    *,
    labels: Tensor | None = None,
    read: Reader | None = None,  # readings (B, D) of images; unset, by the model's encoder
    **options: object,
) -> list[Direction]:
    """All directions corrected at once: each moves its own reading by 1 and no other, in images.

    Columns q of the mixture minimise Σᵢ ρᵢ² (Rq − meant)ᵢ² + λ Σᵢ (q − eⱼ)ᵢ²/ρᵢ², where ρᵢ is how
    well reading i correlates with its attribute: what cannot be read is no reason to change
    anything, and nothing to change it with.
    Values of one attribute, `hair:red` and `hair:grey`, keep moving one another as they do in
    latents. The report gets `slope`, as in `calibrated`.
    """
    reader = read or encoded(model, directions)
    found = slopes(model, directions, latents, reader, labels=labels, **options)  # type: ignore[arg-type]
    R = found.mean(0).double()  # (readings, directions)
    ρ = torch.tensor([_reliability(direction) for direction in directions], dtype=torch.float64)
    RW, λ = R.T * ρ.square(), torch.diag(DAMPING / ρ.square())
    mixture = torch.linalg.solve(RW @ R + λ, RW @ _meant(directions) + λ)  # (D, D)
    N = torch.stack([d.vector.double() for d in directions], -1) @ mixture
    return [
        replace(
            direction,
            vector=N[..., j].to(direction.vector.dtype),
            report={**direction.report, "slope": asdict(of_mean(found[:, j, j]))},
        )
        for j, direction in enumerate(directions)
    ]


def _reliability(direction: Direction) -> float:
    """The correlation of the reading with its attribute, as cross-validated; 1 where unknown."""
    correlations = direction.report.get("correlations")
    known = correlations if isinstance(correlations, dict) else {}
    return max(float(known.get(direction.name, 1.0)), LEAST_SLOPE)


def _meant(directions: Sequence[Direction]) -> Tensor:
    """w_i·n_j within one attribute, and otherwise 1 for its own and 0: (D, D)."""
    meant = torch.eye(len(directions), dtype=torch.float64)
    for i, reading in enumerate(directions):
        for j, direction in enumerate(directions):
            same = reading.attribute == direction.attribute
            if i != j and same and reading.normal is not None:
                w, n = reading.normal.double(), direction.vector.double()
                meant[i, j] = (w * n).sum()
    return meant


def _check(direction: Direction, slope: Measure) -> None:
    if not slope.value > LEAST_SLOPE:
        raise InputError(
            f"images hardly answer to '{direction.name}': one unit moves its reading by "
            f"{slope.value:.2g}, where 1 is meant"
        )
