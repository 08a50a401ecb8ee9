"""Scores of samples as sets of features: how real, how various."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from preimage.evaluation.material import Material, Unmeasurable
from preimage.metrics.fidelity import expected_coverage, fidelity
from preimage.metrics.frechet import frechet_both
from preimage.metrics.inception_score import inception_score
from preimage.metrics.kernel import kernel_distance
from preimage.metrics.score import Score, judged

FEW = "fewer images than features: the covariances are of low rank and the distance is biased; "


def quality(material: Material) -> Iterator[Score]:
    """FID, FID∞, KID, and the Inception score where there is a classifier."""
    real, made, null = material.compared
    n, d = min(len(real), len(made)), real.shape[1]
    stamp = material.stamp
    note = FEW + "KID and fidelity are valid" if n <= d else ""
    found, of_real = frechet_both(real, made), frechet_both(real, null)
    yield judged(
        "fid",
        found.measured,
        estimand=f"the expected distance of {n:,} samples",
        null=of_real.measured,
        ideal=0.0,
        stamp=stamp,
        note=note,
    )
    yield judged(
        "fid-infinity",
        found.infinite,
        estimand="the distance of the two populations",
        null=of_real.infinite,
        ideal=0.0,
        stamp=stamp,
        note=note,
    )
    yield judged(
        "kid",
        kernel_distance(real, made),
        estimand="the squared discrepancy of the two populations",
        null=kernel_distance(real, null),
        ideal=0.0,
        stamp=stamp,
    )
    try:
        of_samples, of_images = material.probabilities
    except Unmeasurable:
        return
    yield judged(
        "inception-score",
        inception_score(_log(of_samples)),
        estimand=f"the expected score of {len(of_samples):,} samples",
        null=inception_score(_log(of_images)),
        better="near",
        ideal=float(of_samples.shape[1]),
        note=material.classifier_note,
    )


def fidelity_scores(material: Material) -> Iterator[Score]:
    """Precision and density, recall and coverage."""
    real, made, null = material.compared
    found, of_real = fidelity(real, made), fidelity(real, null)
    stamp = material.stamp
    expected = expected_coverage(len(real), len(made))
    for name, what, ideal in (
        ("precision", "share of samples within a real image's reach", 1.0),
        ("recall", "share of real images within a sample's reach", 1.0),
        ("density", "expected density", 1.0),
        ("coverage", "share of real images that a sample reaches", expected),
    ):
        yield judged(
            name,
            getattr(found, name),
            estimand=f"{what}, at {len(real):,} and {len(made):,} images",
            null=getattr(of_real, name),
            better="near" if name == "density" else "higher",
            ideal=ideal,
            stamp=stamp,
        )


def _log(probabilities: Tensor) -> Tensor:
    """Logits of probabilities, of which some are zero."""
    return probabilities.clamp_min(1e-30).log()
