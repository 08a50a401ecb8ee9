"""Everything that can be said of a model's images, or of any images, beside real ones.

Each group of scores is taken where what it needs is there; where not, the report says what is
missing, and no number is made up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preimage.core import InputError, Step, Unsupported
from preimage.core.errors import nearest_name
from preimage.evaluation.encoder_scores import disentanglement, likelihood, reconstruction
from preimage.evaluation.gallery import gallery
from preimage.evaluation.latent_scores import geometry
from preimage.evaluation.material import Material, Missing, Unmeasurable
from preimage.evaluation.meanings import MEANINGS
from preimage.evaluation.memory_scores import membership, memorisation
from preimage.evaluation.sample_scores import fidelity, quality
from preimage.evaluation.variety_scores import collapse
from preimage.metrics.score import Score
from preimage.pictures import Figure

Taken = Callable[[Material, Collection[str]], Iterator[Score | Missing]]

SCORES: dict[str, Taken] = {
    "quality": quality,
    "fidelity": fidelity,
    "collapse": collapse,
    "reconstruction": reconstruction,
    "likelihood": likelihood,
    "geometry": geometry,
    "disentanglement": disentanglement,
    "memorisation": memorisation,
    "membership": membership,
}
"""Group of scores → what takes those of these names, and where it costs no more, others."""


@dataclass(frozen=True)
class Report:
    """Scores with their intervals, nulls and words, what could not be taken, and pictures."""

    subject: str  # what was judged
    against: str  # the real images
    scores: tuple[Score, ...]
    skipped: Mapping[str, str]  # group, or score of a group, → why it could not be taken
    figures: Mapping[str, Figure] = field(default_factory=dict)  # by name, as in the gallery
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Score:
        """The score of that name. Raises KeyError where it was not taken."""
        for score in self.scores:
            if score.name == name:
                return score
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """All but the pictures, as JSON values."""
        return {
            "subject": self.subject,
            "against": self.against,
            "scores": {score.name: score.to_json() for score in self.scores},
            "skipped": dict(self.skipped),
            "notes": list(self.notes),
        }


def chosen(metrics: Sequence[str] | None) -> dict[str, set[str]]:
    """Group → the names of its scores that are wanted. Raises InputError for what is neither."""
    names = list(MEANINGS) if metrics is None else list(metrics)
    wanted: dict[str, set[str]] = {}
    for name in names:
        if name in SCORES:
            wanted[name] = {n for n, meaning in MEANINGS.items() if meaning.group == name}
        elif name in MEANINGS:
            wanted.setdefault(MEANINGS[name].group, set()).add(name)
        else:
            known = nearest_name(name, [*SCORES, *MEANINGS])
            raise InputError(f"no score or group '{name}' (--metrics); {known}")
    if not wanted:
        raise InputError("--metrics names nothing; give a group such as quality, or a score")
    return {group: wanted[group] for group in SCORES if group in wanted}


def evaluate(
    material: Material,
    *,
    metrics: Sequence[str] | None = None,  # groups or scores; all that can be taken where None
    subject: str = "samples",
    against: str = "real images",
    pictures: bool = True,
) -> Iterator[Step | Report]:
    """Take the scores, a group at a time; yields a Step before each, and the Report at the end.

    Raises InputError for an unknown name, where what was asked for by name cannot be taken, and
    where nothing can: what nobody asked for is left out with the reason.
    """
    wanted = chosen(metrics)
    scores: list[Score] = []
    skipped: dict[str, str] = {}
    total = len(wanted) + pictures
    for done, (group, names) in enumerate(wanted.items()):
        yield Step(done, total, stage=group)
        try:
            found = [score for score in SCORES[group](material, names) if score.name in names]
        except (Unmeasurable, InputError, Unsupported) as reason:
            if metrics is not None:
                asked = [group] if group in metrics else [n for n in metrics if n in names]
                what = ", ".join(dict.fromkeys(asked))
                raise InputError(f"{what} (--metrics) cannot be taken: {reason}") from None
            skipped[group] = str(reason)
            continue
        for one in found:
            if isinstance(one, Score):
                scores.append(one)
            elif metrics is not None and one.name in metrics:
                raise InputError(f"{one.name} (--metrics) cannot be taken: {one.why}")
            else:
                skipped[one.name] = one.why
    if not scores:
        raise InputError(f"nothing could be measured: {next(iter(skipped.values()))}")
    figures: dict[str, Figure] = {}
    if pictures:
        yield Step(len(wanted), total, stage="pictures")
        figures = gallery(material)
    yield Step(total, total, stage="done")
    yield Report(subject, against, tuple(scores), skipped, figures, material.notes)
