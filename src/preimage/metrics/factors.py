"""Known factors of images, such as pose or glasses, and codes to be held against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from preimage.core import InputError
from preimage.data.labels import SILENT

Codes = np.ndarray | Tensor  # (N, d), or latents of any shape
Factors = Mapping[str, np.ndarray]  # name → (N,), whole numbers (or words) or reals
KNOWN = 20  # images of which a factor must be known, where it is not known of all


@dataclass(frozen=True)
class Factor:
    """One factor of N images."""

    name: str
    values: np.ndarray  # (N,) float64, NaN where unknown; of a discrete one int64, −1 where unknown
    discrete: bool

    @property
    def known(self) -> np.ndarray:
        """(N,) bool."""
        return self.values >= 0 if self.discrete else np.isfinite(self.values)

    @property
    def classes(self) -> int:
        return int(self.values.max()) + 1


@dataclass(frozen=True)
class Labelled:
    """Codes whose images' factors are known, checked."""

    codes: np.ndarray  # (N, d) float64
    factors: tuple[Factor, ...]
    notes: tuple[str, ...] = ()  # what was left out, and what is known of some images only

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(factor.name for factor in self.factors)

    def of(self, factor: Factor) -> tuple[np.ndarray, np.ndarray]:
        """Codes and values of the images of which a factor is known."""
        known = factor.known
        return self.codes[known], factor.values[known]

    def rows(self, kept: np.ndarray) -> Labelled:
        """Some of the images."""
        factors = tuple(Factor(f.name, f.values[kept], f.discrete) for f in self.factors)
        return Labelled(self.codes[kept], factors, self.notes)


def labelled(codes: Codes, factors: Factors, *, least: int = 2, enough: int = KNOWN) -> Labelled:
    """Codes (N, …) with their factors; whole numbers, truth values and words are discrete ones.

    NaN and words such as "unlabelled" are unknown. A factor that is known of fewer images than
    `enough`, or the same for every image, says nothing and is left out, with a note.

    Raises InputError where fewer than `least` factors or 2 codes are left, for lengths that do not
    match, and for values that are infinite.
    """
    z = np.asarray(codes, np.float64)
    z = z.reshape(len(z), -1)
    if not np.isfinite(z).all():
        raise InputError("codes hold values that are not finite numbers")
    if z.shape[1] < 2:
        raise InputError("disentanglement compares codes with each other; give at least 2, not 1")
    kept, notes = [], []
    for name, given in factors.items():
        values = np.asarray(given)
        if values.shape != (len(z),):
            raise InputError(
                f"factor '{name}': shape {values.shape} does not match {len(z)} rows of codes"
            )
        discrete = values.dtype.kind in "iubOSU"
        known = _known(values, discrete)
        if not discrete and np.isinf(values[known]).any():
            raise InputError(f"factor '{name}' holds values that are infinite")
        n = int(known.sum())
        if n < min(enough, len(z)):
            notes.append(f"factor '{name}' is known of {n} of {len(z)} images and was left out")
            continue
        if not n or (values[known] == values[known][0]).all():
            notes.append(f"factor '{name}' is the same in all images and was left out")
            continue
        if n < len(z):
            notes.append(f"factor '{name}' is known of {n} of {len(z)} images")
        kept.append(_factor(name, values, known, discrete))
    if len(kept) < least:
        left = ", ".join(factor.name for factor in kept) or "none"
        raise InputError(f"{least} factors that vary are needed, and there are: {left}")
    return Labelled(z, tuple(kept), tuple(notes))


def _known(values: np.ndarray, discrete: bool) -> np.ndarray:
    if not discrete:
        return ~np.isnan(values.astype(np.float64))
    if values.dtype.kind in "OU":
        return ~np.isin(values, SILENT)
    return np.ones(len(values), bool)


def _factor(name: str, given: np.ndarray, known: np.ndarray, discrete: bool) -> Factor:
    values = np.full(len(given), -1 if discrete else np.nan)
    values[known] = np.unique(given[known], return_inverse=True)[1] if discrete else given[known]
    return Factor(name, values.astype(np.int64) if discrete else values, discrete)


def quantile_bins(x: np.ndarray, bins: int) -> np.ndarray:
    """(N,) → (N,) int64 bins of equal numbers of images, as far as equal values allow.

    Of at most `bins` different values each has one of its own: a rare one would share another's.
    Bins of equal width would be at the mercy of one outlier: it stretches them until one holds
    all the others, and every score that counts in bins falls to 0.
    """
    values, own = np.unique(x, return_inverse=True)
    if len(values) <= bins:
        return own
    edges = np.unique(np.quantile(x, np.arange(1, bins) / bins))
    return np.unique(np.searchsorted(edges, x, side="right"), return_inverse=True)[1]
