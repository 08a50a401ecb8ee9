"""Scores of the latent space itself: whether a small step makes a small change, whichever way."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from preimage.evaluation.material import Material, Missing
from preimage.exploration.interpolation import slerp
from preimage.metrics.features import extract
from preimage.metrics.geometry import path_condition, path_length
from preimage.metrics.score import Score, judged

PATHS = 200  # between pairs of samples, whose length is measured
CONDITIONED = 6  # of them, along which the Jacobian is taken
FRAMES = 3  # of each of those


def geometry(material: Material, names: Collection[str]) -> Iterator[Score | Missing]:
    """Perceptual path length on the line and on the sphere, and the Jacobian along paths."""
    model = material.generator
    material.samples  # noqa: B018 - there must be a prior to draw ends from
    z = model.space.sample(2 * PATHS, seed=material.seed, prior=material.prior).to(model.device)
    starts, ends = z[:PATHS], z[PATHS:]
    label = 0 if model.conditional else None  # a path stays within one class

    def pixels(z: Tensor) -> Tensor:
        return model.decode(z, model.labels_for(len(z), label))

    def features(z: Tensor) -> Tensor:
        return extract(material.extractor.net, [pixels(z)])

    for name, path in (("path-length", torch.lerp), ("path-length-slerp", slerp)):
        if name not in names:
            continue
        yield judged(
            name,
            path_length(features, starts, ends, seed=material.seed, epsilon=1e-2, path=path),
            estimand="the mean over all pairs of latents, at steps of a hundredth of the way",
        )
    if "condition-number" not in names:
        return
    if model.space.size > 1:
        few = path_condition(pixels, starts[:CONDITIONED], ends[:CONDITIONED], frames=FRAMES)
        yield judged(
            "condition-number",
            few.typical,
            estimand="the median over paths of the median along each",
            ideal=1.0,
        )
    else:
        yield Missing("condition-number", "the latent is a single number")
