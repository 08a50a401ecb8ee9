"""Is an image in the generator's range, and did the solver do its work? Two questions, kept apart.

*Range.* The error of an image is held against those of real images of the same data that the
generator was not trained on, inverted in the same way: a conformal p-value (Vovk, Gammerman &
Shafer, "Algorithmic Learning in a Random World", 2005, §2.2). If the image is one more of that
data, its p-value is uniform, whatever the generator or the solver are worth.

*Search.* An image of the generator itself has an exact answer, so after rounding to 8 bits its
error shows how far the solver comes: at most a high quantile of such errors, a search is solved. A
real image has an error of its own that no search removes, so a larger error says nothing of the
solver; there the only evidence is what other starts find, and without any there is no answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError
from preimage.inversion.noise import normal
from preimage.inversion.posterior import ROUNDING

UNUSUAL = 0.05  # p-values up to this are called unusual
OUTSIDE = 99  # held-out errors it takes to call an image outside: p ≤ 1 in 100
FLOOR = 0.99  # the share of the generator's own images that count as solved
AGREEMENT = 0.01  # ends of searches that differ by less, relatively, are one


@dataclass(frozen=True)
class Verdict:
    """On one image."""

    error: float  # squared error per value seen, in [−1, 1]
    p_value: float  # the share of real images that are as far from the range, or farther
    words: str  # the same for a person
    solved: bool | None  # whether the solver did its work; None: nothing tells
    search: str  # why, for a person

    def __str__(self) -> str:
        return f"{self.words}; {self.search}"


@dataclass(frozen=True)
class Calibration:
    """What errors are usual for one generator, one solver with its settings, and one operator."""

    heldout: Tensor  # (N,), ascending: of held-out real images, over their contrast if `relative`
    recovery: Tensor  # (M,), ascending: of the generator's own images, rounded to 8 bits
    relative: bool = True
    noise: float = ROUNDING  # σ of what was added to the generator's own images

    @property
    def floor(self) -> float:
        """The error up to which a search is solved.

        The conformal quantile of 99 % of the generator's own images, or the largest where M < 99;
        but at most 3σ². With rounding that is (1/255)², which no error at the true latent exceeds:
        a solver that misses some of them does not get a higher floor for it.
        """
        M = len(self.recovery)
        quantile = self.recovery[min(math.ceil((M + 1) * FLOOR), M) - 1].item()
        return min(quantile, 3 * self.noise**2)

    @property
    def recovered(self) -> float:
        """The share of the generator's own images that the solver recovers, to within 3σ²."""
        return (self.recovery <= 3 * self.noise**2).double().mean().item()

    def p_value(
        self, error: Tensor, *, contrast: Tensor | None = None, seeds: Tensor | None = None
    ) -> Tensor:
        """(1 + #{held-out errors ≥ error}) / (N + 1): (B,) → (B,) float64.

        For an image like the held-out ones it is uniform on 1/(N + 1), 2/(N + 1), …, 1, exactly:
        where errors are equal, the image's place among them is drawn.

        contrast: of the same images, where the calibration is relative to it (see `contrast_of`).
        seeds: the images' own, (B,) int64; without them every tie counts, which is conservative.

        Raises ValueError where there is no contrast for a relative calibration.
        """
        score = scored(error, contrast, relative=self.relative).to(self.heldout.device)
        N = len(self.heldout)
        above = N - torch.searchsorted(self.heldout, score, right=True)
        equal = N - torch.searchsorted(self.heldout, score) - above
        places = equal
        if seeds is not None:
            u = torch.special.ndtr(normal(seeds.to(score.device), 1)[:, 0].double())
            places = (u * (equal + 1)).long().clamp_max(equal)
        return ((1 + above + places).double() / (N + 1)).to(error.device)

    def verdict(
        self,
        error: Tensor,  # (B,): squared errors per value seen, of the answers given
        *,
        contrast: Tensor | None = None,
        restarts: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> tuple[Verdict, ...]:
        """A verdict an image.

        restarts: squared errors where searches from other starts ended, (B, k); those that found
            nothing are infinite. They must have been run to their end, or they prove nothing.
        """
        p = self.p_value(error, contrast=contrast, seeds=seeds).tolist()
        others = restarts.tolist() if restarts is not None else [[]] * len(p)
        return tuple(
            Verdict(e, p_value, self.words(p_value), *self._search(e, ends))
            for e, p_value, ends in zip(error.tolist(), p, others, strict=True)
        )

    def words(self, p_value: float) -> str:
        """A p-value of this calibration for a person."""
        N = len(self.heldout)
        if p_value * (N + 1) < 1.5:
            larger = f"larger than all {N} held-out errors"
            return f"outside: {larger}" if N >= OUTSIDE else f"{larger}, too few to say outside"
        if p_value > UNUSUAL:
            return "typical of this data"
        return f"unusual: 1 in {round(1 / p_value)}"

    def _search(self, error: float, restarts: list[float]) -> tuple[bool | None, str]:
        """Whether the search was solved, and why."""
        if not math.isfinite(error):
            return False, "not solved: the generator gave no finite image"
        if error <= self.floor:
            return True, "solved: as near as the generator's own images come after rounding"
        if not restarts:
            return None, "not confirmed: one search, and no other to compare with"
        lowest, n = min(restarts), len(restarts)
        if lowest < (1 - AGREEMENT) * error:
            return False, f"not solved: another start ends {1 - lowest / error:.0%} lower"
        agreeing = sum(end <= (1 + AGREEMENT) * error for end in restarts)
        if agreeing:
            return True, f"solved: {agreeing} of {n} other starts end at the same error"
        return None, f"not confirmed: the other {n} end higher, so a lower one may be missed"

    def to_tensors(self) -> dict[str, Tensor]:
        """Everything, to be saved."""
        return {
            "heldout": self.heldout,
            "recovery": self.recovery,
            "relative": torch.tensor(self.relative),
            "noise": torch.tensor(self.noise, dtype=torch.float64),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Calibration:
        """What `to_tensors` gave. Raises KeyError or ValueError where it is not that."""
        heldout, recovery = tensors["heldout"], tensors["recovery"]
        for errors in (heldout, recovery):
            if errors.dim() != 1 or not len(errors) or not (errors >= 0).all():  # NaN is not
                raise ValueError("these are no errors of images")
            if (errors[1:] < errors[:-1]).any():
                raise ValueError("these errors do not ascend")
        if tensors["relative"].numel() != 1 or tensors["noise"].numel() != 1:
            raise ValueError("these are no settings of a calibration")
        noise = float(tensors["noise"])
        if not 0 < noise < math.inf:
            raise ValueError("this is no noise")
        relative = bool(tensors["relative"])
        return cls(heldout, recovery, relative=relative, noise=noise)


def calibrate(
    heldout: Tensor,
    recovery: Tensor,
    *,
    contrast: Tensor | None = None,
    noise: float = ROUNDING,
) -> Calibration:
    """A calibration from squared errors per value seen, each after the same inversion.

    heldout: (N,), of real images that the generator was not trained on.
    recovery: (M,), of the generator's samples, rounded to 8 bits.
    contrast: of the held-out images, (N,), by `contrast_of`. With it errors are judged relative to
        the contrast, which tells digits from clothes better than the errors alone, and does not
        let a blank image pass for an easy one.
    noise: σ of what was added to the generator's samples, where it was not the rounding alone.

    Raises InputError where either is empty. Errors that are not finite count as infinite.
    """
    if not len(heldout) or not len(recovery):
        raise InputError(
            "a verdict needs held-out images to compare with; give some, or none of it"
        )
    score = scored(heldout, contrast, relative=contrast is not None)
    floor = recovery.double().nan_to_num(torch.inf, posinf=torch.inf)
    return Calibration(score.sort().values, floor.sort().values, contrast is not None, noise)


def contrast_of(y: Tensor, weights: Tensor | None = None) -> Tensor:
    """The variance of the values of each observation (B, …), as far as they were seen: (B,).

    At least that of rounding to 8 bits. An error over it is the share that is not explained.
    """
    y = y.flatten(1).double()
    w = torch.ones_like(y) if weights is None else weights.flatten(1).double()
    w = w / w.sum(1, keepdim=True).clamp_min(1e-12)
    mean = (w * y).sum(1, keepdim=True)
    return (w * (y - mean).square()).sum(1).clamp_min(ROUNDING**2)


def scored(error: Tensor, contrast: Tensor | None, *, relative: bool) -> Tensor:
    """What is compared: errors (B,), over their contrast (B,) if relative, in float64."""
    score = error.double().nan_to_num(torch.inf, posinf=torch.inf)
    if not relative:
        return score
    if contrast is None:
        raise ValueError("this calibration is relative to the contrast of images; give contrast=")
    return score / contrast.to(score)
