"""The shortest way between two latents, as the images measure it.

A decoder G pulls the distance of images back to its latents: there, a step dz is as long as the
change J dz of the image (Arvanitidis, Hansen & Hauberg, "Latent Space Oddity", 2018). The curve
of least energy is a shortest one, walked evenly. The energy of n points is (Shao, Kumar &
Fletcher, "The Riemannian Geometry of Deep Generative Models", 2018, §3.1)

    E = ½ (n − 1) Σᵢ ‖G(zᵢ₊₁) − G(zᵢ)‖²,    E ≥ ½ L² for the length L = Σᵢ ‖G(zᵢ₊₁) − G(zᵢ)‖,

minimised here over z₂ … zₙ₋₁ by L-BFGS, all points of all curves in one batch. If the metric
M = JᵀJ were the same everywhere, the Hessian would be K ⊗ M, with K the second difference along the
curve. In the coordinates where that is the identity, a linear G takes one step, and others few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Step, Unsupported
from preimage.exploration.decoding import AT_ONCE, decoded
from preimage.exploration.interpolation import lerp, slerp
from preimage.inversion.search import Status
from preimage.inversion.solvers.lbfgs import State, advance, begin

STEPS = 80  # evaluations of one curve at most
FALL, PATIENCE = 1e-4, 4  # a curve is done when so many steps each lowered it by less than that
HISTORY = 10  # curvature pairs of L-BFGS
METRICS = (0.2, 0.5, 0.8)  # where on the straight line the metric is averaged
SECANT = 0.1  # of the distance between the ends: the differences that the metric is taken from
RIDGE = 1e-3  # on the metric, of its mean eigenvalue
LARGEST = 512  # latents of more numbers are searched without a metric, which would cost more


@dataclass(frozen=True)
class Geodesics:
    """B curves of n points each, and what they were before they were straightened."""

    latents: Tensor  # (B, n, *space.shape)
    length: Tensor  # (B,): of the images' path
    energy: Tensor  # (B,)
    straight_length: Tensor  # (B,): of lerp's
    straight_energy: Tensor  # (B,)
    spherical_length: Tensor  # (B,): of slerp's
    spherical_energy: Tensor  # (B,)
    evaluations: Tensor  # (B,): of the energy and its gradient
    status: Tensor  # (B,) of `preimage.inversion.Status`


@dataclass(frozen=True)
class _Curves:
    """B curves from one latent to another, in coordinates y (B, (n − 2) d) in which they are 0."""

    model: LatentModel
    start: Tensor  # (B, n, d)
    labels: Tensor | None  # (B,)
    across: Tensor  # (n − 2, n − 2): T with T Tᵀ = K⁻¹
    within: Tensor | None  # (B, d, d): C with C Cᵀ = M⁻¹; the identity where None

    def latents(self, y: Tensor) -> Tensor:
        """z = z₀ + T y Cᵀ: (B, n, d)."""
        B, n, d = self.start.shape
        moved = self.across @ y.view(B, n - 2, d)
        if self.within is not None:
            moved = moved @ self.within.mT
        return self.start + torch.nn.functional.pad(moved, (0, 0, 1, 1))

    def half_squares(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """½ Σ ‖ΔG‖² (B,), the energy without its factor, and its gradient (B, (n − 2) d)."""
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            f = 0.5 * _steps(self.model, self.latents(y), self.labels).square().sum((1, 2))
            if not f.requires_grad:
                raise Unsupported("the generator gives no gradient; use lerp or slerp")
            (g,) = torch.autograd.grad(f.sum(), y)
        return f.detach(), g

    def select(self, kept: Tensor) -> _Curves:
        labels = None if self.labels is None else self.labels[kept]
        within = None if self.within is None else self.within[kept]
        return replace(self, start=self.start[kept], labels=labels, within=within)


@torch.no_grad()
def geodesics(
    model: LatentModel,
    a: Tensor,  # (B, *space.shape)
    b: Tensor,  # (B, *space.shape)
    *,
    points: int = 16,  # of each curve, with its ends
    labels: Tensor | None = None,  # (B,) classes, of a conditional model
    steps: int = STEPS,
    progress: Callable[[Step], None] | None = None,
) -> Geodesics:
    """The curves from a to b that are shortest in images: evenly walked, never longer than lerp's
    or slerp's through as many points.

    Raises InputError for fewer than 3 points and for images that are not finite, and Unsupported
    where the generator gives no gradient.
    """
    if points < 3:
        raise InputError(f"a geodesic of {points} points has none to move; give at least 3")
    groups = torch.arange(len(a)).split(max(1, AT_ONCE // points))
    found = []
    for rows in groups:

        def report(step: int, done: int = len(found)) -> None:
            if progress is not None:
                progress(Step(done * steps + step, len(groups) * steps, stage="geodesic"))

        of_rows = None if labels is None else labels[rows.to(labels.device)]
        found.append(_shortened(model, a[rows], b[rows], points, of_rows, steps, report))
    return Geodesics(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))


def _shortened(
    model: LatentModel,
    a: Tensor,
    b: Tensor,
    n: int,
    labels: Tensor | None,
    steps: int,
    report: Callable[[int], None],
) -> tuple[Tensor, ...]:
    """The fields of `Geodesics` of some pairs, which are searched for at once."""
    B, device = len(a), model.device
    flat_a, flat_b = (x.flatten(1).to(device).float() for x in (a, b))
    labels = None if labels is None else labels.to(device)
    t = torch.linspace(0, 1, n, device=device)
    plain = [torch.stack([f(flat_a, flat_b, s) for s in t.tolist()], 1) for f in (lerp, slerp)]
    lengths, energies = zip(*(_measured(model, z, labels) for z in plain), strict=True)
    if not torch.stack(lengths).isfinite().all():
        raise InputError("the generator gives no finite image between these latents")
    spherical = energies[1] < energies[0]
    start = torch.where(spherical[:, None, None], plain[1], plain[0])
    curves = _Curves(model, start, labels, _across(n - 2, device), _within(model, plain[0], labels))
    z, status, evaluations = _minimised(curves, steps, report)
    length, energy = _measured(model, z, labels)
    lengths, energies = torch.stack([length, *lengths]), torch.stack([energy, *energies])
    shortest, rows = lengths.argmin(0), torch.arange(B, device=device)
    z = torch.stack([z, *plain])[shortest, rows].reshape(B, n, *a.shape[1:])
    of_shortest = (lengths[shortest, rows], energies[shortest, rows])
    before = (lengths[1], energies[1], lengths[2], energies[2])
    return z, *of_shortest, *before, evaluations, status


def _minimised(
    curves: _Curves, steps: int, report: Callable[[int], None]
) -> tuple[Tensor, Tensor, Tensor]:
    """L-BFGS of every curve by itself: latents (B, n, d), status (B,), evaluations (B,)."""
    B, n, d = curves.start.shape
    y = curves.start.new_zeros(B, (n - 2) * d)
    rows, best = torch.arange(B, device=y.device), curves.start.clone()
    status = torch.full((B,), int(Status.LIMIT), device=y.device)
    evaluations = torch.ones_like(status)
    state = begin(y, *curves.half_squares(y), HISTORY)
    if curves.within is not None:  # where the Hessian is nearly 1, so is the first step
        state = replace(state, t=torch.ones_like(state.t))
    for step in range(1, steps):
        report(step)
        trial = state.z + state.t[:, None] * state.p
        state, stuck = advance(state, trial, *curves.half_squares(trial), fall=FALL)
        evaluations[rows] += 1
        best[rows] = curves.latents(state.z)
        ended = stuck | (state.idle >= PATIENCE) | (state.f == 0)
        status[rows[ended]] = int(Status.STALLED)
        if ended.any():
            kept = ~ended
            rows, curves = rows[kept], curves.select(kept)
            state = State(*(value[kept] for value in vars(state).values()))
        if not len(rows):
            break
    return best, status, evaluations


def _steps(model: LatentModel, z: Tensor, labels: Tensor | None) -> Tensor:
    """The images' differences along curves (B, n, d): (B, n − 1, m)."""
    B, n, _ = z.shape
    each = None if labels is None else labels.repeat_interleave(n)
    x = model.decode(z.reshape(B * n, *model.space.shape), each)
    return x.float().reshape(B, n, -1).diff(dim=1)


def _measured(model: LatentModel, z: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Length and energy of curves (B, n, d): (B,) each."""
    steps = _steps(model, z, labels).norm(dim=2)
    return steps.sum(1), 0.5 * (z.shape[1] - 1) * steps.square().sum(1)


def _across(k: int, device: torch.device) -> Tensor:
    """T (k, k) with T Tᵀ = K⁻¹, for the second difference K of a curve with fixed ends."""
    beside = torch.ones(k - 1, dtype=torch.float64)
    K = 2 * torch.eye(k, dtype=torch.float64) - torch.diag(beside, 1) - torch.diag(beside, -1)
    return torch.linalg.inv(torch.linalg.cholesky(K)).mT.float().to(device)


def _within(model: LatentModel, line: Tensor, labels: Tensor | None) -> Tensor | None:
    """C (B, d, d) with C Cᵀ = M⁻¹, M the mean metric on lines (B, n, d); None for many latents.

    J is taken by differences, a tenth of the line's length wide: it guides the search, no more.
    """
    B, n, d = line.shape
    if d > LARGEST:
        return None
    wide = (line[:, -1] - line[:, 0]).norm(dim=1).clamp_min(1e-3) * SECANT
    directions = wide[:, None, None] * torch.eye(d, device=line.device)
    M = line.new_zeros(B, d, d)
    for s in METRICS:
        middle = line[:, round(s * (n - 1))]
        for i in range(B):
            z = torch.cat([middle[i : i + 1], middle[i] + directions[i]])
            each = None if labels is None else labels[i].expand(d + 1)
            x = decoded(model, z.reshape(d + 1, *model.space.shape), each).flatten(1)
            J = (x[1:] - x[0]) / wide[i]  # (d, m)
            M[i] += J @ J.mT / len(METRICS)
    mean = M.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    M += RIDGE * mean[:, None, None] * torch.eye(d, device=M.device)
    return torch.linalg.inv(torch.linalg.cholesky(M)).mT
