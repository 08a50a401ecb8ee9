"""Where searches begin: near samples of the prior, at its mean, or at what an encoder says.

Many starts for an image are narrowed by successive halving (Jamieson & Talwalkar, "Non-stochastic
Best Arm Identification and Hyperparameter Optimization", 2016): each gets a short search, the
better half of them another of twice the length, and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, seeds
from preimage.core.neighbours import squared_distances
from preimage.inversion.problem import Decode, Operator, Problem
from preimage.inversion.search import Search, Solver, solve

SIZE = 4096  # samples in a pool
VALUES = 1 << 25  # that the images of a pool may have in all: 64 MiB in float16
BLOCK = 256  # of them compared at a time
AT_ONCE = 512  # searches run side by side by `halving`

FeatureMap = Callable[[Tensor], Tensor]  # observations (N, …) → features (N, F)


@dataclass(frozen=True)
class Pool:
    """P samples of the prior, and their images: kept once for a generator."""

    z: Tensor  # (P, d)
    images: Tensor  # (P, C, H, W) float16
    labels: Tensor | None = None  # (P,)

    def __len__(self) -> int:
        return len(self.z)

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        model: LatentModel,
        *,
        size: int = SIZE,
        seed: int = 0,
        decode: Decode | None = None,
    ) -> Pool:
        """`size` samples, fewer where the images are large; classes take turns."""
        size = max(1, min(size, VALUES // model.data.size))
        z = prior_latents(model, size, seeds.generator(seed, "pool"))
        labels, decode = model.labels_for(size), decode or model.decode
        images = []
        for first in range(0, size, BLOCK):
            part = slice(first, first + BLOCK)
            of = None if labels is None else labels[part]
            images.append(decode(z[part], of).to(torch.float16))
        return cls(z.flatten(1), torch.cat(images), labels)

    @torch.no_grad()
    def nearest(
        self, problem: Problem, k: int = 1, *, features: FeatureMap | None = None
    ) -> Tensor:
        """Latents (B, k, d) whose observations are nearest to the targets, the nearest first.

        In squared distance of values, or of `features`. Of the target's class, if it has one.
        A pool with fewer samples than k gives them all.
        """
        y = problem.target if features is None else features(problem.target)
        y = y.flatten(1).float()
        distances, indices = y.new_empty(len(y), 0), problem.seeds.new_empty(len(y), 0)
        indices = indices.to(y.device)
        shared = is_shared(problem.through, self.images[:1], len(problem))
        for first in range(0, len(self), BLOCK):
            x = self.images[first : first + BLOCK].float()
            if shared:
                a = problem.through(x)
                found = squared_distances(
                    y, (a if features is None else features(a)).flatten(1).float()
                )
            else:
                found = _one_by_one(problem.through, x, y, features)
            if self.labels is not None and problem.labels is not None:
                other = self.labels[first : first + BLOCK] != problem.labels[:, None]
                found = found.masked_fill(other, torch.inf)
            here = torch.arange(first, first + len(x), device=y.device).expand(len(y), -1)
            distances, indices = torch.cat([distances, found], 1), torch.cat([indices, here], 1)
            distances, best = distances.topk(min(k, distances.shape[1]), dim=1, largest=False)
            indices = indices.gather(1, best)
        return self.z[indices]


def prior_latents(model: LatentModel, n: int, random: torch.Generator) -> Tensor:
    """Latents (n, *shape) of the prior, or of N(0, I) where none is known."""
    space = model.space
    z = space.draw(n, random) if space.priors else torch.randn(n, *space.shape, generator=random)
    return z.to(model.device)


def mean_start(problem: Problem) -> Tensor:
    """The centre of the latent space for every image: (B, d)."""
    space = problem.model.space
    mean = space.mean() if space.priors else torch.zeros(space.shape)
    return mean.flatten().to(problem.target).expand(len(problem), -1).clone()


def given_start(problem: Problem, z: Tensor) -> Tensor:
    """Latents (B, *shape), or one for all (*shape), flat: (B, d).

    Raises InputError where they are of another shape, or not finite.
    """
    shape = tuple(problem.model.space.shape)
    if tuple(z.shape) == shape:
        z = z.expand(len(problem), *shape)
    if tuple(z.shape) != (len(problem), *shape):
        raise InputError(
            f"start= has shape {tuple(z.shape)}; give latents of shape {(len(problem), *shape)}"
        )
    if not z.isfinite().all():
        raise InputError("start= holds values that are not finite (NaN or ∞)")
    return z.flatten(1).to(problem.target).clone()


@torch.no_grad()
def encoder_start(problem: Problem) -> Tensor:
    """The mean that the model's encoder gives for each target: (B, d).

    Raises Unsupported where it has no encoder, InputError where targets are no whole images.
    """
    if tuple(problem.target.shape[1:]) != tuple(problem.model.data.shape):
        raise InputError("the encoder sees whole images only; use start='nearest' with an operator")
    return problem.model.encode(problem.target, problem.labels).mean.flatten(1).float()


def is_shared(through: Operator, x: Tensor, batch: int) -> bool:
    """Whether an operator is the same for all of `batch` images like x (1, C, H, W)."""
    try:
        for n in (batch + 1, batch + 2):  # one that is for each image takes one of these at most
            through(x.float().expand(n, *x.shape[1:]))
    except (InputError, RuntimeError):
        return False
    return True


def halving(problem: Problem, z: Tensor, solver: Solver, *, steps: int) -> Search:
    """The best of k starts an image, z (B, k, d), by successive halving.

    steps: iterations of the first short searches; each later round has twice as many.
    """
    k = z.shape[1]
    whole = torch.arange(len(z), device=z.device)
    parts = [
        _halved(problem.select(rows), z[rows], solver, steps)
        for rows in whole.split(max(1, AT_ONCE // k))
    ]
    fields = ("z", "loss", "status", "iterations", "evaluations")
    return Search(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))


def _halved(problem: Problem, z: Tensor, solver: Solver, steps: int) -> Search:
    B, k, d = z.shape
    spent = torch.zeros(2, B, dtype=torch.int64, device=z.device)
    while True:
        each = torch.arange(B, device=z.device).repeat_interleave(k)
        found = solve(solver(problem.select(each), z.reshape(B * k, d), steps=steps, tolerance=0))
        spent += torch.stack([found.iterations, found.evaluations]).reshape(2, B, k).sum(2)
        loss = found.loss.nan_to_num(torch.inf, torch.inf, torch.inf).reshape(B, k)
        k = (k + 1) // 2
        order = loss.topk(k, dim=1, largest=False, sorted=True).indices
        z = found.z.reshape(B, -1, d).gather(1, order[..., None].expand(-1, -1, d))
        if k == 1:
            break
        steps *= 2
    search = Search.at(z[:, 0], loss.min(1).values)
    search.iterations, search.evaluations = spent[0], spent[1]
    return search


def _one_by_one(through: Operator, x: Tensor, y: Tensor, features: FeatureMap | None) -> Tensor:
    """Squared distances (B, P) of y (B, m) to images x, each target through its own operator."""
    rows = []
    for i, one in enumerate(y):
        a = through.select(torch.full((len(x),), i, device=y.device))(x)
        a = a if features is None else features(a)
        rows.append((a.flatten(1).float() - one).square().sum(1))
    return torch.stack(rows)
