"""Scores of a model with an encoder: what it loses of an image, and what its codes stand for."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from preimage.evaluation.likelihood import Evidence, evidence
from preimage.evaluation.material import Material, Missing, Unmeasurable
from preimage.evaluation.sides import Side
from preimage.metrics.disentanglement import dci, mig, sap
from preimage.metrics.factors import labelled
from preimage.metrics.interventions import beta_vae, conditioned, factor_vae
from preimage.metrics.measure import Measure
from preimage.metrics.score import Better, Score, judged

ERRORS: tuple[tuple[str, str, Better, float | None], ...] = (
    ("mse", "mse", "lower", 0.0),
    ("psnr", "psnr", "higher", None),
    ("ssim", "ssim", "higher", 1.0),
    ("feature-distance", "features", "lower", 0.0),
    ("lpips", "perceptual", "lower", 0.0),
)
"""Name of a score, the field of `Errors`, which way is better, and the best there is."""
BOUNDS: tuple[tuple[str, str, Better], ...] = (
    ("elbo", "elbo", "higher"),
    ("importance-bound", "importance", "higher"),
    ("bits-per-dimension", "elbo_bits", "lower"),
)
"""Name of a score, the field of `Evidence`, and which way is better."""
DCI = ("dci-disentanglement", "dci-completeness", "dci-informativeness")
SAMPLES = 16  # importance weights an image
WEIGHED = 500  # images on either side, at most: each is decoded SAMPLES times
MOST_CODES = 512  # dimensions above which a latent is not looked at one by one


def reconstruction(material: Material, names: Collection[str]) -> Iterator[Score | Missing]:
    """What is lost between a held-out image and its reconstruction, beside training images."""
    errors, seen = material.errors, material.training_errors
    exact = f"{errors.exact} images came back exactly and are left out" if errors.exact else ""
    for name, field, better, ideal in ERRORS:
        measure = getattr(errors, field)
        if measure is not None:
            yield judged(
                name,
                measure,
                estimand="the mean over all such images",
                null=None if seen is None else getattr(seen, field),
                better=better,
                ideal=ideal,
                against="training images",
                note=_notes(measure, material, exact if name == "psnr" else ""),
            )
        elif name == "lpips":
            yield Missing(name, "its networks are a download; ask for it by name (--metrics lpips)")


def _notes(measure: Measure, material: Material, note: str) -> str:
    """A note, and how many images were looked at where that is not all of them."""
    n, of = measure.n, material.real.n
    some = f"of {n:,} images, drawn by seed" if n < of else ""
    return "; ".join(part for part in (note, some) if part)


def disentanglement(material: Material, names: Collection[str]) -> Iterator[Score]:
    """How the encoded means tell known factors; their nulls are means in another order."""
    if not material.factors:
        raise Unmeasurable("the images come with no known factors (attributes)")
    codes, factors = material.latents, material.factors
    if codes.shape[1] > MOST_CODES:
        raise Unmeasurable(f"a latent of {codes.shape[1]} numbers has too many to look at")
    generator = torch.Generator().manual_seed(material.seed)
    shuffled = codes[torch.randperm(len(codes), generator=generator)]
    found, none = _scores(codes, material, names), _scores(shuffled, material, names)
    for name, measure in found.items():
        yield judged(
            name,
            measure,
            estimand="of all such images",
            null=none[name],
            better="higher",
            ideal=1.0,
            against="codes that know nothing",
            note="; ".join(labelled(codes, factors, least=1).notes),
        )


def _scores(codes: Tensor, material: Material, names: Collection[str]) -> dict[str, Measure]:
    factors, seed = material.factors, material.seed
    found: dict[str, Measure] = {}
    if "mig" in names:
        found["mig"] = mig(codes, factors).score
    if any(name in names for name in DCI):
        parts = dci(codes, factors, seed=seed)
        found |= {name: getattr(parts, name.removeprefix("dci-")) for name in DCI}
    if "sap" in names:
        found["sap"] = sap(codes, factors).score
    draw, known = conditioned(codes, factors)
    if "factor-vae" in names:
        found["factor-vae"] = factor_vae(draw, known, codes, seed=seed).accuracy
    if "beta-vae" in names:
        found["beta-vae"] = beta_vae(draw, known, codes, seed=seed).accuracy
    return found


def likelihood(material: Material, names: Collection[str]) -> Iterator[Score]:
    """Both bounds of log p(x), under the likelihood that is stated, beside training images."""
    found = _evidence(material, material.real)
    seen = None
    if material.train is not None:
        seen = _evidence(material, material.train)
    for name, field, better in BOUNDS:
        measure = getattr(found, field)
        if measure is not None:
            yield judged(
                name,
                measure,
                estimand=f"the mean over all such images; {found.observed}",
                null=None if seen is None else getattr(seen, field),
                better=better,
                against="training images",
                note=_notes(
                    measure,
                    material,
                    f"{SAMPLES} weights an image" if field == "importance" else "",
                ),
            )


def _evidence(material: Material, side: Side) -> Evidence:
    return evidence(
        material.autoencoder,
        material.labelled_batches(side, min(material.real.n, WEIGHED)),
        material.observed,
        samples=SAMPLES,
        prior=material.prior,
        seed=material.seed,
    )
