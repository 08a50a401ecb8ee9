"""The demo's section on exploration: one thing changed at a time, directions, sums of faces."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from preimage.api.concepts import unlabelled_directions
from preimage.api.walks import arithmetic
from preimage.data import faces
from preimage.demo.material import SCALE, Material
from preimage.exploration.attributes import columns
from preimage.exploration.counterfactual import Counterfactual, fit_counterfactual
from preimage.exploration.direction import owner
from preimage.exploration.traversal import traverse
from preimage.pictures import Figure, Section, pairs

EXAMPLES, FEWEST = 3000, 300  # labelled faces, at full effort and at least
SHOWN = 8  # faces that are changed
CHANGES: dict[str, dict[str, float]] = {
    "with glasses": {"glasses": 9.0},  # classes change altogether, and no further
    "without": {"glasses": -9.0},
    "smiling": {"smile": 1.5},
    "with a beard": {"beard:beard": 9.0},
    "grey": {"hair_colour:grey": 9.0},
    "turned": {"pose": 1.3},
}
STRENGTHS = (-2.0, -4 / 3, -2 / 3, 0.0, 2 / 3, 4 / 3, 2.0)
UNNAMED = 4  # directions that nobody labelled
PEOPLE, PEOPLE_SEED = 3, 5  # whose pictures are added


def exploration(material: Material) -> Section:
    figures = [changed(material), walked(material), summed(material)]
    return Section(
        "One thing changed, and nothing else",
        f"From {examples(material):,} faces whose attributes are known, the model's codes can be "
        "taken apart into what the attributes explain and what they do not. Then one attribute is "
        "changed and the rest kept, also what tends to come with it: the old wear glasses more "
        "often here, but nobody ages by putting some on.",
        figures,
        command=f"preimage edit {material.runs['faces'].path} IMAGES --to glasses=yes",
    )


def changed(material: Material) -> Figure:
    """Held-out faces as the model draws them, with one attribute changed in each row."""
    model = material.models["faces"]
    shown = material.heldout("faces", SHOWN + 1)[1:]
    known = counterfactual(material)
    with torch.no_grad():
        z = model.encode(shown).mean
        rows = {"image": shown, "as drawn": model.decode(z)}
        rows |= {name: model.decode(known.move(z, change)) for name, change in CHANGES.items()}
    return Figure(
        "Held-out faces, the model's drawing of each, and that drawing with one thing changed.",
        pairs(rows, scale=SCALE["faces"], padding=4),
        pixelated=False,
    )


def examples(material: Material) -> int:
    """How many labelled faces are learned from."""
    return max(FEWEST, round(EXAMPLES * min(material.effort, 1.0)))


def counterfactual(material: Material) -> Counterfactual:
    """What the attributes of training faces explain of their codes."""
    model, data = material.models["faces"], material.data["faces"]
    rows = data.train[: examples(material)]
    with torch.no_grad():
        parts = [model.encode(data.batch(part)).mean for part in torch.from_numpy(rows).split(500)]
    z = torch.cat(parts)
    known = {name: values[rows] for name, values in data.attributes.items()}
    found = columns(known, data.categories)
    return fit_counterfactual(z, found, model=owner(model), seed=material.seed)


@torch.no_grad()
def walked(material: Material) -> Figure:
    """One held-out face along the directions in which the codes vary most."""
    model = material.models["faces"]
    z = model.encode(material.heldout("faces", 3)[2:]).mean
    named = unlabelled_directions(model, "pca", count=UNNAMED, seed=material.seed)
    under = ["as drawn" if s == 0 else f"{s:+.1f}" for s in STRENGTHS]
    return Figure(
        "Directions that nobody labelled: those in which codes vary most. Each changes "
        "several things at once, which is what labels are for.",
        pairs(
            traverse(model, named, z, strengths=STRENGTHS).rows(),
            under=under,
            scale=SCALE["faces"],
            padding=4,
        ),
        pixelated=False,
    )


def summed(material: Material) -> Figure:
    """Beard and glasses − glasses + neither = a beard, for a few people."""
    people = faces.sample(PEOPLE, seed=material.seed + PEOPLE_SEED)
    bare = {"mouth_open": 0.0, "hair_style": "swept"}
    pictures = {}
    terms = {
        "beard, glasses": faces.change(people, beard="beard", glasses="yes", **bare),
        "- glasses": faces.change(people, beard="none", glasses="yes", **bare),
        "+ neither": faces.change(people, beard="none", glasses="no", **bare),
    }
    drawn = {name: from_pixels(faces.render(factors)) for name, factors in terms.items()}
    for k in range(PEOPLE):
        places = dict(zip("abc", (images[k : k + 1] for images in drawn.values()), strict=True))
        made = arithmetic(material.models["faces"], "a - b + c", places=places)
        pictures[" " * k] = torch.cat([made.images, made.image[None]])
    return Figure(
        "Codes can be added. In each row one person: with beard and glasses, less with glasses, "
        "plus with neither, makes with a beard, which no picture has shown.",
        pairs(pictures, under=[*terms, "= a beard"], scale=2, padding=4),
        pixelated=False,
    )


def from_pixels(images: np.ndarray) -> Tensor:
    """(N, C, H, W) uint8 → float in [−1, 1]."""
    return torch.from_numpy(images).float().mul_(2 / 255).sub_(1)
