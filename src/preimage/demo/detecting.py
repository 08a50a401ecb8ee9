"""The demo's section on anomalies: faces that somebody has damaged, found by one who saw none."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from preimage.api.anomalies import Inspector, fit_detector
from preimage.applications.anomaly.photos import InMemory
from preimage.core.words import counted
from preimage.demo.material import SCALE, Material
from preimage.pictures import Figure, Section, pairs
from preimage.runs.detecting import warmed

GOOD = 480  # faces that are learned from
RATE = 0.05  # of good faces that may be called damaged
TOLD = 80  # faces of each kind, that are counted


def detection(material: Material) -> Section:
    model, data = material.models["faces"], material.data["faces"]
    good = data.batch(data.heldout[:GOOD])  # that the model has not learned either
    inspector = fit_detector(
        model, good, scores="reconstruction", false_alarms=RATE, seed=material.seed
    )
    fresh = data.batch(data.heldout[GOOD : GOOD + TOLD])
    damaged = torch.stack([DAMAGES[i % len(DAMAGES)](x) for i, x in enumerate(fresh)])
    alarms, found = (called(inspector, images) for images in (fresh, damaged))
    return Section(
        "What is wrong with this one",
        f"From {GOOD} faces a detector has learned what is usual. Of {len(fresh)} further ones it "
        f"calls {alarms} damaged, where {100 * RATE:g} in a hundred were allowed on average; and "
        f"{found} of {len(damaged)} that are, although it has never seen any damage. It shows "
        "where, for the model draws what it knows, and what differs stands out.",
        [shown(inspector, damaged[: 2 * len(DAMAGES)], fresh[-2:])],
        command=f"preimage anomaly fit {material.runs['faces'].path} GOOD_IMAGES",
    )


def called(inspector: Inspector, images: Tensor) -> int:
    """How many of some images are called anomalous."""
    photos = (InMemory("", x) for x in images)
    return sum(found.anomalous for found in inspector.inspected(photos))


def shown(inspector: Inspector, damaged: Tensor, good: Tensor) -> Figure:
    """Faces, what the model makes of them, and the heat of the difference."""
    images = torch.cat([damaged, good])
    rows: dict[str, list[Tensor]] = {"face": [], "as drawn": [], "heat": []}
    under = []
    for x in images:
        finding = inspector.inspect(x)
        why = inspector.explain(finding)
        assert why.reconstruction is not None
        hot = warmed(InMemory("", x), finding, inspector.pixel_threshold, scale=1)
        rows["face"].append(x)
        rows["as drawn"].append(why.reconstruction[0])
        rows["heat"].append(from_picture(hot))
        verdict = "damaged" if finding.anomalous else "good"
        under.append(f"{verdict}\np = {finding.p_value:.2g}")
    return Figure(
        f"{counted(len(damaged), 'damaged face')} and two that are not; p is the share of good "
        "faces that are as odd.",
        pairs(
            {name: torch.stack(part) for name, part in rows.items()},
            under=under,
            scale=SCALE["faces"],
            padding=4,
        ),
        pixelated=False,
    )


def scratched(x: Tensor) -> Tensor:
    """A scratch through the face."""
    picture = to_picture(x)
    points = [(14, 52), (24, 38), (38, 32), (52, 14)]
    ImageDraw.Draw(picture).line(points, fill=(235, 235, 240), width=2)
    return from_picture(picture)


def stained(x: Tensor) -> Tensor:
    """A drop of ink on a cheek."""
    picture, mask = to_picture(x), Image.new("L", (64, 64))
    ImageDraw.Draw(mask).ellipse((34, 36, 44, 45), fill=255)
    picture.paste((40, 30, 110), mask=mask.filter(ImageFilter.GaussianBlur(1)))
    return from_picture(picture)


def smeared(x: Tensor) -> Tensor:
    """An eye wiped out by its surroundings."""
    picture = to_picture(x)
    picture.paste(picture.crop((20, 40, 31, 48)), (20, 27))
    return from_picture(picture)


DAMAGES = (scratched, stained, smeared)


def to_picture(x: Tensor) -> Image.Image:
    """(3, H, W) in [−1, 1] → a picture."""
    return Image.fromarray(((x + 1) * 127.5).round().byte().permute(1, 2, 0).numpy())


def from_picture(picture: Image.Image) -> Tensor:
    """The way back."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1
