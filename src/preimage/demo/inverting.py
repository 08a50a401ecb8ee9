"""The demo's section on inversion: the codes behind images that no model has seen."""

from __future__ import annotations

import textwrap

import torch
import torch.nn.functional as F
from PIL import Image as Picture
from sklearn.datasets import load_sample_image
from torch import Tensor

from preimage.api import basics
from preimage.core import LatentModel
from preimage.data import images
from preimage.demo.material import SCALE, Material
from preimage.inversion import Inversion, Inverter, Settings
from preimage.inversion.operators import Mask
from preimage.pictures import Figure, Section, pairs

CALIBRATION, FEWEST = 100, 20  # held-out images that a verdict compares with, at full effort and
# at least; fewer than 100 never say "outside"
SHOWN = 6  # images of the data
STEPS = 12  # iterations: what further ones change cannot be seen


def inversion(material: Material) -> Section:
    figures = [inverted_faces(material), half_hidden(material), inverted_digits(material)]
    return Section(
        "The code behind an image",
        "Inversion asks the other way round: which code draws this image? A search from the "
        "encoder's guess, or from no guess at all, moves the code until the picture fits. Below "
        "each image stands what is left of it and the verdict: how many held-out images are "
        "farther from the model's range.",
        figures,
        command=f"preimage invert {material.runs['faces'].path} IMAGES",
    )


def inverted_faces(material: Material) -> Figure:
    """Held-out faces, a digit and a photograph, by the VAE."""
    model, data = material.models["faces"], material.data["faces"]
    digit = as_colour(material.heldout("digits", 1), data.spec.height)
    strangers = torch.cat([digit, photograph(model)])
    targets = torch.cat([material.heldout("faces", CALIBRATION + SHOWN)[-SHOWN:], strangers])
    heldout = material.heldout("faces", calibration(material))
    found = searched(model, targets, heldout, start="encoder")
    guess = basics.reconstruct(model, targets).reconstruction
    rows = {"image": targets, "encoder": guess, "found": found.images}
    rows["left over"] = found.images - targets
    caption = (
        "Six held-out faces, then two images that are no faces: for those the search strays to "
        "codes that draw no face either, still misses, and the verdict says so."
    )
    return Figure(caption, sheet(rows, found, SCALE["faces"]), pixelated=False)


def half_hidden(material: Material) -> Figure:
    """Held-out faces of which the right half is not seen."""
    faces = material.heldout("faces", CALIBRATION + SHOWN)[-SHOWN:]
    seen = torch.ones(faces.shape[2:])
    seen[:, faces.shape[3] // 2 :] = 0
    half = torch.where(seen.bool(), faces, 0.0)
    settings = Settings(through=Mask(seen), prior="density", start="mean", steps=2 * STEPS)
    found = Inverter(material.models["faces"]).invert(half, settings=settings)
    rows = {"image": faces, "half is seen": half, "found": found.images}
    caption = (
        "The same faces with one half hidden: the search fits the half it sees, and the model "
        "knows what belongs to it."
    )
    return Figure(caption, pairs(rows, scale=SCALE["faces"], padding=4), pixelated=False)


def inverted_digits(material: Material) -> Figure:
    """Held-out digits, by the GAN, which has no encoder and has never seen an image."""
    model = material.models["digits-gan"]
    held = material.heldout("digits", CALIBRATION + SHOWN)
    face = F.interpolate(material.heldout("faces", 1).mean(1, keepdim=True), held.shape[2:])
    targets = torch.cat([held[-SHOWN:], face])
    found = searched(model, targets, held[: calibration(material)], start="auto")
    rows = {"image": targets, "found": found.images, "left over": found.images - targets}
    caption = (
        "Digits nobody showed the GAN, and a face: it has no encoder, so the search begins with "
        "a regression on pairs of its own making."
    )
    return Figure(caption, sheet(rows, found, SCALE["digits"]), pixelated=True)


def calibration(material: Material) -> int:
    return max(FEWEST, round(CALIBRATION * min(material.effort, 1.0)))


def searched(model: LatentModel, targets: Tensor, heldout: Tensor, *, start: str) -> Inversion:
    """Targets inverted, with verdicts."""
    inverter, settings = Inverter(model), Settings(steps=STEPS, start=start)
    for _ in inverter.calibrating(heldout, settings=settings):
        pass
    return inverter.invert(targets, settings=settings)


def sheet(rows: dict[str, Tensor], found: Inversion, scale: int) -> Picture.Image:
    """Rows of images with their errors and verdicts below."""
    assert found.verdicts is not None  # `searched` has calibrated them
    off = found.error.sqrt() / 2
    under = [
        "\n".join([f"off by {share:.1%}", *textwrap.wrap(verdict.words.split(":")[0], 14)])
        for share, verdict in zip(off.tolist(), found.verdicts, strict=True)
    ]
    return pairs(rows, under=under, scale=scale, padding=4)


def as_colour(image: Tensor, side: int) -> Tensor:
    """A grey image (1, 1, H, W), enlarged, in colour."""
    return F.interpolate(image, (side, side), mode="nearest").expand(-1, 3, -1, -1)


def photograph(model: LatentModel) -> Tensor:
    """A photograph of a flower, which comes with scikit-learn: (1, 3, H, W)."""
    return images(Picture.fromarray(load_sample_image("flower.jpg")), model.data)
