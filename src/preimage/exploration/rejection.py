"""Discriminator rejection sampling: keep a sample with the probability that it deserves.

Azadi et al., "Discriminator rejection sampling", 2019. A sample is taken with probability
(r/M)^β, and else drawn anew; what is taken follows r^β q. M, the largest r, is set by a rare sample
and would reject almost everything: as in the paper's γ, a percentile of r stands for it, and what
lies above is always taken (it then comes as often as M allows, and no oftener).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError
from preimage.exploration.target import Target


@dataclass(frozen=True)
class Rejection:
    """Independent samples, each at the cost of 1/acceptance decodes."""

    strength: float = 1.0  # β
    percentile: float = 99.0  # of r, which stands for M
    attempts: int = 1000  # for each sample at most

    def check(self, target: Target) -> None:
        """Raises InputError where so little would be accepted that it would not end."""
        if not 0 < self.percentile <= 100:
            raise InputError(f"percentile={self.percentile:g} is none; give 1 to 100, as in 99")
        rate = target.ratio.acceptance(self.log_M(target), self.strength)
        if rate * self.attempts < 20:  # (1 − rate)^attempts: one sample in e²⁰ would be left
            raise InputError(
                f"rejection would take {100 * rate:.2g} % of samples, about "
                f"{1 / max(rate, 1e-9):,.0f} decodes for each; lower strength={self.strength:g} or "
                f"percentile={self.percentile:g}, or take metropolis-hastings"
            )

    def log_M(self, target: Target) -> float:
        return target.ratio.ceiling(self.percentile / 100)

    @torch.no_grad()
    def run(self, target: Target, rows: list[int]) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Yields (noise, log r, decodes) of all rows after each attempt, until all are taken."""
        log_M = self.log_M(target)
        noise = torch.empty(len(rows), target.dim)
        log_r = torch.full((len(rows),), -torch.inf)
        waiting, decodes = torch.arange(len(rows)), 0
        for attempt in range(self.attempts):
            asked = [rows[i] for i in waiting.tolist()]
            ε = target.noise(asked, attempt)
            found = target.log_ratio(ε, asked)
            decodes += len(asked)
            taken = target.uniform(asked, attempt).log() < self.strength * (found - log_M)
            noise[waiting[taken]], log_r[waiting[taken]] = ε[taken], found[taken]
            waiting = waiting[~taken]
            yield noise, log_r, decodes
            if not len(waiting):
                return
        raise InputError(
            f"{len(waiting)} of {len(rows)} samples were rejected {self.attempts} times; "
            f"lower strength={self.strength:g} or percentile={self.percentile:g}"
        )
