"""Scores of what a model remembers: copies of training images, and whether membership shows."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from preimage.core.words import counted
from preimage.evaluation.material import Material, Unmeasurable
from preimage.evaluation.membership import membership as attacked
from preimage.metrics.measure import Measure
from preimage.metrics.memorisation import (
    authenticity,
    copying,
    near_copies,
    nearest_ratio,
    of_new_images,
)
from preimage.metrics.score import Score, judged

RATE = 0.01  # of new images, that are called near-copies


def memorisation(material: Material, names: Collection[str]) -> Iterator[Score]:
    """Novelty, C_T, authenticity and near-copies, each beside what held-out images score."""
    made, train, heldout = (
        features.held
        for features in (material.made_features, material.train_features, material.fresh_features)
    )
    stamp = material.stamp
    fixed = ", the training images being fixed"
    found = material.around_samples, material.around_fresh
    if "novelty" in names:
        half = len(heldout) // 2
        first, second = (found[1].some(rows) for rows in (slice(half), slice(half, None)))
        yield judged(
            "novelty",
            nearest_ratio(made, train, heldout, found=found),
            estimand="the ratio of medians" + fixed,
            null=nearest_ratio(heldout[:half], train, heldout[half:], found=(first, second)),
            better="near",
            ideal=1.0,
            stamp=stamp,
        )
    if "c-t" in names:
        copied = copying(made, train, heldout, found=found, seed=material.seed)
        yield judged(
            "c-t",
            copied.c_t,
            estimand=f"C_T of {len(made):,} fresh samples and {len(heldout):,} held-out images"
            + fixed,
            null=Measure(0.0, 0.0, 0.0, copied.null.n),
            better="near",
            ideal=0.0,
            stamp=stamp,
        )
    if "authenticity" in names:
        shares = authenticity(made, train, heldout, found=found)
        yield judged(
            "authenticity",
            shares.samples,
            estimand="the share of fresh samples" + fixed,
            null=shares.heldout,
            better="near",
            stamp=stamp,
        )
    if "copies" in names:
        copies = near_copies(made, train, heldout, rate=RATE, found=found)
        equal = int(copies.exact.sum())
        yield judged(
            "copies",
            copies.share,
            estimand="the share of fresh samples",
            null=of_new_images(copies.rate, len(heldout)),
            better="lower",
            stamp=stamp,
            note=f"features of {counted(equal, 'sample')} equal those of a training image"
            if equal
            else "",
        )


def membership(material: Material, names: Collection[str]) -> Iterator[Score]:
    """How well an attacker tells training images from held-out ones of the same source."""
    if material.candidates is None:
        raise Unmeasurable("it takes training images and others of the same source")
    model = material.generator
    attack = "reconstruction" if model.can("encode") else "samples"
    found = attacked(
        model, material.candidates, reference=material.reference, attack=attack, seed=material.seed
    )
    how = "calibrated by a reference" if found.calibrated else "without a reference (--reference)"
    note = "; ".join([f"by {attack}, {how}", *found.notes])
    n = min(len(found.members), len(found.others))
    for name, measure, chance in (
        ("membership-auc", found.auc, 0.5),
        ("membership-tpr", found.detected, 0.01),
    ):
        yield judged(
            name,
            measure,
            estimand="of further images, for these models as they are",
            null=Measure(chance, chance, chance, n),
            better="near",
            ideal=chance,
            against="guessing",
            note=note,
        )
