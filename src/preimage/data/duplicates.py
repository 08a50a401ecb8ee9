"""One of each: exact and near duplicates taken out of the images to train on.

What is seen many times over is what models learn by heart (Carlini et al., "Extracting training
data from diffusion models", 2023, §7; Lee et al., "Deduplicating training data makes language
models better", 2022). Duplicates are found as for the held-out split: see `split.near_groups`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from preimage.core.words import counted
from preimage.data.dataset import Dataset
from preimage.data.split import exact_groups, near_groups


def deduplicated(dataset: Dataset) -> Dataset:
    """The same images, of which only the first of each group is trained on; a note says how many.

    The images stay where they are, so that their numbers and names do not change; those left out
    are neither trained on nor held out. Where images are too alike to tell near duplicates from
    others, only exact ones are left out, and the note says so.
    """
    exact = exact_groups(dataset.hashes)
    groups = near_groups(dataset.images, exact)
    alike = groups is None
    groups = exact if groups is None else groups
    held = np.isin(groups, groups[dataset.heldout])  # what is held out must not be trained on
    rows = dataset.train[~held[dataset.train]]
    kept = np.sort(rows[np.unique(groups[rows], return_index=True)[1]])
    gone = len(dataset.train) - len(kept)
    what = "exact duplicate" if alike else "exact or near duplicate"
    note = f"{counted(gone, what)} left out of training: {len(kept)} images are left."
    if alike:
        note += " The images are too alike to tell near duplicates."
    return replace(dataset, train=kept, notes=(*dataset.notes, note))
