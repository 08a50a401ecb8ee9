"""A detector judged on photographs of which it is known whether, and where, something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from preimage.applications.anomaly.calibration import conformal_p_values
from preimage.applications.anomaly.inspection import Inspector, Source
from preimage.applications.anomaly.photos import Photo
from preimage.core import InputError, Step
from preimage.metrics.detection import PixelCounts, image_scores
from preimage.metrics.measure import Measure
from preimage.metrics.ranks import ranks
from preimage.metrics.score import Score

Progress = Callable[[Step], None]
MaskOf = Callable[[int, tuple[int, int]], np.ndarray]
"""The mask (H, W) bool of bad photograph k, which is of that height and width."""


@dataclass(frozen=True)
class Looked:
    """What the detector said of one photograph."""

    label: str
    kind: str  # "good", or what is wrong with it
    index: int  # in its source
    score: float
    p_value: float
    anomalous: bool


@dataclass(frozen=True)
class Judgement:
    """How good a detector is, on these photographs."""

    scores: dict[str, Score]
    kinds: dict[str, Measure]  # what is wrong → image AUROC against the good ones
    looked: tuple[Looked, ...]
    notes: tuple[str, ...] = ()  # what a person should know, such as which files were left out

    def to_json(self) -> dict[str, Any]:
        return {
            "scores": {name: score.to_json() for name, score in self.scores.items()},
            "kinds": {name: measure.to_json() for name, measure in self.kinds.items()},
            "images": [vars(row) for row in self.looked],
            "notes": list(self.notes),
        }


def judged(
    inspector: Inspector,
    good: Source,
    bad: Source,
    *,
    kinds: Sequence[str],  # what is wrong with each bad photograph
    mask_of: MaskOf | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Judgement:
    """Scores of images; and of pixels and regions, where masks are known.

    Photographs that cannot be opened are left out, and noted.

    Raises InputError where there are fewer than two photographs of a kind, and whatever `mask_of`
    finds wrong.
    """
    pixels = None if mask_of is None else PixelCounts(inspector.levels, seed=seed)
    looked: list[Looked] = []
    left_out: list[str] = []
    rows: list[int] = []  # of photographs that are open

    def photos(source: Source) -> Iterator[Photo]:
        for k in range(len(source)):
            try:
                photo = source.open(k)
            except InputError as error:
                left_out.append(f"left out: {error}")
                continue
            rows.append(k)
            yield photo

    total = len(good) + len(bad)
    for source, wrong in ((good, False), (bad, True)):
        for look in inspector.looks(photos(source)):
            k, values = rows.pop(0), look.map()
            if pixels is not None and mask_of is not None:
                mask = mask_of(k, look.photo.size) if wrong else np.zeros(values.shape, bool)
                pixels.add(values, mask)
            p = float(conformal_p_values(torch.tensor([look.score]), inspector.good))
            kind = kinds[k] if wrong else "good"
            anomalous = look.score > inspector.threshold
            looked.append(Looked(look.photo.label, kind, k, look.score, p, anomalous))
            if progress is not None:
                progress(Step(len(looked), total, stage="judge"))
    fine = np.array([row.score for row in looked if row.kind == "good"])
    odd = {kind: np.array([r.score for r in looked if r.kind == kind]) for kind in sorted({*kinds})}
    scores = image_scores(
        fine,
        np.concatenate(list(odd.values())) if odd else np.zeros(0),
        threshold=inspector.threshold,
        false_alarms=inspector.false_alarms,
        seed=seed,
    )
    if pixels is not None:
        scores |= pixels.scores(inspector.pixel_threshold)
    by_kind = {
        kind: ranks(torch.from_numpy(rows), torch.from_numpy(fine)).probability
        for kind, rows in odd.items()
        if len(rows) > 1
    }
    return Judgement(scores, by_kind, tuple(looked), tuple(left_out))
