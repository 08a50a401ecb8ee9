"""Early warning of mode collapse: samples that differ less among themselves than images do."""

from __future__ import annotations

from torch import Tensor

WARN_BELOW = 0.4


def diversity(features: Tensor) -> float:
    """Root mean squared distance between pairs of rows (N, F): √(2 · total variance)."""
    return (2 * features.double().var(0, correction=0).sum()).sqrt().item()


def relative_diversity(fake: float, real: float) -> float:
    """The diversity of samples over that of real images; 1 where those do not differ at all."""
    return fake / real if real > 0 else 1.0


def collapse_warning(ratio: float) -> tuple[str, ...]:
    """A sentence where samples are less than 0.4 times as diverse as real images, else nothing."""
    if ratio >= WARN_BELOW:
        return ()
    return (
        f"samples are only {ratio:.0%} as diverse as real images: the generator may be collapsing; "
        "raise --r1 and --r2, lower the learning rate, or take the recipe vae-gan",
    )
