"""One of each: exact and near duplicates taken out of the images to train on.

What is seen many times over is what models learn by heart (Carlini et al., "Extracting training
data from diffusion models", 2023, §7; Lee et al., "Deduplicating training data makes language
models better", 2022). The groups of `split.near_groups` are the candidates. They may hold images
that only look alike, which does a split no harm; here each is held against those that are kept.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from preimage.core.words import counted
from preimage.data.dataset import Dataset
from preimage.data.split import exact_groups, near_groups, thumbnails

SIDE = 32  # pixels at which candidates are compared
CORRELATION = 0.995  # at which two are the same picture
BLOCK = 1024  # images at a time


def deduplicated(dataset: Dataset) -> Dataset:
    """The same images, without those to train on that are in the set before; a note says how many.

    The images stay where they are, so that their numbers and names do not change; those left out
    are neither trained on nor held out. Two are the same picture where they are equal, or
    correlate at 0.995 in grey and 32×32: another compression, size or brightness makes no other
    picture. Where images are too alike to tell, only equal ones are left out, and the note says so.
    """
    exact = exact_groups(dataset.hashes)
    groups = near_groups(dataset.images, exact)
    order = np.concatenate([dataset.heldout, np.sort(dataset.train)])  # what is held out stays
    rows = order[np.sort(np.unique(exact[order], return_index=True)[1])]  # one of equal ones
    again = np.zeros(len(dataset), bool)
    again[order] = True
    again[rows] = False
    if groups is not None:
        sizes = np.bincount(groups[rows])
        for group in np.flatnonzero(sizes > 1):
            members = rows[groups[rows] == group]
            again[members[_seen_before(dataset.images, members)]] = True
    kept = dataset.train[~again[dataset.train]]
    gone = len(dataset.train) - len(kept)
    what = "exact duplicate" if groups is None else "exact or near duplicate"
    note = f"{counted(gone, what)} left out of training: {len(kept)} images are left."
    if groups is None:
        note += " The images are too alike to tell near duplicates."
    return replace(dataset, train=kept, notes=(*dataset.notes, note))


def _seen_before(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether each of these images is the same picture as one before it that is not: (n,) bool."""
    z = thumbnails(images, rows, side=SIDE)[0] / SIDE  # rows of length 1
    again = np.zeros(len(rows), bool)
    for first in range(0, len(rows), BLOCK):
        block = slice(first, min(first + BLOCK, len(rows)))
        before = z[:first][~again[:first]]
        again[block] = (z[block] @ before.T >= CORRELATION).any(1)
        alike = z[block] @ z[block].T >= CORRELATION
        for i in range(alike.shape[0]):
            again[first + i] |= (alike[i, :i] & ~again[first : first + i]).any()
    return again
