"""Scores of collapse: how many kinds of image, and how many images, a model draws at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from preimage.core.words import counted
from preimage.evaluation.material import Material, Missing, Unmeasurable
from preimage.metrics.collapse import birthday, collision_radius, mode_count
from preimage.metrics.measure import drawn
from preimage.metrics.score import Score, judged

PAIRED = 5_000  # samples of which every pair is looked at, at most


def collapse(material: Material, names: Collection[str]) -> Iterator[Score | Missing]:
    """Modes by a classifier's word, where there are classes, and the birthday test."""
    if "modes" in names:
        yield _modes(material)
    if "support" in names:
        yield _support(material)


def _modes(material: Material) -> Score | Missing:
    try:
        of_samples, of_images = material.probabilities
    except Unmeasurable as reason:
        return Missing("modes", str(reason))
    real = of_images.argmax(1)
    classes = of_images.shape[1]
    modes = mode_count(of_samples.argmax(1), classes, real=real)
    missing = ", ".join(material.class_name(k) for k in modes.missing[:8])
    return judged(
        "modes",
        modes.found,
        estimand=f"the number that {len(of_samples):,} fresh samples would show",
        null=mode_count(real, classes).found,
        better="near",
        ideal=float(classes),
        note=f"missing: {missing}. {material.classifier_note}"
        if missing
        else material.classifier_note,
    )


def _support(material: Material) -> Score:
    n = min(PAIRED, *map(len, material.compared))
    real, made, other = (f.rows[drawn(len(f), n, seed=material.seed)] for f in material.compared)
    radius = collision_radius(real)
    found = birthday(made, radius=radius)
    return judged(
        "support",
        found.support,
        estimand="the number of pictures, were all equally likely",
        null=birthday(other, radius=radius).support,
        better="higher",
        stamp=material.stamp,
        note=f"{counted(found.pairs, 'pair')} of samples nearer than 99 % of real images are",
    )
