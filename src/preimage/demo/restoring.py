"""The demo's section on restoration: digits of which half is gone, and how sure each pixel is."""

from __future__ import annotations

import torch

from preimage.api.restorations import restorer
from preimage.applications.inpainting import Inpainter, classically
from preimage.demo.material import SCALE, Material
from preimage.pictures import Figure, Section, pairs

EXAMPLES = 600  # training digits from which it is learned what the model leaves
SHOWN, FIRST = 10, 40  # held-out digits that are spoilt, and the first of them
OTHERS = 3  # fillings that are shown


def restoration(material: Material) -> Section:
    return Section(
        "What is missing, filled in",
        "The same search fills what was not seen: every code that draws the known half counts, as "
        "far as it fits. Their mean is the best guess of each pixel, their spread says how sure "
        "it is, and single ones of them are other digits that it may have been.",
        [halves(material)],
        command=f"preimage inpaint {material.runs['digits'].path} IMAGES --mask box:4,0,8,8 -n 4",
    )


def halves(material: Material) -> Figure:
    """Held-out digits without their right half."""
    data, model = material.data["digits"], material.models["digits"]
    x = material.heldout("digits", FIRST + SHOWN)[FIRST:]
    hole = torch.zeros(1, 1, *x.shape[2:], dtype=torch.bool)
    hole[..., x.shape[3] // 2 :] = True
    ready = restorer(
        model, examples=data.batch(data.train[:EXAMPLES]), starts=6, seed=material.seed
    )
    found = Inpainter(ready, blend="none").inpaint(x, hole, n=OTHERS)
    rows = {"as it was": x, "given": torch.where(hole, 0, x), "mean": found.images}
    for k in range(OTHERS):
        rows["likeliest" if k == 0 else f"another ({k + 1})"] = found.fillings[:, k]
    rows["not sure"] = 2 * found.uncertainty - 1
    rows["smooth"] = classically("biharmonic", torch.where(hole, 0, x), hole)
    return Figure(
        "Held-out digits without their right half; the mean of all that would do, the likeliest, "
        "others that differ, how unsure each pixel is (white), and a smooth continuation, which "
        "knows nothing of digits.",
        pairs(rows, scale=SCALE["digits"]),
    )
