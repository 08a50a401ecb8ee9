"""A held-out split that never leaks and does not move as files are added.

Which side an image falls on depends on its own content, through a hash, and not on its place in a
list. Images of one group, exact and near duplicates, fall on the side of the group's smallest
hash. Two demands pull the other way: a small set still needs enough images to measure a loss on,
and a near duplicate added later may bring a smaller hash into its group. So the sides already
given to a source are remembered (`remembered` below) and kept; new images join their group.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from preimage.data.decode import LUMA

SHARE = 0.1  # of the images are held out
LEAST = 32  # images are held out at least, but never more than half
SIDE = 8  # pixels of the thumbnails in which near duplicates are looked for
CORRELATION = 0.995  # of two thumbnails, at which the images count as near duplicates
PAIRS = 40_000_000  # of candidates that are looked at; more means that all look alike
CONTRAST = 2.0  # grey levels (standard deviation) below which a thumbnail says nothing


def held_out(
    hashes: np.ndarray,  # (N,) uint64
    groups: np.ndarray,  # (N,) int: images with equal numbers stay together
    *,
    remembered: Mapping[int, bool] | None = None,  # hash → whether it was held out before
) -> np.ndarray:
    """Which images are held out: (N,) bool."""
    n = len(hashes)
    groups = np.unique(groups, return_inverse=True)[1].reshape(n)
    count = int(groups.max(initial=-1)) + 1
    sizes = np.bincount(groups, minlength=count)
    keys = np.full(count, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(keys, groups, hashes)
    u = _mix(keys) / 2.0**64  # uniform on [0, 1), one number a group

    held = np.zeros(count, bool)
    settled = np.zeros(count, bool)
    if remembered:
        # A group with both sides in it goes to training: what was trained on is never held out.
        held[:] = True
        for group, value in zip(groups.tolist(), hashes.tolist(), strict=True):
            if value in remembered:
                settled[group] = True
                held[group] &= remembered[value]
        held &= settled

    total = int(sizes[held].sum())
    for group in np.argsort(u, kind="stable").tolist():
        if u[group] >= SHARE and total >= min(LEAST, n // 2):
            break
        if not settled[group] and total + sizes[group] <= n // 2:
            held[group] = True
            total += int(sizes[group])
    return held[groups]


def exact_groups(hashes: np.ndarray) -> np.ndarray:
    """(N,) hashes → (N,) group numbers: images of equal content share one."""
    return np.unique(hashes, return_inverse=True)[1].reshape(len(hashes))


def near_groups(images: np.ndarray, exact: np.ndarray) -> np.ndarray | None:
    """Groups of images (N, C, H, W) that look alike, joined to the groups of exact duplicates.

    Two images are near duplicates where their grey thumbnails correlate at 0.995 or more: that
    forgives another resolution, compression or brightness, and seldom joins what differs. None
    where nearly everything looks like everything (frames of one still scene): there near
    duplicates cannot be told apart.
    """
    first = np.unique(exact, return_index=True)[1]  # one image of each exact group
    z, telling = thumbnails(images, first)
    pairs = _close_pairs(z[telling])
    if pairs is None:
        return None
    a, b = exact[first[telling]][pairs].T
    graph = coo_matrix((np.ones(len(pairs), bool), (a, b)), 2 * (int(exact.max()) + 1,))
    joined = connected_components(graph, directed=False)[1][exact]
    return None if np.bincount(joined).max() > max(32, len(exact) // 4) else joined


def _close_pairs(z: np.ndarray) -> np.ndarray | None:
    """Pairs of standardised thumbnails (n, SIDE²) that correlate: (m, 2); None for too many."""
    if len(z) < 2:
        return np.empty((0, 2), np.int64)
    radius = SIDE * np.sqrt(2 * (1 - CORRELATION))  # ‖a − b‖² = 2 · SIDE² · (1 − ρ)
    tree = KDTree(z @ _low_frequencies())  # a projection never lengthens: it misses no pair
    some = tree.data[:: max(1, len(z) // 1000)]
    if np.mean(tree.query_ball_point(some, radius, return_length=True)) * len(z) > PAIRS:
        return None
    pairs = tree.query_pairs(radius, output_type="ndarray")
    blocks = np.array_split(pairs, len(pairs) // 65536 + 1)
    return np.concatenate([p[((z[p[:, 0]] - z[p[:, 1]]) ** 2).sum(1) <= radius**2] for p in blocks])


def thumbnails(
    images: np.ndarray, rows: np.ndarray, *, side: int = SIDE
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised grey thumbnails (n, side²), and which have enough contrast to compare (n,)."""
    scale = 255 / np.iinfo(images.dtype).max
    out = np.empty((len(rows), side * side), np.float32)
    for place, row in enumerate(rows):
        pixels = images[row]
        luma = np.tensordot(LUMA, pixels, 1) if len(pixels) == 3 else pixels[0].astype(np.float32)
        grey = Image.fromarray(luma)
        small = grey.resize((side, side), Image.Resampling.BOX)
        out[place] = np.asarray(small).reshape(-1) * scale
    out -= out.mean(1, keepdims=True)
    deviation = out.std(1, keepdims=True)
    return out / np.maximum(deviation, 1e-6), deviation[:, 0] >= CONTRAST


def duplicate_names(exact: np.ndarray, names: list[str]) -> list[tuple[str, ...]]:
    """The names in every exact group of two or more, in order of the first."""
    order = np.argsort(exact, kind="stable")
    ends = np.flatnonzero(np.diff(exact[order], append=-1, prepend=-1))
    found = [order[a:b] for a, b in pairwise(ends) if b - a > 1]
    return [tuple(names[i] for i in group) for group in sorted(found, key=lambda g: g[0])]


def _low_frequencies(count: int = 8) -> np.ndarray:
    """The lowest two-dimensional cosines but the constant: orthonormal (SIDE², count)."""
    k, x = np.arange(SIDE)[:, None], np.arange(SIDE)
    c = np.cos(np.pi * k * (x + 0.5) / SIDE)
    c /= np.linalg.norm(c, axis=1, keepdims=True)
    order = sorted(((i, j) for i in range(SIDE) for j in range(SIDE)), key=lambda p: (sum(p), p))
    return np.stack([np.outer(c[i], c[j]).reshape(-1) for i, j in order[1 : count + 1]], 1).astype(
        np.float32
    )


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014): uint64 → uint64, a bijection."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
