"""A score never stands alone: what it is of, what real data would score, and what that means.

The null of a score is the same metric between two sets of real images, of the sizes the score was
taken at: no generator can be asked for more. Score and null are compared by the interval of their
difference, made of both intervals without supposing them symmetric (Zou & Donner, "Construction
of confidence limits about effect measures", 2008, eq. 5, "MOVER").
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from preimage.metrics.measure import Measure, Z

Better = Literal["lower", "higher", "near"]

REAL = "real data"
INDISTINGUISHABLE = "indistinguishable from real data at this sample size"
WORSE = "worse than real data"
BETTER = "better than real data"  # said of other nulls, in their name
ABOVE = "above real data"  # where a metric should be near its null, and is beyond it
BELOW = "below real data"
UNJUDGED = "no real data to hold it against"

POWER = 0.841621  # standard errors beyond Z for finding a difference four times out of five


@dataclass(frozen=True)
class Stamp:
    """What a score was computed with: two scores may be compared where all of it is equal."""

    extractor: str  # the feature network's name
    hash: str  # of its weights, 16 hexadecimal digits
    resize: str  # what was done to images before it
    real: int  # rows of real features
    fake: int  # rows of generated features
    dtype: str = "float32"  # of the features
    comparable: bool = True  # with scores of other projects; else only under this very stamp

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Score:
    """A number, its interval, its null, and what they say together."""

    name: str
    measure: Measure
    estimand: str  # what the interval is of
    better: Better
    word: str  # one of the constants above
    null: Measure | None = None  # of real data in the place of samples
    ideal: float | None = None  # of a perfect generator and infinitely many samples
    needed: int | None = None  # samples that show a difference as large as this one, 4 times of 5
    detectable: float | None = None  # the least difference that these samples show, 4 times of 5
    stamp: Stamp | None = None
    against: str = REAL  # what the null is of
    note: str = ""  # what a reader should know before trusting it

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; what is not finite is None."""
        return {
            "name": self.name,
            **self.measure.to_json(),
            "estimand": self.estimand,
            "better": self.better,
            "word": self.word,
            "null": None if self.null is None else self.null.to_json(),
            "ideal": self.ideal,
            "needed": self.needed,
            "detectable": self.detectable,
            "against": self.against,
            "stamp": None if self.stamp is None else self.stamp.to_json(),
            "note": self.note,
        }


def judged(
    name: str,
    measure: Measure,
    *,
    estimand: str,
    null: Measure | None = None,
    better: Better = "lower",
    ideal: float | None = None,
    stamp: Stamp | None = None,
    against: str = REAL,
    note: str = "",
) -> Score:
    """The score with its word, and the sample size that a difference of its order needs.

    against: what the null is of, where that is not real images in the place of samples.
    """
    word, needed, detectable = UNJUDGED, None, None
    if null is not None:
        difference = measure.value - null.value
        low, high = difference_interval(measure, null)
        worse = better != "near" and (low > 0) == (better == "lower")
        if not (math.isfinite(difference) and (low > 0 or high < 0)):
            word = INDISTINGUISHABLE
        elif worse:
            word = WORSE
        elif better != "near" and against != REAL:
            word = BETTER
        else:  # no generator can be asked for more than real data: what is beyond it is unlike it
            word = ABOVE if low > 0 else BELOW
        facing = difference - low if difference > 0 else high - difference
        if math.isfinite(facing) and facing > 0:
            detectable = (Z + POWER) / Z * facing
            needed = _needed(measure.n, detectable, difference)
    return Score(
        name=name,
        measure=measure,
        estimand=estimand,
        better=better,
        word=word.replace(REAL, against),
        null=null,
        ideal=ideal,
        needed=needed,
        detectable=detectable,
        stamp=stamp,
        against=against,
        note=note,
    )


def difference_interval(a: Measure, b: Measure) -> tuple[float, float]:
    """The 95 % interval of a − b, from the two intervals; wider than true where they share data."""
    difference = a.value - b.value
    low = difference - math.hypot(a.value - a.low, b.high - b.value)
    high = difference + math.hypot(a.high - a.value, b.value - b.low)
    return low, high


def _needed(n: int, detectable: float, difference: float) -> int | None:
    """Samples at which `difference` is as large as what is detectable: errors fall as 1/√n."""
    if difference == 0:
        return None
    needed = n * (detectable / difference) ** 2
    return math.ceil(needed) if needed < 1e9 else None
