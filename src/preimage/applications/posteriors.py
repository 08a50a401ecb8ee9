"""An image seen through A, as a distribution over what it was: p(x | y) for y = A(x) + noise.

With x = G(z) + δ and δ ~ N(m, W Wᵀ + Ψ) (`discrepancy.py`), everything but z is Gaussian and is
integrated out: for linear A,

    y | z ~ N(A (G(z) + m), S),        S = A W (A W)ᵀ + Ψ_A,

Ψ_A the diagonal of A Ψ Aᵀ plus the noise of the observation. Where much is hidden, several latents
explain the rest; so −log p(z | y) is descended from several starts by Levenberg–Marquardt, and the
posterior is a mixture of the Laplace approximations about the ends, each with its evidence
(MacKay 1992). Its samples are weighted to be samples of the posterior itself (Owen, "Monte Carlo
Theory, Methods and Examples", §9.2), as far as enough of them are left with any weight. Given z,
what is left of x is Gaussian again, in closed form.

Latents whose images the model's critic D takes for drawn ones may be made less likely, as in Yeh et
al. 2017, equation 4: with λ softplus(−D(G(z))) added to the energy, the prior is p(z) σ(D(G(z)))^λ.

S⁻¹ = Ψ^−½ (I − U C⁻¹ Uᵀ) Ψ^−½ with U = Ψ^−½ A W and C = I + Uᵀ U, so nothing of the size of an
image squared is ever formed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.applications.discrepancy import Discrepancy
from preimage.core import Unsupported, seeds
from preimage.core.latent import Prior
from preimage.inversion.curvature import of_values
from preimage.inversion.jacobian import jacobian
from preimage.inversion.noise import normal
from preimage.inversion.posterior import ROUNDING, local_gaussian, local_prior, log_prior
from preimage.inversion.problem import Operator, Problem, Weighted
from preimage.inversion.starts import is_shared

STEPS = 12  # iterations of a search at most
SHORT = 2  # of the first searches, of which the best third goes on
BLOCK = 1 << 24  # numbers of Jacobians held at a time: 128 MiB
SETTLED = 1e-3  # nats that an iteration must gain for the search to go on
PROBES = 256  # images of noise from which the diagonal of A Ψ Aᵀ is estimated
EFFECTIVE = 0.25  # share of the samples that must be left after weighting (Kong 1992)
FLAT = 1e-10  # of the prior's precision, added to a curvature that is not quite positive


@dataclass(frozen=True)
class Seen:
    """The metric S⁻¹ of observations of B images; a part is of length 1 where it is all images'.

    Of the values of an observation only those count that some image's operator sees, m of them.
    """

    where: Tensor  # (m,): which values these are
    shift: Tensor  # A m: (B, m)
    root: Tensor  # Ψ_A^−½: (B, m); 0 where nothing was seen
    U: Tensor  # (B, m, k)
    factor: Tensor  # the Cholesky factor of C: (B, k, k)
    rest: Tensor  # the variance of each pixel that is left of Ψ: (B, D)
    floor: Tensor  # the variance of what is observed, besides what the generator leaves: (B,)
    prior: Prior | None  # of the latents; None: the space's own
    adversarial: float  # λ

    @staticmethod
    def of(
        problem: Problem,
        left: Discrepancy,
        noise: Tensor,
        prior: Prior | None = None,
        adversarial: float = 0.0,
    ) -> Seen:
        """noise: σ of the observations themselves, (B,), or (1,) for all.

        Raises Unsupported where there is a discrepancy and A is not linear.
        """
        A, y = problem.through, problem.target
        k = left.factors.shape[1]
        if not A.linear and k:
            raise Unsupported(f"{A} is not linear; give examples=None, and only noise is assumed")
        shape, B = problem.model.data.shape, len(y)
        shared = is_shared(A, y.new_zeros(1, *shape), B)
        weights = A.weights(y) if isinstance(A, Weighted) else None
        ψ = left.variances.to(y.device)
        random = seeds.generator(0, "probes")
        ε = torch.randn(PROBES, len(ψ), generator=random).double().sign()  # exact of diagonal A
        signs = torch.randn(PROBES, y[0].numel(), generator=random).double().sign().to(y.device)
        images = torch.cat([left.mean[None], left.factors.T, ε * left.variances.sqrt()])
        images = images.reshape(-1, *shape).to(y.device)
        parts: list[tuple[Tensor, ...]] = []
        for b in range(1 if shared and len(noise) == 1 else B):
            own = torch.full((len(images),), b, device=y.device)
            mean, W, made = A.select(own)(images).flatten(1).split([1, k, PROBES])
            variances = made.square().mean(0) if A.linear else ψ.mean().expand_as(made[0])
            floor = noise[b % len(noise)].double() ** 2 + ROUNDING**2
            root = (variances + floor).rsqrt()
            if weights is not None:
                root = root * weights[b].flatten().sqrt()
            U = root[:, None] * W.T
            C = torch.eye(k, dtype=U.dtype, device=U.device) + U.T @ U
            told = torch.zeros_like(ψ)
            if A.linear:  # the diagonal of Aᵀ Ψ_A⁻¹ A (Hutchinson 1990)
                back = adjoint(A.select(own[:PROBES]), root * signs, images[:PROBES])
                told = back.square().mean(0)
            rest = ψ * (1 - ψ * told).clamp_min(0)
            parts.append((mean[0], root, U, torch.linalg.cholesky(C), rest, floor))
        stacked = [torch.stack(part) for part in zip(*parts, strict=True)]
        shift, root, U, factor, rest, floors = stacked
        where = (root > 0).any(0).nonzero()[:, 0]
        shift, root, U = shift[:, where], root[:, where], U[:, where]
        return Seen(where, shift, root, U, factor, rest, floors, prior, adversarial)

    def select(self, rows: Tensor) -> Seen:
        """Those of some images, (M,) indices."""
        if len(self.root) == 1:
            return self
        names = ("shift", "root", "U", "factor", "rest", "floor")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def errors(self, problem: Problem, a: Tensor) -> Tensor:
        """Ψ^−½ (A (G(z) + m) − y) of what was drawn, a (B, …): (B, m)."""
        y = problem.target.flatten(1)[:, self.where]
        return self.root * (a.flatten(1)[:, self.where].double() + self.shift - y)

    def spread(self, v: Tensor, values: int) -> Tensor:
        """Values (B, m) at their places among all of an observation: (B, values)."""
        return v.new_zeros(len(v), values).index_copy(1, self.where, v)

    def projected(self, r: Tensor) -> Tensor:
        """C^−½ Uᵀ r: (B, m, n) → (B, k, n)."""
        return torch.linalg.solve_triangular(self.factor, self.U.mT @ r, upper=False)

    def energy(self, r: Tensor) -> Tensor:
        """½ rᵀ (I − U C⁻¹ Uᵀ) r: (B, m) → (B,)."""
        explained = self.projected(r[:, :, None]).square().sum((1, 2))
        return 0.5 * (r.square().sum(1) - explained)


@dataclass(frozen=True)
class Mixture:
    """Σ π_s N(μ_s, H_s⁻¹) of each of B images, and the observations that it is of."""

    problem: Problem
    seen: Seen
    left: Discrepancy
    modes: Tensor  # μ: (B, S, d)
    factors: Tensor  # Cholesky factors of H: (B, S, d, d) float64
    log_weights: Tensor  # log π, normalised: (B, S)
    energies: Tensor  # −log p(y, z) at the modes, up to a constant: (B, S)

    def __len__(self) -> int:
        return len(self.modes)

    def log_prob(self, z: Tensor) -> Tensor:
        """The logarithm of the mixture's density at z (B, n, d), up to a constant: (B, n)."""
        δ = z.double()[:, :, None] - self.modes[:, None]  # (B, n, S, d)
        w = torch.einsum("bsij,bnsi->bnsj", self.factors, δ)  # Hᵀ-root: δᵀ H δ = ‖Lᵀ δ‖²
        logs = self.factors.diagonal(dim1=2, dim2=3).log().sum(2)  # (B, S)
        parts = self.log_weights[:, None] + logs[:, None] - 0.5 * w.square().sum(3)
        return parts.logsumexp(2)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Latents (B, n, d) of the mixture, and their weights (B, n), which sum to 1.

        An image's are the same in any batch. The weights are those of the posterior to the power t,
        the largest of 1, ½, ¼, … that leaves a quarter of the samples effective.
        """
        B, _, d = self.modes.shape
        own = self.problem.seeds ^ seeds.derive(seed, "mixture")
        ε = normal(own, n * d).reshape(B, n, d).to(self.factors)
        places = (torch.arange(n, device=ε.device, dtype=torch.float64) + 0.5) / n  # stratified
        cumulative = self.log_weights.exp().cumsum(1).contiguous()
        s = torch.searchsorted(cumulative, places.expand(B, n).contiguous())
        s = s.clamp_max(self.modes.shape[1] - 1)
        rows = torch.arange(B, device=s.device)[:, None]
        L = self.factors[rows, s]
        step = torch.linalg.solve_triangular(L.mT, ε[..., None], upper=True)[..., 0]
        z = (self.modes[rows, s].double() + step).to(self.modes)
        many = rows.expand(B, n).flatten()
        logs = -self.energy(z.flatten(0, 1), many).reshape(B, n) - self.log_prob(z)
        return z, tempered(logs)

    @torch.no_grad()
    def energy(self, z: Tensor, rows: Tensor) -> Tensor:
        """−log p(y, z), up to a constant, of latents z (M, d) of images `rows` (M,): (M,)."""
        return energy(self.problem.select(rows), self.seen.select(rows), z)

    @torch.no_grad()
    def draw(self, z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """G(z) and E[x | z, y] of latents z (M, d) of images `rows` (M,): (M, C, H, W), float64.

        Neither is clipped. The conditional mean is G(z) + m + W E[u] + E[ε], the part of W whole
        and that of Ψ by one step of steepest descent: exact where A Ψ Aᵀ is diagonal, as it is of
        masks, of means over blocks, and of noise.
        """
        problem, seen = self.problem.select(rows), self.seen.select(rows)
        x = problem.images(z).double()
        r = seen.errors(problem, problem.through(x))
        u = -torch.linalg.solve_triangular(
            seen.factor.mT, seen.projected(r[:, :, None]), upper=True
        )[..., 0]
        W, ψ = self.left.factors.to(u), self.left.variances.to(u)
        mean = x + (self.left.mean.to(u) + u @ W.T).reshape(x.shape)
        if not problem.through.linear:
            return x, mean
        r = r + torch.einsum("bmk,bk->bm", seen.U, u)  # what W leaves
        v = seen.spread(seen.root * r, problem.target[0].numel())
        back = adjoint(problem.through, v, x)
        curved = (ψ * back.square()).sum(1) + (seen.floor * v.square().T).sum(0)
        c = r.square().sum(1) / curved.clamp_min(1e-300)
        return x, mean - (c[:, None] * ψ * back).reshape(x.shape)

    @torch.no_grad()
    def scatter(self, n: int, *, seed: int = 0) -> Tensor:
        """What is still open of x given z, n times for each image: (B · n, C, H, W), float64."""
        problem = self.problem
        rows = torch.arange(len(self), device=self.modes.device).repeat_interleave(n)
        seen, again = self.seen.select(rows), torch.arange(n, device=rows.device)
        k, D = self.left.factors.shape[1], problem.model.data.size
        own = problem.seeds.to(rows.device)[:, None] + again
        ε = normal(own.flatten() ^ seeds.derive(seed, "scatter"), k + D).double()
        u = torch.linalg.solve_triangular(seen.factor.mT, ε[:, :k, None], upper=True)[..., 0]
        δ = u @ self.left.factors.to(u).T + seen.rest.sqrt() * ε[:, k:]
        return δ.reshape(-1, *problem.model.data.shape)


def adjoint(A: Operator, v: Tensor, like: Tensor) -> Tensor:
    """Aᵀ v of a linear operator: v (M, m), for images like those of (M, C, H, W) → (M, D)."""
    with torch.enable_grad():
        x = torch.zeros_like(like).requires_grad_()
        a = A(x).flatten(1)
        (back,) = torch.autograd.grad(a, x, v.to(a))
    return back.flatten(1)


def tempered(logs: Tensor) -> Tensor:
    """Weights from their logarithms (B, n), flattened until a quarter is effective: (B, n)."""
    logs = logs.nan_to_num(-torch.inf, neginf=-torch.inf)
    logs = logs - logs.amax(1, keepdim=True).nan_to_num(0, neginf=0)
    weights = torch.full_like(logs, 1 / logs.shape[1])
    open_rows = torch.ones(len(logs), dtype=torch.bool, device=logs.device)
    for t in (1.0, 0.5, 0.25, 0.125, 1 / 16, 1 / 32):
        tried = (t * logs).softmax(1)
        enough = 1 / tried.square().sum(1) >= EFFECTIVE * logs.shape[1]
        weights = torch.where((open_rows & enough)[:, None], tried, weights)
        open_rows &= ~enough
    return weights


def energy(problem: Problem, seen: Seen, z: Tensor) -> Tensor:
    """−log p(y, z), up to a constant: (B, d) → (B,) float64."""
    r = seen.errors(problem, problem.observe(z))
    known = log_prior(problem, z, None) if seen.prior is None else seen.prior.log_prob(z).double()
    energies = seen.energy(r) - known
    if seen.adversarial:
        drawn = problem.model.critic(problem.images(z), problem.labels).double()
        energies = energies + seen.adversarial * F.softplus(-drawn)
    return energies


@torch.no_grad()
def mixture(
    problem: Problem,
    starts: Tensor,  # (B, S, d)
    left: Discrepancy,
    *,
    noise: Tensor,  # σ of the observations: (B,), or (1,) for all
    prior: Prior | None = None,  # of the latents; None: the space's own
    adversarial: float = 0.0,  # λ, of a model with a critic
    steps: int = STEPS,
) -> Mixture:
    """The posterior of B images from searches that begin at the starts."""
    B, S, d = starts.shape
    seen = Seen.of(problem, left, noise, prior, adversarial)
    rows = torch.arange(B, device=starts.device)
    if S > 2:  # of many, the best third goes on
        many = rows.repeat_interleave(S)
        z, _, energies = descended(problem, seen, starts.flatten(0, 1), many, SHORT)
        S = -(-S // 3)
        best = energies.reshape(B, -1).topk(S, dim=1, largest=False).indices
        starts = z.reshape(B, -1, d).gather(1, best[..., None].expand(-1, -1, d))
    rows = rows.repeat_interleave(S)
    z, H, energies = descended(problem, seen, starts.flatten(0, 1), rows, steps)
    factors = torch.linalg.cholesky(H)
    logs = factors.diagonal(dim1=1, dim2=2).log().sum(1)
    evidence = (-energies - logs).reshape(B, S).nan_to_num(-torch.inf, neginf=-torch.inf)
    z, factors = z.reshape(B, S, -1), factors.reshape(B, S, *factors.shape[1:])
    evidence = _once(z, factors, evidence)
    return Mixture(problem, seen, left, z, factors, evidence.log_softmax(1), energies.reshape(B, S))


def _once(z: Tensor, factors: Tensor, evidence: Tensor) -> Tensor:
    """The evidence with that of ends which another has reached already left out: (B, S)."""
    δ = (z[:, :, None] - z[:, None]).double()  # (B, S, S, d)
    near = torch.einsum("bsij,bsti->bstj", factors, δ).square().sum(3) < 1.0
    earlier = evidence[:, None, :] > evidence[:, :, None]
    index = torch.arange(z.shape[1], device=z.device)
    earlier |= (evidence[:, None, :] == evidence[:, :, None]) & (index[None, :] < index[:, None])
    return evidence.masked_fill((near & earlier).any(2), -torch.inf)


def descended(
    problem: Problem, seen: Seen, z: Tensor, rows: Tensor, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Levenberg–Marquardt on −log p(y, z) from z (M, d), of images `rows` (M,).

    Returns the ends, the curvatures H (M, d, d) there, and the energies (M,). Steps are damped in
    the prior's metric: (JᵀS⁻¹J + (1 + μ) P) step = −gradient.
    """
    many, metric = problem.select(rows), seen.select(rows)
    z, energies = z.clone(), energy(many, metric, z)
    μ = torch.full_like(energies, 1e-2)
    H = energies.new_zeros(len(z), z.shape[1], z.shape[1])
    going = torch.arange(len(z), device=z.device)
    for step in range(steps + 1):
        δ = torch.zeros_like(z)
        for some in going.split(max(1, BLOCK // (problem.target[0].numel() * z.shape[1]))):
            part, of = problem.select(rows[some]), seen.select(rows[some])
            gradient, H[some], P = _expanded(part, of, z[some])
            factor = torch.linalg.cholesky(H[some] + μ[some, None, None] * P)
            δ[some] = torch.cholesky_solve(-gradient[..., None], factor)[..., 0].to(z)
        if step == steps:
            break
        trial = z[going] + δ[going]
        reached = energy(problem.select(rows[going]), seen.select(rows[going]), trial)
        gain = energies[going] - reached
        better = gain > 0
        z[going] = torch.where(better[:, None], trial, z[going])
        energies[going] = torch.where(better, reached, energies[going])
        μ[going] = torch.where(better, μ[going] * 0.2, μ[going] * 8).clamp(1e-6, 1e8)
        done = (better & (gain < SETTLED)) | (~better & (μ[going] >= 1e4))
        going = going[~done]
        if not len(going):
            break
    return z, H, energies


def _expanded(problem: Problem, seen: Seen, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient (M, d), Gauss–Newton curvature and the prior's precision (M, d, d) at z (M, d)."""
    a, J = observed_jacobian(problem, z)
    r = seen.errors(problem, a)
    J = seen.root[:, :, None] * J[:, seen.where].double()
    projected, of_r = seen.projected(J), seen.projected(r[:, :, None])
    own = seen.prior
    centre, L = local_prior(problem, z, None) if own is None else local_gaussian(own, z)
    if L.shape[1] == 1:
        L = L * torch.eye(z.shape[1], dtype=L.dtype, device=L.device)
    P = torch.cholesky_inverse(L)
    gradient = (J.mT @ r[:, :, None] - projected.mT @ of_r)[..., 0]
    gradient = gradient + (P @ (z - centre).double()[..., None])[..., 0]
    H = J.mT @ J - projected.mT @ projected + (1 + FLAT) * P
    if λ := seen.adversarial:
        c, slope = _criticised(problem, z)
        gradient = gradient - (λ * torch.sigmoid(-c))[:, None] * slope
        bend = λ * torch.sigmoid(c) * torch.sigmoid(-c)  # the second derivative of softplus
        H = H + bend[:, None, None] * slope[:, :, None] * slope[:, None]
    return gradient, H, P


def _criticised(problem: Problem, z: Tensor) -> tuple[Tensor, Tensor]:
    """D(G(z)) (M,) and its gradient (M, d) in z."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        c = problem.model.critic(problem.images(z), problem.labels)
        (slope,) = torch.autograd.grad(c.sum(), z)
    return c.detach().double(), slope.double()


def observed_jacobian(problem: Problem, z: Tensor) -> tuple[Tensor, Tensor]:
    """A(G(z)) (M, m) and its Jacobian (M, m, d), of every value as if it was seen wholly."""
    if problem.tangents is not None and problem.through.linear:
        latents = z.reshape(len(z), *problem.model.space.shape)
        x, dx = problem.tangents(latents, problem.labels)  # (M, C, H, W), (M, d, C, H, W)
        each = torch.arange(len(z), device=z.device).repeat_interleave(dx.shape[1])
        da = problem.through.select(each)(dx.flatten(0, 1))
        return problem.through(x).flatten(1), da.flatten(1).unflatten(0, dx.shape[:2]).mT
    plain = of_values(problem)
    weights = plain.prepared["values"][:, 1]
    plain.prepared["values"] = torch.stack(
        [torch.zeros_like(problem.target), torch.ones_like(weights)], 1
    )
    return jacobian(plain, z)
