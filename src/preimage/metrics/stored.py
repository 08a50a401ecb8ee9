"""Features that stay on the disk: a million rows are walked through, and never held.

Rows of a memory map are chosen by number without being read; what reads them does so a batch at a
time, and what needs them all at once takes the few that it asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError

BATCH = 2048  # rows read at a time


class Stored:
    """Some rows of a memory-mapped array (N, d), read as float tensors when they are asked for."""

    def __init__(self, array: np.ndarray, chosen: Tensor | None = None) -> None:
        self.array = array
        self.chosen = torch.arange(len(array)) if chosen is None else chosen  # (n,)

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.array.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.array.dtype == np.float64 else torch.float32

    def dim(self) -> int:
        return 2

    def of(self, rows: Tensor | slice) -> Stored:
        """Some of the rows, still on the disk."""
        return Stored(self.array, self.chosen[rows])

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Some of the rows (n, d), read."""
        read = self.array[self.chosen[rows].numpy()]  # a copy: an index is an array
        return torch.from_numpy(np.ascontiguousarray(read)).to(self.dtype)

    def split(self, size: int = BATCH) -> Iterator[Tensor]:
        """All rows in order, (≤ size, d) at a time."""
        for first in range(0, len(self), size):
            yield self[first : first + size]


def stored(path: Path) -> Stored | None:
    """The features of a .npy file, left there; None where it does not hold rows (N, d).

    Raises InputError for a file that is damaged, and for one of anything but numbers.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read as an array: {reason}") from None
    if array.ndim != 2:
        return None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path} holds {array.dtype}, not numbers; features are rows (N, d)")
    return Stored(array)
