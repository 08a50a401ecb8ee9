"""Scores of samples as sets of features: how real, how various."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from torch import Tensor

from preimage.evaluation.material import Material, Missing, Unmeasurable
from preimage.evaluation.meanings import FIDELITY, QUALITY
from preimage.metrics.quality import LEAST
from preimage.metrics.quality import quality as scores_of
from preimage.metrics.score import Score


def quality(material: Material, names: Collection[str]) -> Iterator[Score | Missing]:
    """FID, FID∞, KID, and the Inception score where there is a classifier."""
    logits: tuple[Tensor | None, Tensor | None] = (None, None)
    missing = None
    if "inception-score" in names:
        try:
            of_samples, of_images = material.probabilities
            logits = _log(of_samples), _log(of_images)
        except Unmeasurable as reason:
            missing = Missing("inception-score", str(reason))
    for score in _scores(material, names, QUALITY, logits):
        if score.name == "inception-score":  # of a classifier, not of the features
            notes = filter(None, (score.note, material.classifier_note))
            score = replace(score, note=". ".join(notes), stamp=None)
        yield score
    if missing is not None:
        yield missing


def fidelity(material: Material, names: Collection[str]) -> Iterator[Score]:
    """Precision and density, recall and coverage."""
    yield from _scores(material, names, FIDELITY, (None, None))


def _scores(
    material: Material,
    names: Collection[str],
    known: dict[str, str],
    logits: tuple[Tensor | None, Tensor | None],
) -> Iterator[Score]:
    """Scores by the metrics they are taken by, under the names that people know."""
    if material.halved and (n := material.real.n) < 2 * LEAST:
        raise Unmeasurable(
            f"{n} real images are too few, as half of them stand in for samples; give {2 * LEAST}"
        )
    wanted = {name: metric for name, metric in known.items() if name in names}
    found = scores_of(
        *material.compared,
        metrics=list(wanted.values()),
        logits=logits[0],
        other_logits=logits[1],
        seed=material.seed,
    )
    for name, metric in wanted.items():
        if metric in found:
            yield replace(found[metric], name=name)


def _log(probabilities: Tensor) -> Tensor:
    """Logits of probabilities, of which some are zero."""
    return probabilities.clamp_min(1e-30).log()
