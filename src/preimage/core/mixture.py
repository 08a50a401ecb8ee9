"""A Gaussian mixture with full covariances, fitted by expectation–maximisation.

Fitted to the posterior means of an autoencoder it is a better prior to sample from than N(0, I):
the aggregate posterior of a trained VAE is not normal (Ghosh et al., "From Variational to
Deterministic Autoencoders", §4). Dempster, Laird & Rubin 1977 for EM. scikit-learn's own takes
minutes where a mixture of hundreds of components over tens of thousands of points is wanted; this
one writes log N(z; m, C) as a linear function of (z, z zᵀ), so that both steps are matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

BLOCK = 1 << 24  # numbers of products z zᵀ held at a time: 64 MiB

Fitted = tuple[Tensor, Tensor, Tensor]  # masses (K,), means (K, d), Cholesky factors (K, d, d)


class GaussianMixture(nn.Module):
    """Σ_k w_k N(m_k, L_k L_kᵀ) over (d,) latents. A prior: see `core.latent.Prior`."""

    weights: Tensor  # (K,)
    means: Tensor  # (K, d)
    factors: Tensor  # (K, d, d), lower triangular Cholesky factors

    def __init__(self, components: int, d: int):
        super().__init__()
        self.register_buffer("weights", torch.zeros(components))
        self.register_buffer("means", torch.zeros(components, d))
        self.register_buffer("factors", torch.eye(d).repeat(components, 1, 1))

    @property
    def fitted(self) -> bool:
        return bool(self.weights.any())

    def noise_dim(self, d: int) -> int:
        return d + 1  # one number picks the component

    def transport(self, noise: Tensor, truncation: float = 1.0) -> Tensor:
        """Noise (B, 1 + d) → z (B, d); truncation shrinks each component about its own mean."""
        noise = noise.to(self.means.device)
        u = torch.special.ndtr(noise[:, 0].double())
        k = torch.searchsorted(self.weights.double().cumsum(0), u).clamp_max(len(self.weights) - 1)
        ε = noise[:, 1:] * truncation
        return self.means[k] + torch.einsum("bij,bj->bi", self.factors[k], ε)

    def component_log_prob(self, z: Tensor) -> Tensor:
        """log w_k + log N(z; m_k, C_k): (B, d) → (B, K)."""
        d = z.shape[1]
        δ = z[:, None] - self.means  # (B, K, d)
        y = torch.linalg.solve_triangular(
            self.factors, δ.permute(1, 2, 0), upper=False
        )  # (K, d, B)
        log_det = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        normal = -0.5 * (y.square().sum(1) + d * math.log(2 * math.pi)) - log_det[:, None]
        return (normal + self.weights.log()[:, None]).T

    def log_prob(self, z: Tensor) -> Tensor:
        return self.component_log_prob(z).logsumexp(1)

    def project(self, z: Tensor) -> Tensor:
        """Onto the typical shell (Mahalanobis radius √d) of the likeliest component, if outside."""
        k = self.component_log_prob(z).argmax(1)
        δ = (z - self.means[k])[..., None]
        y = torch.linalg.solve_triangular(self.factors[k], δ, upper=False)[..., 0]
        shrink = (math.sqrt(z.shape[1]) / y.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1)
        return self.means[k] + torch.einsum("bij,bj->bi", self.factors[k], y * shrink)

    def mean(self) -> Tensor:
        return self.weights @ self.means

    @torch.no_grad()
    def fit(
        self,
        z: Tensor,  # (N, d)
        *,
        generator: torch.Generator,
        iterations: int = 12,
        ridge: float = 1e-3,
    ) -> float:
        """Fit to `z` by k-means, then EM; returns the mean log-likelihood of (some of) `z` in nats.

        Latents are standardised first, and `ridge` is added to every (standardised) variance.
        Memory does not grow with N · d²: the products z zᵀ are formed a block at a time.
        """
        K, d = self.means.shape
        μ, σ = z.mean(0), z.std(0, correction=0).clamp_min(1e-6)
        x = (z - μ) / σ
        rows, columns = torch.triu_indices(d, d)
        twice = torch.where(rows == columns, 1.0, 2.0)
        block = max(1, BLOCK // len(rows))

        def maximise(responsible: Callable[[Tensor, Tensor, int], Tensor]) -> Fitted:
            """M step: (x, its products, its first row) → responsibilities, all (block, …)."""
            mass = torch.full((K,), 1e-6)
            first, second = torch.zeros(K, d), torch.zeros(K, len(rows))
            for start in range(0, len(x), block):
                part = x[start : start + block]
                products = part[:, rows] * part[:, columns]  # the upper triangle of x xᵀ
                r = responsible(part, products, start)
                mass += r.sum(0)
                first += r.T @ part
                second += r.T @ products
            m, second = first / mass[:, None], second / mass[:, None]
            C = torch.zeros(K, d, d)
            C[:, rows, columns] = second
            C[:, columns, rows] = second
            C = C - m[:, :, None] * m[:, None, :] + ridge * torch.eye(d)
            return mass, m, _safe_cholesky(C.double())

        clusters = _kmeans(x, K, generator)
        mass, m, L = maximise(lambda part, _, start: clusters[start : start + len(part)])
        for _ in range(iterations):
            # E step: log w_k N(x) = c_k + x·P_k m_k − ½ xᵀ P_k x, as two matrix products
            P = torch.cholesky_inverse(L)
            Pm = (P @ m.double()[:, :, None])[:, :, 0]
            log_det = L.diagonal(dim1=1, dim2=2).log().sum(1)
            c = ((mass / mass.sum()).double().log() - log_det - 0.5 * (Pm * m).sum(1)).float()
            linear, quadratic = Pm.float().T, (-0.5 * P[:, rows, columns] * twice).float().T
            mass, m, L = maximise(
                lambda part, products, _, a=quadratic, b=linear, c=c: (
                    products @ a + part @ b + c
                ).softmax(1)
            )
        self.weights.copy_(mass / mass.sum())
        self.means.copy_(m * σ + μ)
        self.factors.copy_(σ[:, None] * L.float())
        return self.log_prob(z[:4096]).mean().item()


def _kmeans(x: Tensor, K: int, generator: torch.Generator, iterations: int = 8) -> Tensor:
    """One-hot assignments (N, K) by Lloyd's algorithm on a subset; empty clusters are reseeded."""
    order = torch.randperm(len(x), generator=generator)
    subset = x[order[:10_000]]
    centres = subset[torch.arange(K) % len(subset)].clone()
    for _ in range(iterations):
        nearest = (subset @ centres.T - 0.5 * centres.square().sum(1)).argmax(1)
        counts = torch.bincount(nearest, minlength=K)
        sums = torch.zeros_like(centres).index_add_(0, nearest, subset)
        fresh = subset[torch.randint(len(subset), (K,), generator=generator)]
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], fresh)
    nearest = (x @ centres.T - 0.5 * centres.square().sum(1)).argmax(1)
    return torch.nn.functional.one_hot(nearest, K).float()


def _safe_cholesky(C: Tensor) -> Tensor:
    """Cholesky factors of covariances (K, d, d); round-off below zero is lifted, not fatal."""
    L, failed = torch.linalg.cholesky_ex(C)
    if failed.any():
        lift = torch.linalg.eigvalsh(C)[:, 0].clamp_max(0).abs() + 1e-6
        L = torch.linalg.cholesky(C + lift[:, None, None] * torch.eye(C.shape[-1], dtype=C.dtype))
    return L
