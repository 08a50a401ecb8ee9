"""Adam (Kingma & Ba, arXiv:1412.6980, algorithm 1) on every image by itself.

With the noise and learning-rate ramps of StyleGAN's projector (Karras et al., "Analyzing and
Improving the Image Quality of StyleGAN", arXiv:1912.04958, appendix D) it is `projector`.

Cost: one decoding and its gradient an iteration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import LatentSpace, seeds
from preimage.inversion.noise import normal
from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Status
from preimage.inversion.solvers.active import Active, since_fall


@dataclass
class State:
    z: Tensor  # (M, d)
    m: Tensor  # (M, d): mean of gradients
    v: Tensor  # (M, d): mean of their squares
    reference: Tensor  # (M,): the loss when it last fell
    waited: Tensor  # (M,): iterations since then


@torch.no_grad()
def adam(
    problem: Problem,
    z: Tensor,
    *,
    steps: int = 500,
    tolerance: float = 0.0,
    lr: float = 0.05,
    betas: tuple[float, float] = (0.9, 0.999),
    noise: float = 0.0,
    noise_until: float = 0.75,
    ramp_up: float = 0.0,
    ramp_down: float = 0.0,
    patience: int = 100,
    fall: float = 1e-3,
) -> Iterator[Search]:
    """Minimise F from latents z (B, d).

    noise: standard deviation of what is added to latents before decoding, at first, as a share of
        the space's √E‖z − E z‖²; it fades, quadratically, until the share `noise_until` of steps.
    ramp_up, ramp_down: shares of the steps in which the learning rate rises linearly from 0, and
        falls to 0 along a cosine.
    patience, fall: an image is finished when its best loss has not fallen by that share in so many
        iterations; while there is noise, or a ramp still to come, none is.
    """
    active = Active.begin(problem, z, tolerance=tolerance)
    σ = noise * spread(problem.model.space) if noise else 0.0
    z = active.z
    state = State(
        z, torch.zeros_like(z), torch.zeros_like(z), active.loss, torch.zeros_like(active.rows)
    )
    β1, β2 = betas
    for step in range(steps):
        if not len(active):
            break
        t = step / steps
        fade = max(0.0, 1 - t / noise_until) ** 2
        trial = state.z
        if σ * fade:
            ε = normal(active.problem.seeds, trial.shape[1], draw=step).to(trial)
            trial = trial + σ * fade * ε
        loss, g = active.problem.loss_and_gradient(trial)
        active.spend(1)
        active.improve(trial, loss)
        active.finish(~(loss.isfinite() & g.isfinite().all(1)), Status.FAILED)

        state.m = β1 * state.m + (1 - β1) * g
        state.v = β2 * state.v + (1 - β2) * g.square()
        m̂, v̂ = state.m / (1 - β1 ** (step + 1)), state.v / (1 - β2 ** (step + 1))
        α = lr * ramp(t, up=ramp_up, down=ramp_down)
        state.z = active.problem.project(state.z - α * m̂ / (v̂.sqrt() + 1e-8), iteration=step)

        state.reference, state.waited = since_fall(
            active.loss, state.reference, state.waited, fall=fall
        )
        if not (noise or ramp_down):
            active.finish(state.waited >= patience, Status.STALLED)
        state = active.compact(state)
        yield active.search
    active.search.finish(active.search.active, Status.LIMIT)
    yield active.search


def projector(
    problem: Problem,
    z: Tensor,
    *,
    steps: int = 1000,
    tolerance: float = 0.0,
    lr: float = 0.1,
    noise: float = 0.05,
) -> Iterator[Search]:
    """Adam as StyleGAN's projector runs it, with noise that fades and a learning rate of ramps."""
    return adam(
        problem,
        z,
        steps=steps,
        tolerance=tolerance,
        lr=lr,
        noise=noise,
        ramp_up=0.05,
        ramp_down=0.25,
    )


def ramp(t: float, *, up: float, down: float) -> float:
    """The learning rate's share at t from 0 to 1 of the way.

    (½ − ½ cos(π min(1, (1 − t)/down))) · min(1, t/up): `projector.py` of NVlabs/stylegan2.
    """
    share = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / down)) if down else 1.0
    return share * min(1.0, t / up) if up else share


def spread(space: LatentSpace, n: int = 1024) -> float:
    """√E‖z − E z‖² of the space's samples; √d where no prior is known."""
    if not space.priors:
        return math.sqrt(space.size)
    z = space.draw(n, seeds.generator(0, "spread")).flatten(1)
    return float((z - z.mean(0)).square().sum(1).mean().sqrt())
