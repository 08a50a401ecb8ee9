"""How good samples are, in one table: each score with its interval, its null and a word.

The null is the same metric with other real images in the place of the samples, at equal numbers of
both, since most of these metrics change with the number. So real features come as two sets: those
that samples are held against, and others that a perfect generator could have drawn.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from torch import Tensor

from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.metrics.extractors import Features, stamp
from preimage.metrics.fidelity import expected_coverage, fidelities
from preimage.metrics.frechet import GroupedMoments, frechet_of_each
from preimage.metrics.inception_score import inception_score
from preimage.metrics.kernel import kernel_distances
from preimage.metrics.measure import Measure, drawn, group_of
from preimage.metrics.score import Better, Score, Stamp, judged
from preimage.metrics.stored import Stored

LEAST = 40  # rows of each set
NEIGHBOURS = 10_000  # rows that metrics of nearest neighbours look at, at most
AT_N = "its expectation for so many samples"
POPULATION = "its value for infinitely many samples"


@dataclass(frozen=True)
class Metric:
    """A metric as a person meets it."""

    title: str
    says: str  # in a sentence, to someone who has never heard of it
    better: Better
    estimand: str
    ideal: float | None = None
    note: str = ""


METRICS = {
    "frechet": Metric(
        "Fréchet distance (FID)",
        "how far the cloud of samples lies from the cloud of real images; 0 is the same cloud",
        "lower",
        AT_N,
        ideal=0,
        note="grows as samples get fewer: compare only at equal numbers",
    ),
    "frechet_infinity": Metric(
        "Fréchet distance, unbiased (FID∞)",
        "the same as it would be with endless samples; may fall below 0 by chance",
        "lower",
        POPULATION,
        ideal=0,
    ),
    "kernel": Metric(
        "Kernel distance (KID)",
        "another distance of the two clouds, fair at any number of samples; may fall below 0",
        "lower",
        POPULATION,
        ideal=0,
    ),
    "precision": Metric(
        "Precision",
        "the share of samples that could be real images: low means odd pictures, above real data "
        "too many usual ones",
        "higher",
        AT_N,
    ),
    "recall": Metric(
        "Recall",
        "the share of real images that the generator could have made: low means it lacks variety",
        "higher",
        AT_N,
    ),
    "density": Metric(
        "Density",
        "how crowded with real images the samples' places are; above 1 they keep to the usual ones",
        "near",
        AT_N,
        ideal=1,
    ),
    "coverage": Metric(
        "Coverage",
        "the share of real images with a sample close by: low means kinds of image are missing",
        "higher",
        AT_N,
    ),
    "inception": Metric(
        "Inception score",
        "how sure a classifier is of each sample, and how evenly its classes are used",
        "higher",
        AT_N,
        note="knows nothing of the real images",
    ),
}
"""Name → what it is; `inception` needs a classifier's logits."""


def halves(real: Features, *, seed: int = 0) -> tuple[Features, Features]:
    """Real features as two random sets of equal size: one to hold samples against, one to judge."""
    side = group_of(len(real) // 2 * 2, 2, seed=seed)
    first, second = (real.drawn((side == which).nonzero()[:, 0]) for which in (0, 1))
    return first, second


def quality(
    real: Features,  # that samples are held against
    fake: Features,
    other: Features,  # real ones, in the place of samples
    *,
    metrics: Collection[str] | None = None,  # names of METRICS; all that can be had where None
    logits: Tensor | None = None,  # (M, K) a classifier's, of the samples
    other_logits: Tensor | None = None,  # and of the other real images
    seed: int = 0,
) -> dict[str, Score]:
    """Scores by name, each with its null and stamp.

    All sets are cut, by seed, to the size of the smallest. Raises InputError where features do not
    match, hold NaN, or are fewer than 40 of a kind, and for an unknown name.
    """
    wanted = set(METRICS if metrics is None else metrics)
    for name in wanted - METRICS.keys():
        raise InputError(f"no metric '{name}'; {nearest_name(name, METRICS)}")
    stamp(real, other)
    made = stamp(real, fake)
    n = min(len(real), len(fake), len(other))
    if n < LEAST:
        raise InputError(f"scores need {LEAST} images or more of each kind, and one has {n}")
    x, y, z = (f.drawn(drawn(len(f), n, seed=seed)).rows for f in (real, fake, other))
    pairs: dict[str, tuple[Measure, Measure | None]] = {}
    if wanted & {"frechet", "frechet_infinity"}:
        many = n > x.shape[1]
        of_x, of_y, of_z = (GroupedMoments(rows) if many else rows[:] for rows in (x, y, z))
        found, null = frechet_of_each(of_x, [of_y, of_z])
        pairs["frechet"] = found.measured, null.measured
        pairs["frechet_infinity"] = found.infinite, null.infinite
    # pairs of rows are held against each other: of what is on the disk, some are read
    few = min(n, NEIGHBOURS) if any(isinstance(rows, Stored) for rows in (x, y, z)) else n
    x, y, z = (rows[drawn(n, few, seed=seed)] for rows in (x, y, z))
    if "kernel" in wanted:
        found, null = kernel_distances(x, [y, z])
        pairs["kernel"] = found, null
    if wanted & {"precision", "recall", "density", "coverage"}:
        some = drawn(few, min(few, NEIGHBOURS), seed=seed)
        x, y, z = x[some], y[some], z[some]
        shares, null = fidelities(x, [y, z])
        for name in ("precision", "recall", "density", "coverage"):
            pairs[name] = getattr(shares, name), getattr(null, name)
    if "inception" in wanted and logits is not None:
        null = None if other_logits is None else inception_score(other_logits)
        pairs["inception"] = inception_score(logits), null
    return {
        name: _judged(name, *pairs[name], made, n, real.rows.shape[1])
        for name in METRICS
        if name in wanted and name in pairs
    }


def _judged(
    name: str, measure: Measure, null: Measure | None, made: Stamp, n: int, d: int
) -> Score:
    metric = METRICS[name]
    notes = [metric.note]
    if name.startswith("frechet") and n <= d:
        notes.append(
            f"no more samples ({n}) than features ({d}): the covariances lack ranks, and this "
            "is mostly bias; the kernel distance and all shares remain valid"
        )
    if measure.n < n:
        notes.append(f"of {measure.n} images of each kind, drawn by seed")
    ideal = expected_coverage(measure.n, measure.n) if name == "coverage" else metric.ideal
    return judged(
        metric.title,
        measure,
        estimand=metric.estimand,
        null=null,
        better=metric.better,
        ideal=ideal,
        stamp=replace(made, real=measure.n, fake=measure.n),
        note="; ".join(note for note in notes if note),
    )
