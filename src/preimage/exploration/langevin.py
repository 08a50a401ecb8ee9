"""Discriminator-driven latent sampling: Langevin steps in the energy of the latent space.

Che et al., "Your GAN is secretly an energy-based model and you should use discriminator driven
latent sampling", 2020. With E(ε) = ½‖ε‖² − β log r(G(T(ε))) a step is (equation 9)

    ε' = ε − ½ h ∇E(ε) + √h n,    n ~ N(0, I).

Steps of a finite size lead elsewhere than exp(−E): for E = ½‖ε‖² to a variance of 1/(1 − h/4), and
on the rough energy of a generator much further. Taken or refused by the rule of Metropolis (Roberts
& Tweedie 1996), they lead exactly there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError
from preimage.exploration.target import Target


@dataclass(frozen=True)
class Langevin:
    """A chain for each sample, begun at the plain sample; steps + 1 decodes with their slopes."""

    strength: float = 1.0  # β
    steps: int = 20
    step_size: float = 0.1  # h
    adjusted: bool = True  # by Metropolis' rule; else as in the paper

    def check(self, target: Target) -> None:
        if self.steps < 1:
            raise InputError(f"steps={self.steps} leaves plain samples; give 1 or more")
        if not 0 < self.step_size < 4:
            raise InputError(f"step_size={self.step_size:g} diverges; give more than 0, below 4")

    def run(self, target: Target, rows: list[int]) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Yields (noise, log r, decodes) of all rows, after each step."""
        h = self.step_size
        ε = target.noise(rows)
        log_r, slope = self.slope(target, ε, rows)
        for k in range(1, self.steps + 1):
            mean = ε - h / 2 * slope
            proposed = mean + math.sqrt(h) * target.noise(rows, k)
            found, there = self.slope(target, proposed, rows)
            if self.adjusted:
                back = proposed - h / 2 * there
                gain = self.energy(ε, log_r) - self.energy(proposed, found)
                # log q(ε | ε') − log q(ε' | ε)
                gain += ((proposed - mean).square() - (ε - back).square()).sum(1) / (2 * h)
                moved = target.uniform(rows, k).log() < gain
            else:
                moved = torch.ones(len(rows), dtype=torch.bool)
            ε = torch.where(moved[:, None], proposed, ε)
            slope = torch.where(moved[:, None], there, slope)
            log_r = torch.where(moved, found, log_r)
            yield ε, log_r, (k + 1) * len(rows)

    def energy(self, ε: Tensor, log_r: Tensor) -> Tensor:
        """E of each row: (B,)."""
        return ε.square().sum(1) / 2 - self.strength * log_r

    def slope(self, target: Target, ε: Tensor, rows: list[int]) -> tuple[Tensor, Tensor]:
        """log r (B,) and ∇E (B, dim)."""
        with torch.enable_grad():
            ε = ε.detach().requires_grad_(True)
            log_r = target.log_ratio(ε, rows)
            (slope,) = torch.autograd.grad(self.energy(ε, log_r).sum(), ε)
        return log_r.detach(), slope
