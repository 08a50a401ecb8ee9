"""The section on searching: images that are like an image."""

from __future__ import annotations

import numpy as np
import torch

from preimage.applications.likeness import Likeness, fit, slightly_changed
from preimage.applications.retrieval import nearest
from preimage.core import seeds
from preimage.demo.material import SCALE, Material
from preimage.pictures import Figure, Section, pairs

SEARCHED = 1500  # training images, at most
LEARNED = 300  # of them, whose changes say what counts for little
SHOWN, FOUND = 3, 7  # held-out images that ask, and what is shown of the answers


def searching(material: Material) -> Section:
    return Section(
        "More like this",
        "Images can be searched by what the model sees in them: each held-out image asks for the "
        f"nearest of {SEARCHED:,} others. What moving, turning and lighting an image a little does "
        "to the model's features counts for little; nobody has labelled anything.",
        [asked(material, name) for name in ("faces", "digits")],
        command=f"preimage index {material.runs['faces'].path} IMAGES --out INDEX && "
        "preimage search INDEX IMAGE",
    )


@torch.no_grad()
def asked(material: Material, name: str) -> Figure:
    """Held-out images, and the training images that are most like each."""
    model, data = material.models[name], material.data[name]
    rows = torch.from_numpy(data.train[:SEARCHED])
    g = seeds.generator(material.seed, "searching")
    x, queries = data.batch(rows), material.heldout(name, SHOWN)
    few = x[:LEARNED]
    changed = [model.features(slightly_changed(few, g)) for _ in range(2)]
    v: Likeness = fit("features", model.features(few), changed)
    found = nearest(v(model.features(queries).numpy()), v(model.features(x).numpy()), FOUND)[1]
    shown = {
        " " * i: torch.cat([queries[i : i + 1], x[np.asarray(near)]])
        for i, near in enumerate(found)
    }
    return Figure(
        f"{name}: what is asked for, and the nearest of {len(x):,}",
        pairs(
            shown, under=["asked for", *map(str, range(1, FOUND + 1))], scale=SCALE[name], padding=4
        ),
        pixelated=name == "digits",
    )
