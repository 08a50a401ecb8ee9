"""A map of latents: every point at a place of the plane, near ones near as far as that goes.

PCA is the flat shadow along the two widest axes: quick, and distances on it mean something. t-SNE
(van der Maaten & Hinton, 2008) and UMAP (McInnes et al., 2018) keep neighbourhoods together and
give up distances between them. How far each can be believed is measured and kept with the map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError, seeds
from preimage.core.errors import nearest_name
from preimage.core.neighbours import nearest
from preimage.metrics.measure import Measure
from preimage.metrics.trustworthiness import trustworthiness

FEWEST = 12  # points of which a map can be judged
NEIGHBOURS = 5  # by which it is
JUDGED = 1000  # points, each held against all others, of a map that has more
REDUCED = 50  # principal axes that t-SNE and UMAP see of longer latents
LANDMARKS = 10_000  # points that t-SNE places; others go where their nearest landmarks are
ANCHORS = 5  # landmarks by which such a point is placed


@dataclass(frozen=True)
class LatentMap:
    """Where each of N points lies on the plane, what is known of it, and how good the map is."""

    positions: Tensor  # (N, 2) float32; each axis centred, PCA's in the latents' own units
    method: str  # "pca", "t-sne" or "umap"
    trustworthiness: Measure  # 1: no point is near on the map that is far in truth
    kept: Measure  # share of the k nearest points that are so on the map
    neighbours: int  # k of both
    explained: float | None = None  # the share of the variance that PCA's plane holds
    labels: Tensor | None = None  # (N,) int64 into `classes`
    classes: tuple[str, ...] = ()
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)  # name → (N,) float32
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of coded attributes
    names: tuple[str, ...] = ()  # of the images, as their source calls them
    notes: tuple[str, ...] = ()  # sentences a person should read

    def __len__(self) -> int:
        return len(self.positions)

    def to_json(self) -> dict[str, Any]:
        """The figures, without the points."""
        return {
            "points": len(self),
            "method": self.method,
            "neighbours": self.neighbours,
            "trustworthiness": _interval(self.trustworthiness),
            "neighbours_kept": _interval(self.kept),
            "explained": self.explained,
            "notes": list(self.notes),
        }


def latent_map(
    latents: Tensor,  # (N, *space.shape)
    *,
    method: str = "pca",
    neighbours: int = NEIGHBOURS,
    seed: int = 0,
) -> LatentMap:
    """Place latents on the plane, and judge how well their neighbourhoods are kept.

    Every method gives the same map for the same seed. Memory grows with N alone.

    Raises InputError for an unknown method, for UMAP without its extra, for fewer latents than a
    map can be made of, and where some are not finite.
    """
    if method not in METHODS:
        raise InputError(f"no map '{method}'; {nearest_name(method, METHODS)}")
    flat = latents.detach().cpu().flatten(1).float()
    least = max(FEWEST, 2 * neighbours + 2)
    if len(flat) < least:
        fewer = f", or at most {len(flat) // 2 - 1} neighbours" if len(flat) >= FEWEST else ""
        raise InputError(f"{len(flat)} points make no map; give at least {least} images{fewer}")
    if not flat.isfinite().all():
        raise InputError("some latents are not finite (NaN or ∞); a map has no place for them")
    placed = METHODS[method](flat, seed)
    trusted, kept = trustworthiness(flat, placed.positions, k=neighbours, judged=JUDGED, seed=seed)
    return LatentMap(
        positions=placed.positions,
        method=method,
        trustworthiness=trusted,
        kept=kept,
        neighbours=neighbours,
        explained=placed.explained,
        notes=placed.notes,
    )


@dataclass(frozen=True)
class Placed:
    """What a method makes of latents, before it is judged."""

    positions: Tensor  # (N, 2)
    explained: float | None = None
    notes: tuple[str, ...] = ()


def principal_plane(x: Tensor) -> tuple[Tensor, float]:
    """The two widest principal axes of x (N, d): positions (N, 2), and their share of variance.

    An axis points to where its largest coefficient is positive.
    """
    from sklearn.decomposition import PCA  # takes a second, and not every map needs it

    if x.shape[1] == 1:
        x = torch.nn.functional.pad(x, (0, 1))
    found = PCA(2, random_state=0)
    positions = found.fit_transform(x.numpy())
    axes = np.asarray(found.components_)
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(1)])
    return torch.from_numpy((positions * signs).astype(np.float32)), float(
        found.explained_variance_ratio_.sum()
    )


def _by_pca(x: Tensor, seed: int) -> Placed:
    positions, share = principal_plane(x)
    return Placed(positions, explained=share)


def _by_tsne(x: Tensor, seed: int) -> Placed:
    from sklearn.manifold import TSNE

    x = _reduced(x)
    order = torch.randperm(len(x), generator=seeds.generator(seed, "landmarks"))
    landmarks, others = order[:LANDMARKS], order[LANDMARKS:]
    perplexity = min(30.0, (len(landmarks) - 1) / 3)
    run = TSNE(
        2, perplexity=perplexity, init="pca", random_state=seeds.derive(seed, "t-sne") % 2**32
    )
    positions = torch.empty(len(x), 2)
    placed = torch.from_numpy(run.fit_transform(x[landmarks].numpy()))
    positions[landmarks] = placed
    if not len(others):
        return Placed(positions)
    distances, near = nearest(x[others], x[landmarks], k=ANCHORS)
    weights = 1 / distances.clamp_min(1e-12)
    weights /= weights.sum(1, keepdim=True)
    positions[others] = (weights[:, :, None] * placed[near]).sum(1)
    note = (
        f"t-SNE has placed {LANDMARKS:,} of the points, chosen at random; the others stand where "
        f"their {ANCHORS} nearest of those are"
    )
    return Placed(positions, notes=(note,))


def _by_umap(x: Tensor, seed: int) -> Placed:
    try:
        from umap import UMAP
    except ImportError:
        raise InputError(
            "UMAP is an extra: pip install 'preimage[maps]', or take the method pca or t-sne"
        ) from None
    run = UMAP(
        n_neighbors=min(15, len(x) - 1), random_state=seeds.derive(seed, "umap") % 2**32, n_jobs=1
    )
    positions = torch.from_numpy(np.asarray(run.fit_transform(_reduced(x).numpy()), np.float32))
    return Placed(positions - positions.mean(0))


METHODS: dict[str, Callable[[Tensor, int], Placed]] = {
    "pca": _by_pca,
    "t-sne": _by_tsne,
    "umap": _by_umap,
}


def _reduced(x: Tensor) -> Tensor:
    """Latents of more than 50 numbers along their 50 principal axes, as is usual before t-SNE."""
    n = min(REDUCED, len(x) - 1)
    if x.shape[1] <= REDUCED:
        return x
    from sklearn.decomposition import PCA

    return torch.from_numpy(PCA(n, random_state=0).fit_transform(x.numpy()).astype(np.float32))


def _interval(measure: Measure) -> dict[str, float]:
    return {"value": measure.value, "low": measure.low, "high": measure.high, "n": measure.n}
