"""Scores of a model with an encoder: what it loses of an image, and what its codes stand for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import torch

from preimage.core import InputError
from preimage.evaluation.likelihood import Evidence, evidence
from preimage.evaluation.material import Material, Missing, Unmeasurable
from preimage.evaluation.sides import Side
from preimage.metrics.disentanglement import Gap, dci, mig, sap
from preimage.metrics.factors import Codes, Factors, labelled
from preimage.metrics.interventions import Voting, beta_vae, conditioned, factor_vae
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


Taken = tuple[Sequence[Measure], Sequence[str]]  # and what is to be known of them


def disentanglement(material: Material, names: Collection[str]) -> Iterator[Score | Missing]:
    """How the encoded means tell known factors; their nulls are means in another order."""
    if not material.factors:
        raise Unmeasurable("the images come with no known factors (attributes)")
    codes, factors, seed = material.latents, material.factors, material.seed
    if codes.shape[1] > MOST_CODES:
        raise Unmeasurable(f"a latent of {codes.shape[1]} numbers has too many to look at")
    shuffled = codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))]
    for together, take in FACTOR_SCORES.items():
        if not any(name in names for name in together):
            continue
        try:
            found, notes = take(codes, factors, seed)
            none, _ = take(shuffled, factors, seed)
        except InputError as reason:
            yield from (Missing(name, str(reason)) for name in together)
            continue
        for name, measure, null in zip(together, found, none, strict=True):
            yield judged(
                name,
                measure,
                estimand="of all such images",
                null=null,
                better="higher",
                ideal=1.0,
                against="codes that know nothing",
                note="; ".join(notes),
            )


def _gap(score: Callable[[Codes, Factors], Gap]) -> Callable[[Codes, Factors, int], Taken]:
    def taken(codes: Codes, factors: Factors, seed: int) -> Taken:
        found = score(codes, factors)
        return [found.score], found.notes

    return taken


def _dci(codes: Codes, factors: Factors, seed: int) -> Taken:
    found = dci(codes, factors, seed=seed)
    return [found.disentanglement, found.completeness, found.informativeness], found.notes


def _votes(score: Callable[..., Voting]) -> Callable[[Codes, Factors, int], Taken]:
    def taken(codes: Codes, factors: Factors, seed: int) -> Taken:
        found = score(*conditioned(codes, factors), codes, seed=seed)
        return [found.accuracy], (*found.notes, *labelled(codes, factors).notes)

    return taken


FACTOR_SCORES: dict[tuple[str, ...], Callable[[Codes, Factors, int], Taken]] = {
    ("mig",): _gap(mig),
    ("dci-disentanglement", "dci-completeness", "dci-informativeness"): _dci,
    ("sap",): _gap(sap),
    ("factor-vae",): _votes(factor_vae),
    ("beta-vae",): _votes(beta_vae),
}
"""Names of scores → what takes them together, of codes, factors and a seed."""


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
