"""The cascade: from an observation to a latent by ridge regressions on generated pairs.

Draw z of the prior and observe y = A(G(z)). In features h = φ(y), where φ undoes the generator's
last nonlinearity, z is nearly linear:

    ẑ₀ = z̄ + (h(y) − h̄) W₀,    ẑₖ = ẑₖ₋₁ + (h(y) − h(A(G(ẑₖ₋₁)))) Wₖ

Each Wₖ is the ridge regression of what the step before it left over, as in cascaded regression of
poses (Xiong & De la Torre, "Supervised Descent Method", 2013, equation 17). No step takes a
derivative of G. The last map stands for an inverse of its Jacobian in `solvers.anderson`, which
goes on from here to any precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import LatentModel, Step, seeds
from preimage.inversion.graph.link import LINKS
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Decode, Operator, Problem
from preimage.inversion.starts import prior_latents

PAIRS = 8192  # generated for the regressions
CHECKED = 512  # further pairs, by which the link and the ridges are chosen
STAGES = 6
VALUES = 2048  # of an observation that are looked at; more for more than 256 latents
RIDGES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # shares of the features' mean variance
BATCH = 128
ROUNDING = 2.0**-24  # of values near ±1 in float32

CANDIDATES = (
    ("identity", 0.0),
    ("tanh", 1e-3),
    ("tanh", 1e-5),
    ("tanh", 1e-6),
    ("soft clip", 1e-5),
    ("soft clip", 1e-6),
)
"""Links to choose from, and how far from ±1 they keep values where they saturate."""


@dataclass(frozen=True)
class Features:
    """φ: observations (B, …) → features (B, m), of some of their values."""

    values: Tensor  # (m,) int64: which of a flat observation's values
    link: str  # a name in `graph.link.LINKS`, whose inverse is taken
    margin: float

    def __call__(self, a: Tensor) -> Tensor:
        return self.unlinked(self.pick(a))

    def pick(self, a: Tensor) -> Tensor:
        """The values that are looked at: (B, …) → (B, m)."""
        a = a.flatten(1)
        return a if len(self.values) == a.shape[1] else a[:, self.values]

    def unlinked(self, a: Tensor) -> Tensor:
        """(B, m) → (B, m): what the link made these values of."""
        return LINKS[self.link].inverse(a, margin=self.margin)

    def slope(self, h: Tensor) -> Tensor:
        """dφ/da at features (B, m): by how much they magnify errors of the observation."""
        return 1 / LINKS[self.link].derivative(h)

    def to_tensors(self, noise: float) -> dict[str, Tensor]:
        """Named tensors for a file, of the noise in the observations too."""
        settings = [list(LINKS).index(self.link), self.margin, noise]
        device = self.values.device
        return {
            "values": self.values,
            "settings": torch.tensor(settings, dtype=torch.float64, device=device),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> tuple[Features, float]:
        """What `to_tensors` gave, and the noise. Raises KeyError or ValueError where it is not."""
        (link, margin, noise), values = tensors["settings"].tolist(), tensors["values"]
        whole = values.dtype == torch.int64 and values.dim() == 1 and len(values)
        if not whole or not (values.diff() > 0).all() or values[0] < 0:
            raise ValueError("these are no values of an observation")
        if link not in range(len(LINKS)) or not (0 <= margin < 1 and 0 <= noise < math.inf):
            raise ValueError("this is no link, margin or noise")
        return cls(values, list(LINKS)[int(link)], margin), noise


@dataclass(frozen=True)
class Cascade:
    """K regressions for one generator seen through one operator."""

    features: Features
    means: Tensor  # (classes or 1, m): h̄
    centres: Tensor  # (classes or 1, d): z̄, the latents' mean where the features' is h̄
    maps: Tensor  # (K, m, d): Wₖ
    errors: Tensor  # (K,): the median of ‖ẑ − z‖ / ‖z − z̄‖ after each map, on fresh pairs
    noise: float = 0.0  # σ of the noise in the observations it was fitted to

    def start(self, problem: Problem) -> Tensor:
        """ẑ₀ of the problem's targets: (B, d)."""
        return self.first(self.features(problem.target), problem.labels)

    def first(self, h: Tensor, labels: Tensor | None) -> Tensor:
        """ẑ₀ of features (B, m): (B, d)."""
        return _of(self.centres, labels) + (h - _of(self.means, labels)) @ self.maps[0]

    @torch.no_grad()
    def latents(self, problem: Problem) -> tuple[Tensor, Tensor]:
        """The best of ẑ₀ … of the problem's targets (B, d), and what its objective is there (B,).

        A decoding of each image for each map.
        """
        h, z = self.features(problem.target), self.start(problem)
        best, least = z, torch.full_like(z[:, 0], torch.inf)
        for k in range(1, len(self.maps) + 1):
            a = problem.observe(z)
            loss = problem.objective.loss(z, a, problem.prepared)
            better = loss < least
            best, least = torch.where(better[:, None], z, best), torch.where(better, loss, least)
            if k < len(self.maps):
                z = z + (h - self.features(a)) @ self.maps[k]
        return best, least

    @property
    def stages(self) -> int:
        """After how many guesses an image that is still far off will stay so."""
        return min(len(self.maps), STAGES)

    def step(self, k: int, z: Tensor, e: Tensor, labels: Tensor | None) -> Tensor:
        """What to add to latents z (B, d) that leave e (B, m): e Wₖ, of the last map after it."""
        return e @ self.maps[min(k, len(self.maps) - 1)]

    def noise_in(self, y: Tensor) -> Tensor:
        """σ of the noise, or at least the rounding, in features of observations y: (B, m)."""
        return self.features.slope(self.features(y)) * max(self.noise, ROUNDING)

    def to_tensors(self) -> dict[str, Tensor]:
        """All of it as named tensors, for a file of weights."""
        return self.features.to_tensors(self.noise) | {
            "means": self.means,
            "centres": self.centres,
            "maps": self.maps,
            "errors": self.errors,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], *, latent: int, classes: int) -> Cascade:
        """What `to_tensors` gave, for latents of so many numbers; classes: 1 where there are none.

        Raises KeyError or ValueError where it is not that.
        """
        features, noise = Features.from_tensors(tensors)
        arrays = {name: tensors[name] for name in ("means", "centres", "maps", "errors")}
        K, m = len(arrays["maps"]), features.values.numel()
        shapes = {"means": (classes, m), "centres": (classes, latent), "errors": (K,)}
        shapes["maps"] = (K, m, latent)
        sizes = {name: tuple(array.shape) for name, array in arrays.items()}
        numbers = [arrays[name] for name in ("means", "centres", "maps")]
        finite = all(t.dtype == torch.float32 and bool(t.isfinite().all()) for t in numbers)
        if sizes != shapes or not (K and m and finite):
            raise ValueError("these are no regressions from observations to such latents")
        return cls(features, **arrays, noise=noise)


def fit(
    model: LatentModel,
    through: Operator | None = None,
    *,
    noise: float = 0.0,
    pairs: int = PAIRS,
    stages: int = STAGES,
    seed: int = 0,
    decode: Decode | None = None,
) -> Cascade:
    """The cascade of a generator, seen through an operator that is one for all images.

    noise: σ of the noise that observations will have, in their own units; the regressions weigh
        features by how much of them survives it.
    decode: a quicker decoder than the model's own, of the same precision.
    """
    *_, cascade = fitting(
        model, through, noise=noise, pairs=pairs, stages=stages, seed=seed, decode=decode
    )
    assert isinstance(cascade, Cascade)
    return cascade


@torch.no_grad()
def fitting(
    model: LatentModel,
    through: Operator | None = None,
    *,
    noise: float = 0.0,
    pairs: int = PAIRS,
    stages: int = STAGES,
    seed: int = 0,
    decode: Decode | None = None,
    links: Sequence[tuple[str, float]] = CANDIDATES,
) -> Iterator[Step | Cascade]:
    """`fit` step by step; what it yields last is the cascade.

    links: to choose from, each with how far from ±1 it keeps values where it saturates.
    """
    world = World(model, through or Identity(), decode or model.decode)
    random = seeds.generator(seed, "cascade")
    z = prior_latents(model, pairs + CHECKED, random).flatten(1)
    labels = model.labels_for(len(z))
    values = _looked_at(world, z, labels, random)
    y = world.observe(z, labels, values)
    if noise:
        y += noise * torch.randn(y.shape, generator=random).to(y)
    yield Step(1, stages + 1, stage="cascade")

    classes = max(len(model.classes), 1)
    centres = _class_means(z[:pairs], labels, classes)
    ẑ = _of(centres, labels).expand_as(z)
    features = _best_link(links, values, y, z - ẑ, labels, pairs)
    h = features.unlinked(y)
    means = _class_means(h[:pairs], labels, classes)
    e, scale = h - _of(means, labels), (z - ẑ).norm(dim=1).clamp_min(1e-12)
    maps, errors = [], []
    for k in range(stages):
        if k:
            e = h - features.unlinked(world.observe(ẑ, labels, values))
        W = _ridge(e, z - ẑ, pairs)
        ẑ = ẑ + e @ W
        maps.append(W)
        errors.append(((z - ẑ).norm(dim=1) / scale)[pairs:].median())
        yield Step(k + 2, stages + 1, {"error": float(errors[-1])}, stage="cascade")
    yield Cascade(features, means, centres, torch.stack(maps), torch.stack(errors), noise)


@dataclass(frozen=True)
class World:
    """z → A(G(z)), for latents without end."""

    model: LatentModel
    through: Operator
    decode: Decode

    def observe(self, z: Tensor, labels: Tensor | None, values: Tensor | None = None) -> Tensor:
        """Some values of A(G(z)), or all: (N, d) → (N, m)."""
        rows = []
        for first in range(0, len(z), BATCH):
            part = slice(first, first + BATCH)
            of = None if labels is None else labels[part]
            x = self.decode(z[part].reshape(-1, *self.model.space.shape), of).float()
            a = self.through(x).flatten(1)
            rows.append(a if values is None else a[:, values])
        return torch.cat(rows)


def _looked_at(world: World, z: Tensor, labels: Tensor | None, random: torch.Generator) -> Tensor:
    """Which of an observation's values the features are of: all, or some at random."""
    size = world.observe(z[:1], None if labels is None else labels[:1]).shape[1]
    m = min(size, max(VALUES, 8 * z.shape[1]))
    return torch.randperm(size, generator=random)[:m].sort().values.to(z.device)


def _best_link(
    links: Sequence[tuple[str, float]],
    values: Tensor,
    y: Tensor,
    z: Tensor,
    labels: Tensor | None,
    pairs: int,
) -> Features:
    """The link in whose features one regression comes nearest to latents z (N, d)."""
    if len(links) == 1:
        return Features(values, *links[0])
    some = max(pairs // 2, min(pairs, 2 * z.shape[1]))
    rows = torch.cat([torch.arange(some), torch.arange(pairs, len(z))]).to(z.device)
    y, z, labels = y[rows], z[rows], None if labels is None else labels[rows]
    best, least = None, torch.inf
    for link, margin in links:
        features = Features(values, link, margin)
        h = features.unlinked(y)
        n = 1 if labels is None else int(labels.max()) + 1
        e = h - _of(_class_means(h[:some], labels, n), labels)
        error = float((e @ _ridge(e, z, some) - z)[some:].norm(dim=1).median())
        if error < least:
            best, least = features, error
    assert best is not None  # the identity is always finite
    return best


def _class_means(h: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """(N, m) → the mean of each class, (classes, m)."""
    if labels is None:
        return h.mean(0, keepdim=True)
    of = torch.zeros(classes, len(h), dtype=h.dtype, device=h.device)
    of[labels[: len(h)], torch.arange(len(h), device=h.device)] = 1
    return of @ h / of.sum(1, keepdim=True).clamp_min(1)


def _of(means: Tensor, labels: Tensor | None) -> Tensor:
    return means if labels is None else means[labels]


def _ridge(e: Tensor, z: Tensor, pairs: int) -> Tensor:
    """argmin_W ‖z − e W‖² + λ ‖W‖² over the first pairs: (m, d); λ by the median error of the rest.

    e: (N, m), z: (N, d).
    """
    C, R = (e[:pairs].T @ e[:pairs]).double(), (e[:pairs].T @ z[:pairs]).double()
    mean, tiny = C.diagonal().mean(), torch.finfo(torch.float32).tiny
    best, least = torch.zeros_like(R).float(), torch.inf
    for ridge in RIDGES:
        A = C.clone()
        A.diagonal().add_(ridge * mean + tiny)
        L, failed = torch.linalg.cholesky_ex(A)
        if failed:
            break  # weaker ridges fail as well
        W = torch.cholesky_solve(R, L).float()
        error = float((e[pairs:] @ W - z[pairs:]).norm(dim=1).median())
        if error < least:
            best, least = W, error
    return best
