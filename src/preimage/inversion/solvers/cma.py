"""CMA-ES on every image by itself: needs no gradient, and steps over what is rough.

Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772, figure 6, with positive weights;
above `DENSE` numbers the covariance is diagonal (Ros & Hansen, "A Simple Modification in CMA-ES
Achieving Linear Time and Space Complexity", 2008). BasinCMA: Bau et al., "Seeing What a GAN Cannot
Generate", arXiv:1910.11626; Huh et al., "Transforming and Projecting Images into Class-conditional
Generative Networks", arXiv:2005.01703: the strategy is told what a few gradient steps made of each
of its seeds.

Cost: λ decodings an iteration; BasinCMA λ (k + 2), with their gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.inversion.noise import normal
from preimage.inversion.problem import Problem
from preimage.inversion.search import Search, Status, solve
from preimage.inversion.solvers.active import Active, since_fall
from preimage.inversion.solvers.adam import adam

DENSE = 100  # numbers in a latent up to which covariances are full
ROWS = 1024  # latents decoded at a time

# (problem, Z (M, λ, d)) → the best latents found from each (M, λ, d), losses (M, λ), decodings
Try = Callable[[Problem, Tensor], tuple[Tensor, Tensor, int]]


@dataclass(frozen=True)
class Strategy:
    """The constants of table 1 of the tutorial, for d numbers and a population of λ."""

    d: int
    λ: int

    def __post_init__(self) -> None:
        if self.λ < 4:
            raise ValueError("a population has at least 4 members")

    @property
    def dense(self) -> bool:
        return self.d <= DENSE

    def weights(self, like: Tensor) -> Tensor:
        """Of the better half, summing to 1: (μ,)."""
        μ = self.λ // 2
        w = math.log((self.λ + 1) / 2) - torch.arange(1, μ + 1).log()
        return (w / w.sum()).to(like)

    def rates(self, μ_w: float) -> tuple[float, float, float, float, float]:
        """c_σ, d_σ, c_c, c_1, c_μ."""
        d = self.d
        c_σ = (μ_w + 2) / (d + μ_w + 5)
        d_σ = 1 + 2 * max(0.0, math.sqrt((μ_w - 1) / (d + 1)) - 1) + c_σ
        c_c = (4 + μ_w / d) / (d + 4 + 2 * μ_w / d)
        c_1 = 2 / ((d + 1.3) ** 2 + μ_w)
        c_μ = min(1 - c_1, 2 * (μ_w - 2 + 1 / μ_w) / ((d + 2) ** 2 + μ_w))
        if not self.dense:  # a diagonal is learnt (d + 2)/3 times as fast
            c_1 = min(1.0, c_1 * (d + 2) / 3)
            c_μ = min(1 - c_1, c_μ * (d + 2) / 3)
        return c_σ, d_σ, c_c, c_1, c_μ


@dataclass
class State:
    """Of M images. C = B diag(D²) Bᵀ; where it is diagonal, C is (M, d), and B is of size 0."""

    mean: Tensor  # (M, d)
    σ: Tensor  # (M,)
    p_σ: Tensor  # (M, d)
    p_c: Tensor  # (M, d)
    C: Tensor  # (M, d, d) or (M, d)
    B: Tensor  # (M, d, d) or (M, 0, 0)
    D: Tensor  # (M, d)
    reference: Tensor  # (M,): the loss when it last fell
    waited: Tensor  # (M,): iterations since then


def cma(
    problem: Problem,
    z: Tensor,
    *,
    steps: int = 300,
    tolerance: float = 0.0,
    sigma: float = 0.5,
    population: int | None = None,
    patience: int | None = None,
    fall: float = 1e-3,
) -> Iterator[Search]:
    """Minimise F from latents z (B, d), without its gradient.

    sigma: the first population's standard deviation.
    population: latents tried an iteration for each image; None for 4 + 3 ln d.
    patience, fall: an image is finished when its best loss has not fallen by that share in so many
        iterations; None for 10 + 30 d / population.
    """
    return _evolve(
        problem, z, evaluated, steps=steps, tolerance=tolerance, sigma=sigma,
        population=population, patience=patience, fall=fall,
    )  # fmt: skip


def basin_cma(
    problem: Problem,
    z: Tensor,
    *,
    steps: int = 30,
    tolerance: float = 0.0,
    sigma: float = 0.5,
    population: int | None = None,
    gradient_steps: int = 30,
    lr: float = 0.05,
    patience: int | None = None,
    fall: float = 1e-3,
) -> Iterator[Search]:
    """CMA-ES over where to start `gradient_steps` of Adam from; options as in `cma` and `adam`."""

    def descended(problem: Problem, Z: Tensor) -> tuple[Tensor, Tensor, int]:
        found = solve(adam(problem, Z.flatten(0, 1), steps=gradient_steps, lr=lr))
        return found.z.reshape(Z.shape), found.loss.reshape(Z.shape[:2]), gradient_steps + 1

    return _evolve(
        problem, z, descended, steps=steps, tolerance=tolerance, sigma=sigma,
        population=population, patience=patience, fall=fall,
    )  # fmt: skip


def evaluated(problem: Problem, Z: Tensor) -> tuple[Tensor, Tensor, int]:
    return Z, problem.loss(Z.flatten(0, 1)).reshape(Z.shape[:2]), 1


@torch.no_grad()
def _evolve(
    problem: Problem,
    z: Tensor,
    attempt: Try,
    *,
    steps: int,
    tolerance: float,
    sigma: float,
    population: int | None,
    patience: int | None,
    fall: float,
) -> Iterator[Search]:
    d = z.shape[1]
    strategy = Strategy(d, population or 4 + int(3 * math.log(d)))
    patience = patience or 10 + math.ceil(30 * d / strategy.λ)
    active = Active.begin(problem, z, tolerance=tolerance)
    state = begin(strategy, active.z, active.loss, sigma)
    for iteration in range(steps):
        if not len(active):
            break
        noise = normal(active.problem.seeds, strategy.λ * d, draw=iteration)
        Z = ask(state, noise.to(active.loss).reshape(len(active), strategy.λ, d))
        Z = projected(active.problem, Z, iteration)
        found, losses, decodings = tried(active.problem, Z, attempt)
        active.spend(strategy.λ * decodings)
        best = losses.argmin(1)
        active.improve(*(x[torch.arange(len(x), device=x.device), best] for x in (found, losses)))
        active.finish(losses.isinf().all(1), Status.FAILED)

        state = tell(strategy, state, Z, losses, iteration)
        state.reference, state.waited = since_fall(
            active.loss, state.reference, state.waited, fall=fall
        )
        flat = state.σ * state.D.amax(1) < 1e-7 * state.mean.abs().amax(1).clamp_min(1e-3)
        active.finish(flat | (state.waited >= patience), Status.STALLED)
        state = active.compact(state)
        yield active.search
    active.search.finish(active.search.active, Status.LIMIT)
    yield active.search


def projected(problem: Problem, Z: Tensor, iteration: int) -> Tensor:
    """Every member of the populations (M, λ, d) brought into the sets that are asked for."""
    if not problem.objective.projections:
        return Z
    members = [problem.project(z, iteration=iteration) for z in Z.unbind(1)]
    return torch.stack(members, 1)


def tried(problem: Problem, Z: Tensor, attempt: Try) -> tuple[Tensor, Tensor, int]:
    """What `attempt` makes of populations (M, λ, d), a bounded number of latents at a time.

    A loss that is no number is infinite.
    """
    M, λ, _ = Z.shape
    found, losses, decodings = [], [], 0
    for rows in torch.arange(M, device=Z.device).split(max(1, ROWS // λ)):
        part = problem.select(rows.repeat_interleave(λ))
        best, loss, decodings = attempt(part, Z[rows])
        found.append(best)
        losses.append(loss)
    return torch.cat(found), torch.cat(losses).nan_to_num(torch.inf, torch.inf), decodings


def begin(strategy: Strategy, z: Tensor, loss: Tensor, sigma: float) -> State:
    M, d = z.shape
    zero, one = torch.zeros_like(z), torch.ones_like(z)
    B = torch.eye(d).to(z).repeat(M, 1, 1) if strategy.dense else z.new_empty(M, 0, 0)
    waited = torch.zeros(M, dtype=torch.int64, device=z.device)
    σ = torch.full_like(loss, sigma)
    C = B.clone() if strategy.dense else one
    return State(z, σ, zero, zero, C, B, one, loss, waited)


def ask(state: State, noise: Tensor) -> Tensor:
    """The population mean + σ B D ε, of noise ε (M, λ, d)."""
    y = state.D[:, None] * noise
    if state.B.shape[1]:
        y = y @ state.B.mT
    return state.mean[:, None] + state.σ[:, None, None] * y


def tell(strategy: Strategy, state: State, Z: Tensor, losses: Tensor, iteration: int) -> State:
    """The strategy after the losses (M, λ) of its population (M, λ, d): equations 39 to 47."""
    d, w = strategy.d, strategy.weights(Z)
    μ_w = 1 / float(w.square().sum())
    c_σ, d_σ, c_c, c_1, c_μ = strategy.rates(μ_w)
    better = losses.argsort(dim=1, stable=True)[:, : len(w)]
    Y = (Z - state.mean[:, None]) / state.σ[:, None, None]
    Y = Y.gather(1, better[:, :, None].expand(-1, -1, d))
    y = (w[:, None] * Y).sum(1)

    p_σ = (1 - c_σ) * state.p_σ + math.sqrt(c_σ * (2 - c_σ) * μ_w) * whitened(state, y)
    χ = math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d**2))  # E‖N(0, I)‖
    length = p_σ.norm(dim=1)
    σ = state.σ * ((c_σ / d_σ) * (length / χ - 1)).clamp_max(1).exp()

    so_far = math.sqrt(1 - (1 - c_σ) ** (2 * (iteration + 1)))
    h = (length / so_far < (1.4 + 2 / (d + 1)) * χ).to(y)[:, None]
    p_c = (1 - c_c) * state.p_c + h * math.sqrt(c_c * (2 - c_c) * μ_w) * y
    kept = 1 - c_1 - c_μ + c_1 * c_c * (2 - c_c) * (1 - h)
    if not strategy.dense:
        C = kept * state.C + c_1 * p_c.square() + c_μ * (w[:, None] * Y.square()).sum(1)
        return State(
            state.mean + state.σ[:, None] * y, σ, p_σ, p_c, C, state.B, C.sqrt(),
            state.reference, state.waited,
        )  # fmt: skip
    C = kept[:, None] * state.C + c_1 * p_c[:, :, None] * p_c[:, None]
    C = C + c_μ * (w[:, None] * Y).mT @ Y
    B, D = state.B, state.D
    if iteration % max(1, int(1 / (10 * d * (c_1 + c_μ)))) == 0:
        variances, B = torch.linalg.eigh(C.nan_to_num(0, 0, 0))  # of one that is lost
        D = variances.clamp_min(1e-14).sqrt()
    return State(
        state.mean + state.σ[:, None] * y, σ, p_σ, p_c, C, B, D, state.reference, state.waited
    )


def whitened(state: State, y: Tensor) -> Tensor:
    """C^(−½) y = B D⁻¹ Bᵀ y: (M, d)."""
    if not state.B.shape[1]:
        return y / state.D
    return (state.B @ ((state.B.mT @ y[:, :, None]) / state.D[:, :, None]))[:, :, 0]
