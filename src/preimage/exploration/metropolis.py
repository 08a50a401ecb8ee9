"""The Metropolis–Hastings GAN: a chain through independent samples.

Turner et al., "Metropolis–Hastings generative adversarial networks", 2019. A chain moves from x to
a fresh sample x' with probability min(1, (r(x')/r(x))^β) (equation 3), and ends in r^β q without a
bound on r. Each sample is the end of a chain of its own, begun at the plain sample, so that samples
are independent and cost the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError
from preimage.exploration.target import Target


@dataclass(frozen=True)
class MetropolisHastings:
    """A fixed cost of steps + 1 decodes for each sample."""

    strength: float = 1.0  # β
    steps: int = 20

    def check(self, target: Target) -> None:
        if self.steps < 1:
            raise InputError(f"steps={self.steps} leaves plain samples; give 1 or more")

    @torch.no_grad()
    def run(self, target: Target, rows: list[int]) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Yields (noise, log r, decodes) of all rows, after each step."""
        noise = target.noise(rows)
        log_r = target.log_ratio(noise, rows)
        for k in range(1, self.steps + 1):
            proposed = target.noise(rows, k)
            found = target.log_ratio(proposed, rows)
            moved = target.uniform(rows, k).log() < self.strength * (found - log_r)
            noise = torch.where(moved[:, None], proposed, noise)
            log_r = torch.where(moved, found, log_r)
            yield noise, log_r, (k + 1) * len(rows)
