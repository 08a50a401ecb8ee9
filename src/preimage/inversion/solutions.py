"""Distinct solutions: where searches from several starts ended, told apart by the hills between.

Two latents are one solution if the images on the straight line between them fit the target as well
as its ends do, within the noise: no barrier in the loss (Frankle et al., "Linear Mode Connectivity
and the Lottery Ticket Hypothesis", 2020, §2). So are all that are linked by such lines (single
linkage), which leaves a curved valley in one piece. Under the Laplace posterior a step of t
standard deviations raises ‖A(G(z)) − y‖² by at most t² σ²; "within the noise" is t = 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from preimage.core.words import counted
from preimage.inversion.curvature import of_values, values_seen
from preimage.inversion.posterior import ROUNDING
from preimage.inversion.problem import Problem

DEVIATIONS = 3.0
BETWEEN = (0.25, 0.5, 0.75)  # places on the line between two latents that are looked at


@dataclass(frozen=True)
class Solutions:
    """Of one image: s distinct solutions, the best one first."""

    z: Tensor  # (s, d): the best latent of each
    error: Tensor  # (s,): squared error per value seen
    sizes: Tensor  # (s,) int64: how many searches ended there
    equally_good: Tensor  # (s,) bool: whether it fits as well as the best, within the noise
    latent_distance: Tensor  # (s,): ‖z − z₀‖ from the best
    image_distance: Tensor  # (s,): root mean square of G(z) − G(z₀), in [−1, 1]
    members: Tensor  # (k,) int64: the solution each search ended in; −1 for none

    def __len__(self) -> int:
        return len(self.z)

    @property
    def count(self) -> int:
        """How many distinct solutions fit equally well."""
        return int(self.equally_good.sum())

    @property
    def sentence(self) -> str:
        """For a person."""
        starts = counted(len(self.members), "start")
        if not len(self):
            return f"no search of {starts} found an image"
        worse = len(self) - self.count
        also = f", besides {counted(worse, 'worse end')}" if worse else ""
        if self.count == 1:
            return f"one solution, found by {int(self.sizes[0])} of {starts}{also}"
        twins = self.equally_good.nonzero()[1:, 0]
        latents, images = self.latent_distance[twins], self.image_distance[twins]
        return (
            f"{self.count} distinct solutions from {starts} fit equally well: "
            f"latents {_range(latents)} from the best, images {_range(images)}{also}"
        )


@torch.no_grad()
def distinct_solutions(
    problem: Problem, z: Tensor, *, noise: float | Tensor | None = None
) -> list[Solutions]:
    """The distinct solutions of each of B images, from latents (B, k, d) of k searches each.

    Searches with latents or images that are not finite end nowhere. Looks at k (k − 1) / 2 lines
    an image, three decodings each.

    noise: σ on values in [−1, 1], of all images or of each (B,); where neither it nor the
        operator's own is given, that of the best latent's residual, with d latents taken off, and
        at least that of rounding to 8 bits.
    """
    B, k, _ = z.shape
    values = of_values(problem)
    error = torch.stack([values.loss(end) for end in z.unbind(1)], 1).double()  # (B, k)
    error = error.nan_to_num(torch.inf, posinf=torch.inf)
    seen = values_seen(values).double()
    σ = _noise(problem, error.amin(1), seen, noise)
    allowance = (DEVIATIONS * σ) ** 2

    linked = torch.eye(k, dtype=torch.bool, device=z.device).repeat(B, 1, 1)
    for i in range(k):
        for j in range(i):
            ends = torch.maximum(error[:, i], error[:, j])
            line = (values.loss(torch.lerp(z[:, i], z[:, j], t)).double() for t in BETWEEN)
            barrier = torch.stack(list(line)).amax(0) - ends
            linked[:, i, j] = ends.isfinite() & (barrier <= allowance)

    clusters = [
        _clusters(one, ends)
        for one, ends in zip(linked.cpu().numpy(), error.cpu().numpy(), strict=True)
    ]
    rows = torch.tensor([b for b, (_, best) in enumerate(clusters) for _ in best], device=z.device)
    best = torch.tensor([i for _, best in clusters for i in best], device=z.device)
    rows, best = rows.long(), best.long()
    z, error = z[rows, best], error[rows, best]  # (Σ s, d), (Σ s,)
    images = problem.select(rows).images(z).flatten(1) if len(rows) else z
    parts = [len(best) for _, best in clusters]
    each = zip(z.split(parts), images.split(parts), error.split(parts), strict=True)
    return [
        Solutions(
            z=latents,
            error=(errors / seen[b]).to(z),
            sizes=torch.from_numpy(np.bincount(members[members >= 0], minlength=len(latents))),
            equally_good=errors - errors[:1] <= allowance[b],
            latent_distance=(latents - latents[:1]).norm(dim=1),
            image_distance=(pictures - pictures[:1]).square().mean(1).sqrt(),
            members=torch.from_numpy(members),
        )
        for b, ((members, _), (latents, pictures, errors)) in enumerate(
            zip(clusters, each, strict=True)
        )
    ]


def _noise(problem: Problem, lowest: Tensor, seen: Tensor, given: float | Tensor | None) -> Tensor:
    """σ of each image, (B,), from the lowest squared error found."""
    if given is None:
        given = getattr(problem.through, "noise", 0.0) or None
    if given is not None:
        return torch.as_tensor(given, dtype=torch.float64, device=lowest.device).expand(len(seen))
    freedom = (seen - problem.d).clamp_min(1)
    return (lowest / freedom).sqrt().clamp_min(ROUNDING)


def _clusters(linked: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Which solution each search is in, best first and −1 for none, and the best search of each."""
    _, component = connected_components(linked, directed=False)
    members, best = np.full(len(error), -1), []
    for search in np.argsort(error, kind="stable"):
        if members[search] < 0 and np.isfinite(error[search]):
            members[component == component[search]] = len(best)
            best.append(int(search))
    return members, best


def _range(values: Tensor) -> str:
    """`2.1 to 3.4`, or the one number where they are alike."""
    low, high = f"{values.min().item():.2g}", f"{values.max().item():.2g}"
    return low if low == high else f"{low} to {high}"
