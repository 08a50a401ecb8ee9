"""A data set in integers, and the batches of floats that come out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from preimage.core import DataSpec, InputError
from preimage.core.words import counted


@dataclass
class Dataset:
    """Images as whole numbers, in memory or mapped from the disk, with what is known of each.

    `train` and `heldout` are disjoint; together they hold every index, except where `notes` says
    that some images belong to neither.
    """

    name: str
    source: str
    spec: DataSpec
    images: np.ndarray  # (N, C, H, W) uint8 or uint16, perhaps a read-only memory map
    names: Sequence[str]  # of each image: its path below the source, or its row
    hashes: np.ndarray  # (N,) uint64: the content of each image as it stood in the source
    train: np.ndarray  # indices, int64
    heldout: np.ndarray  # indices, int64
    fingerprint: str  # of all images as they are here
    labels: np.ndarray | None = None  # (N,) int64, indices into `classes`
    classes: tuple[str, ...] = ()
    attributes: dict[str, np.ndarray] = field(default_factory=dict)  # name → (N,) float32
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of coded attributes
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (name, reason) of bad files
    duplicates: list[tuple[str, ...]] = field(default_factory=list)  # names with equal pixels
    value_range: tuple[float, float] | None = None  # of a 16-bit or float source
    notes: tuple[str, ...] = ()  # sentences a person should read: decisions, oddities
    report: Path | None = None  # the file that lists what was skipped

    def __len__(self) -> int:
        return len(self.images)

    def __str__(self) -> str:
        classes = f", {counted(len(self.classes), 'class', 'classes')}" if self.classes else ""
        sides = f"{len(self.train)} to train on, {len(self.heldout)} held out"
        images = counted(len(self), "image")
        return f"{self.name}: {images}, {self.spec}{classes} ({sides})"

    def batch(self, indices: Sequence[int] | np.ndarray | Tensor) -> Tensor:
        """The images of these indices: float32 (B, C, H, W) in [−1, 1]."""
        rows = self.images[np.asarray(indices, dtype=np.int64)]
        top = np.iinfo(rows.dtype).max
        if rows.dtype == np.uint16:  # older versions of torch cannot convert it
            rows = rows.astype(np.float32)
        return torch.from_numpy(rows).to(torch.float32).mul_(2 / top).sub_(1)

    def batch_labels(self, indices: Sequence[int] | np.ndarray | Tensor) -> Tensor | None:
        """The class labels of these indices, int64 (B,), or None where there are none."""
        if self.labels is None:
            return None
        return torch.from_numpy(self.labels[np.asarray(indices, dtype=np.int64)])

    @property
    def labels_hash(self) -> str | None:
        """Of the class of every image, or None where there are none."""
        if self.labels is None:
            return None
        digest = hashlib.blake2b(
            "\0".join(self.classes).encode(errors="backslashreplace"), digest_size=16
        )
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def attribute(self, name: str) -> np.ndarray:
        """One attribute of every image, float32 (N,): its value, or the code of its category."""
        if name not in self.attributes:
            known = ", ".join(self.attributes) or "none"
            raise InputError(f"{self.name} has no attribute '{name}'; it has: {known}")
        return self.attributes[name]

    def summary(self) -> str:
        """A few lines a person can read: what was loaded, decided, left out, and seen twice."""
        lines = [str(self), *self.notes]
        if self.duplicates:
            extra = sum(len(group) - 1 for group in self.duplicates)
            first = " = ".join(self.duplicates[0][:2])
            what, more = counted(extra, "exact duplicate"), ", …" if extra > 1 else ""
            lines.append(f"{what}, always on one side of the split: {first}{more}")
        if self.skipped:
            shown = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:3])
            rest = f" (all of them: {self.report})" if self.report else ""
            lines.append(f"{counted(len(self.skipped), 'file')} skipped: {shown}{rest}")
        return "\n".join(lines)
