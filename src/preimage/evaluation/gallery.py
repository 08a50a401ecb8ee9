"""What scores cannot say: which samples, which images, which classes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from preimage.core.neighbours import nearest
from preimage.evaluation.material import Material, Unmeasurable
from preimage.evaluation.sides import Computed
from preimage.pictures import Figure, bars, pairs, sheet

SHOWN = 8  # images in a row
NEIGHBOUR = 5  # whose distance says how thickly real images lie around a sample


def gallery(material: Material) -> dict[str, Figure]:
    """The pictures that can be made of what is known, by name."""
    if isinstance(material.real, Computed):
        return {}  # there are no images
    found = {}
    for name, picture in PICTURES.items():
        with contextlib.suppress(Unmeasurable):
            found[name] = picture(material)
    return found


def nearest_neighbours(material: Material) -> Figure:
    """The samples that are nearest to a training image, above it."""
    found = material.around_samples
    order = found.nearest.argsort()[:SHOWN]
    rows = {
        "sample": material.samples.pick(order),
        "nearest training image": material.seen.pick(found.index[order, 0]),
    }
    caption = (
        f"Of {material.samples.n:,} samples, the {len(order)} that come nearest to a training "
        "image, and that image. Copies would be equal to the last detail."
    )
    return Figure(caption, pairs(rows))


def reconstructions(material: Material) -> Figure:
    """The images that come back worst, and best."""
    order = material.errors.order()
    best, worst = order[:SHOWN], order[-SHOWN:].flip(0)
    rows: dict[str, Tensor] = {}
    for name, indices in (("worst", worst), ("best", best)):
        images = material.real.pick(indices)
        rows[name] = images
        rows[f"{name}, reconstructed"] = material.reconstructed(images, material.told(indices))
    caption = "Real images that lose most by encoding and decoding, and those that lose least."
    return Figure(caption, pairs(rows))


def by_density(material: Material) -> Figure:
    """Samples where real images lie thickest, and where they lie thinnest."""
    k = min(NEIGHBOUR, len(material.real_features))
    reach = nearest(material.made_features.held, material.real_features.held, k=k)[0][:, -1]
    order = reach.argsort()
    rows = {
        "most usual": material.samples.pick(order[:SHOWN]),
        "in between": material.samples.pick(order[torch.linspace(0, len(order) - 1, SHOWN).long()]),
        "farthest off": material.samples.pick(order[-SHOWN:].flip(0)),
    }
    caption = (
        "Samples by how thickly real images lie around them: those most like real ones, an even "
        "choice, and those that no real image is near to."
    )
    return Figure(caption, pairs(rows))


def classes(material: Material) -> Figure:
    """How often each class comes among samples, beside real images."""
    of_samples, of_images = (p.argmax(1) for p in material.probabilities)
    K = material.probabilities[0].shape[1]
    names = [material.class_name(k) for k in range(K)]
    shares = {
        "samples": torch.bincount(of_samples, minlength=K) / len(of_samples),
        "real images": torch.bincount(of_images, minlength=K) / len(of_images),
    }
    missing = [name for name, share in zip(names, shares["samples"], strict=True) if share == 0]
    note = f"{material.classifier_note}. " if material.classifier_note else ""
    caption = f"The class of each image, by a classifier. {note}" + (
        f"Missing among the samples: {', '.join(missing)}." if missing else "None is missing."
    )
    plot = bars({name: row.tolist() for name, row in shares.items()}, names, ylabel="share")
    return Figure(caption, plot)


def random_samples(material: Material) -> Figure:
    """Samples as they come."""
    n = min(3 * 2 * SHOWN, material.samples.n)
    picture = sheet(material.samples.pick(torch.arange(n)), columns=2 * SHOWN)
    return Figure(f"The first {n} samples, not chosen.", picture)


PICTURES: dict[str, Callable[[Material], Figure]] = {
    "samples": random_samples,
    "density": by_density,
    "nearest": nearest_neighbours,
    "reconstructions": reconstructions,
    "classes": classes,
}
"""Name of a picture → what makes it, in the order of the page."""
