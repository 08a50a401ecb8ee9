"""The Fréchet distance between two sets of features, each taken for a Gaussian.

‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½): Dowson & Landau, "The Fréchet distance between multivariate
normal distributions", 1982; on Inception features, Heusel et al., 2017, eq. 6. It is biased
upwards, by about (d + d(d + 1)/4)/N for N samples of d features: compare only equal N, or what is
left once the bias is extrapolated away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from preimage.metrics.features import check_rows
from preimage.metrics.measure import Measure, from_left_out, group_of, unbiased
from preimage.metrics.stored import Stored


class Moments:
    """Mean and covariance of rows that come in batches, in float64 and independent of batching."""

    def __init__(self, features: Tensor | None = None) -> None:
        self.n = 0
        self.mean = torch.zeros(0, dtype=torch.float64)  # (d,)
        self.scatter = torch.zeros(0, 0, dtype=torch.float64)  # (d, d): Σ (x − mean)(x − mean)ᵀ
        if features is not None:
            self.update(features)

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance (d, d), with N − 1; at least two rows are needed."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 rows, not {self.n}")
        return self.scatter / (self.n - 1)

    def update(self, features: Tensor) -> None:
        """Take in rows (B, d)."""
        x = features.detach().to("cpu", torch.float64)
        if not len(x):
            return
        mean = x.mean(0)
        rows = x - mean
        if self.n == 0:
            self.n, self.mean, self.scatter = len(x), mean, rows.T @ rows
            return
        n = self.n + len(x)
        δ = mean - self.mean
        # what lies between the means is one row more: (d, d) is gone through once
        rows = torch.cat([rows, δ[None] * (self.n * len(x) / n) ** 0.5])
        self.scatter.addmm_(rows.T, rows)
        self.mean = self.mean + δ * (len(x) / n)
        self.n = n

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of rows together.

        Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979, eq. 2.1.
        """
        if self.n == 0 or other.n == 0:
            return (self if other.n == 0 else other).copy()
        both = Moments()
        both.n = self.n + other.n
        δ = other.mean - self.mean
        both.mean = self.mean + δ * (other.n / both.n)
        between = torch.outer(δ, δ) * (self.n * other.n / both.n)
        both.scatter = self.scatter + other.scatter + between
        return both

    def copy(self) -> Moments:
        same = Moments()
        same.n, same.mean, same.scatter = self.n, self.mean, self.scatter.clone()
        return same

    def without(self, part: Moments) -> Moments:
        """The moments of the rows that are not in `part`: the merge, solved for one side."""
        if part.n == 0:
            return self.copy()
        rest = Moments()
        rest.n = self.n - part.n
        rest.mean = self.mean + (self.mean - part.mean) * (part.n / rest.n)
        δ = part.mean - rest.mean
        between = torch.outer(δ, δ) * (rest.n * part.n / self.n)
        rest.scatter = self.scatter - part.scatter - between
        return rest


class GroupedMoments:
    """Moments of equal groups of the rows, so that each group can be left out later.

    Row i belongs to the same group however the rows were batched, and whichever process took them
    in: `first` says where in the stream a batch begins. Memory is groups · d² numbers.
    """

    def __init__(self, features: Tensor | Stored | None = None, *, groups: int = 10) -> None:
        self.parts = [Moments() for _ in range(groups)]
        self.next = 0  # the place in the stream after the last row taken in
        if isinstance(features, Stored):
            for batch in features.split():
                self.update(batch)
        elif features is not None:
            self.update(features)

    @property
    def n(self) -> int:
        return sum(part.n for part in self.parts)

    @property
    def total(self) -> Moments:
        """The moments of all rows."""
        whole = Moments()
        for part in self.parts:
            whole = whole.merge(part)
        return whole

    def update(self, features: Tensor, *, first: int | None = None) -> None:
        """Take in rows (B, d): those that follow the last, or from place `first` on."""
        start = self.next if first is None else first
        of = group_of(len(features), len(self.parts), first=start)
        for g, part in enumerate(self.parts):
            part.update(features[(of == g).to(features.device)])
        self.next = start + len(features)

    def merge(self, other: GroupedMoments) -> GroupedMoments:
        """The moments of both sets of rows, which must be of different places of one stream."""
        both = GroupedMoments(groups=len(self.parts))
        both.parts = [a.merge(b) for a, b in zip(self.parts, other.parts, strict=True)]
        both.next = max(self.next, other.next)
        return both

    def left_out(self) -> Iterator[Moments]:
        """The moments without each group in turn."""
        total = self.total
        for part in self.parts:
            yield total.without(part)

    def to_tensors(self) -> dict[str, Tensor]:
        """All that is known, to be written down."""
        return {
            "n": torch.tensor([part.n for part in self.parts]),
            "mean": torch.stack([part.mean for part in self.parts]),
            "scatter": torch.stack([part.scatter for part in self.parts]),
            "next": torch.tensor(self.next),
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> GroupedMoments:
        found = cls(groups=len(tensors["n"]))
        for g, part in enumerate(found.parts):
            part.n = int(tensors["n"][g])
            part.mean, part.scatter = tensors["mean"][g], tensors["scatter"][g]
        found.next = int(tensors["next"])
        return found


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Fréchet (Wasserstein-2) distance of the two Gaussians; ranks may be deficient."""
    return _distances(a, [b])[0]


def _distances(a: Moments, others: list[Moments]) -> list[float]:
    """Of one Gaussian from several, whose covariance is factored once.

    With Σ₁ = F Fᵀ the eigenvalues of Σ₁Σ₂ are those of the symmetric FᵀΣ₂F, so
    tr (Σ₁Σ₂)^½ = Σ √λ(FᵀΣ₂F), without a matrix square root and without imaginary parts.
    """
    Σ1 = a.covariance
    F = _factor(Σ1)
    found = []
    for b in others:
        Σ2 = b.covariance
        λ = torch.linalg.eigvalsh(F.T @ Σ2 @ F)
        cross = _positive(λ).sqrt().sum()
        distance = (a.mean - b.mean).square().sum() + Σ1.trace() + Σ2.trace() - 2 * cross
        found.append(distance.clamp_min(0).item())
    return found


@dataclass(frozen=True)
class Frechet:
    """The distance as it is always quoted, and as it would be without its bias."""

    measured: Measure  # of its expectation for so many samples
    infinite: Measure  # of the two populations: what infinitely many samples would give


def frechet(real: Tensor, fake: Tensor, *, groups: int = 10) -> Measure:
    """The distance of features (N, d) and (M, d), with an interval that holds no bias."""
    return frechet_both(real, fake, groups=groups).measured


def frechet_both(
    real: Tensor | GroupedMoments,  # features (N, d), or what was kept of them
    fake: Tensor | GroupedMoments,  # (M, d)
    *,
    groups: int = 10,
) -> Frechet:
    """The distance, and what it would be of endless samples."""
    return frechet_of_each(real, [fake], groups=groups)[0]


def frechet_of_each(
    real: Tensor | GroupedMoments,
    fakes: Sequence[Tensor | GroupedMoments],  # (M, d) each
    *,
    groups: int = 10,  # left out one at a time; that of the moments where moments are given
) -> list[Frechet]:
    """Of each set: the distance, and FID∞: the same extrapolated against 1/N to endless samples.

    Chong & Forsyth, "Effectively unbiased FID and Inception score and where to find them", 2020,
    extrapolate from random subsamples. Here the line goes through the distances without each
    group, which use all the data and give the interval too. `infinite` may fall below zero by
    chance, as anything unbiased must that is zero on average.
    """
    if isinstance(real, Tensor):
        sets = [fake for fake in fakes if isinstance(fake, Tensor)]
        for fake in sets:
            check_rows(real, fake, least=2 * groups)
        least = min(len(real), *map(len, sets)) if sets else len(real)
        if len(sets) == len(fakes) and least <= real.shape[1]:
            return [
                _both(*_by_rows(real, fake, groups), min(len(real), len(fake))) for fake in sets
            ]
    a, *others = (
        GroupedMoments(rows, groups=groups) if isinstance(rows, Tensor) else rows
        for rows in (real, *fakes)
    )
    whole = _distances(a.total, [b.total for b in others])
    parts = zip(a.left_out(), *(b.left_out() for b in others), strict=True)
    left_out = zip(*(_distances(x, list(rest)) for x, *rest in parts), strict=True)
    return [
        _both(value, list(without), min(a.n, b.n))
        for b, value, without in zip(others, whole, left_out, strict=True)
    ]


def _both(whole: float, left_out: list[float], n: int) -> Frechet:
    others = np.array(left_out)
    measured = from_left_out(whole, others, n).within(0, float("inf"))
    return Frechet(measured, unbiased(whole, others, n))


def _by_rows(real: Tensor, fake: Tensor, groups: int) -> tuple[float, list[float]]:
    """The distance and those without each group, where there are fewer rows than features.

    tr (Σ₁Σ₂)^½ is the nuclear norm of XYᵀ/√((N−1)(M−1)), X and Y centred: N × M, not d × d. The
    products of all rows are taken once; without a group, some of them are left out.
    """
    centre = real.double().mean(0)
    X, Y = real.double() - centre, fake.double() - centre
    products = X @ Y.T  # (N, M)

    def distance(rows: Tensor, columns: Tensor) -> float:
        x, y = X[rows], Y[columns]
        K = products[rows][:, columns]
        K = K - K.mean(0) - K.mean(1, keepdim=True) + K.mean()
        cross = torch.linalg.svdvals(K).sum() / ((len(x) - 1) * (len(y) - 1)) ** 0.5
        means = (x.mean(0) - y.mean(0)).square().sum()
        spread = x.var(0).sum() + y.var(0).sum()
        return (means + spread - 2 * cross).clamp_min(0).item()

    of_x, of_y = group_of(len(X), groups), group_of(len(Y), groups)
    left_out = [distance(of_x != g, of_y != g) for g in range(groups)]
    return distance(of_x >= 0, of_y >= 0), left_out


def _factor(Σ: Tensor) -> Tensor:
    """F (d, r) with F Fᵀ = Σ: Cholesky's where Σ has full rank, else from its eigenvectors."""
    L, failed = torch.linalg.cholesky_ex(Σ)
    if not failed:
        return L
    λ, V = torch.linalg.eigh(Σ)
    kept = _positive(λ) > 0
    return V[:, kept] * λ[kept].sqrt()


def _positive(λ: Tensor) -> Tensor:
    """Eigenvalues with those that are only round-off set to zero."""
    floor = len(λ) * torch.finfo(λ.dtype).eps * λ.abs().max() if len(λ) else 0.0
    return torch.where(λ > floor, λ, 0.0)
