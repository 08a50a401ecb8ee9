"""Nearest images by vectors: exactly, or quickly by inverted lists of which only a few are read.

Both are faiss (Douze et al., "The faiss library", 2024). Inverted lists (Sivic & Zisserman, "Video
Google", 2003; Jégou, Douze & Schmid 2011, §IV): k-means divides the vectors into lists, and a query
reads the `probe` lists whose centroids are nearest to it. What is read is compared exactly, so a
distance is right wherever a neighbour is found; how often the true ones are found is measured when
lists are made, and the fewest are probed that find enough.

Distances are Euclidean here; `likeness.py` says of which vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np

EXACT = 100_000  # vectors that are searched exactly
RECALL = 0.98  # of the ten nearest, that as many lists are probed for as it takes
ASKED = 500  # vectors that recall is measured on, kept out of the clustering
NEAREST = 10
EACH = 40  # vectors to a list that k-means learns from
ROUNDS = 8  # of k-means
AT_ONCE = 100_000  # vectors


@dataclass(frozen=True)
class Lists:
    """Which of N vectors stand in which list."""

    centroids: np.ndarray  # (L, d) float32
    order: np.ndarray  # (N,) int64: the vectors' numbers, list after list
    sizes: np.ndarray  # (L,) int64
    probe: int  # lists that a query reads
    recall: float  # of the ten nearest, on `asked` vectors
    asked: int


def nearest(
    queries: np.ndarray,  # (B, d) float32
    vectors: np.ndarray,  # (N, d) float32, perhaps mapped from a file
    k: int,
    rows: np.ndarray | None = None,  # the only ones that count
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances (B, k), ascending, and rows (B, k); fewer than k where there are fewer."""
    if rows is not None:
        vectors = vectors[rows]
    k = min(k, len(vectors))
    if not k:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    distances, found = faiss.knn(queries, np.ascontiguousarray(vectors), k)
    return distances, found if rows is None else rows[found]


def merged(
    parts: Sequence[tuple[np.ndarray, np.ndarray]],  # distances (B, ·) and numbers of each part
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of those found in several parts; of equal ones the lower number first."""
    distances = np.concatenate([distances for distances, _ in parts], 1)
    numbers = np.concatenate([numbers for _, numbers in parts], 1)
    order = np.lexsort((numbers, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(numbers, order, 1)


def make_lists(vectors: np.ndarray, *, recall: float = RECALL, seed: int = 0) -> Lists:
    """Lists of vectors (N, d), and how many of them must be probed."""
    N, d = vectors.shape
    L = max(1, round(N**0.5))
    drawn = np.random.default_rng(seed).permutation(N)
    asked, learned = np.sort(drawn[:ASKED]), np.sort(drawn[ASKED : ASKED + EACH * L])
    kmeans = faiss.Kmeans(
        d, L, niter=ROUNDS, seed=seed + 1, min_points_per_centroid=1, max_points_per_centroid=EACH
    )
    kmeans.train(np.ascontiguousarray(vectors[learned if len(learned) >= L else drawn]))
    centroids = np.asarray(kmeans.centroids, np.float32).reshape(L, d)
    blocks = [vectors[i : i + AT_ONCE] for i in range(0, N, AT_ONCE)]
    own = np.concatenate([nearest(np.ascontiguousarray(b), centroids, 1)[1][:, 0] for b in blocks])
    order, sizes = np.argsort(own, kind="stable"), np.bincount(own, minlength=L)
    probe, found = _probed(vectors, asked, centroids, own, recall)
    return Lists(centroids, order, sizes, probe, found, len(asked))


def _probed(
    vectors: np.ndarray, asked: np.ndarray, centroids: np.ndarray, own: np.ndarray, recall: float
) -> tuple[int, float]:
    """The fewest lists in which so many of the nearest ten stand, and how many these are.

    A true neighbour is found exactly where its list is probed: all that has to be known is at which
    place the query's list of lists has that of each true neighbour.
    """
    queries = np.ascontiguousarray(vectors[asked])
    _, found = nearest(queries, vectors, NEAREST + 1)
    others = found != asked[:, None]
    others[others.all(1), -1] = False  # of many equal ones, the query itself may not be found
    true = found[others].reshape(len(asked), -1)
    _, lists = nearest(queries, centroids, len(centroids))
    place = np.empty_like(lists)
    np.put_along_axis(place, lists, np.arange(lists.shape[1])[None], 1)
    at = np.take_along_axis(place, own[true], 1)
    shares = np.bincount(at.ravel(), minlength=len(centroids)).cumsum() / at.size
    probe = int(np.searchsorted(shares, recall) + 1)
    return probe, float(shares[probe - 1])
