"""What each score is called, and what it says to somebody who has never met it."""

from __future__ import annotations

from dataclasses import dataclass

from preimage.metrics.quality import METRICS


@dataclass(frozen=True)
class Meaning:
    """A score's name for people, the group it belongs to, and how to read it."""

    title: str
    group: str
    sentence: str


QUALITY = {
    "fid": "frechet",
    "fid-infinity": "frechet_infinity",
    "kid": "kernel",
    "inception-score": "inception",
}
FIDELITY = {name: name for name in ("precision", "recall", "density", "coverage")}
"""Name of a score of samples → the metric of `metrics.quality` that it is."""

MEANINGS: dict[str, Meaning] = {
    **{n: Meaning(METRICS[m].title, "quality", METRICS[m].says) for n, m in QUALITY.items()},
    **{n: Meaning(METRICS[m].title, "fidelity", METRICS[m].says) for n, m in FIDELITY.items()},
    "mse": Meaning(
        "Squared error", "reconstruction", "mean over pixels, of images in [−1, 1]; 0 is no loss"
    ),
    "psnr": Meaning("PSNR", "reconstruction", "the same in decibels; above 30 is hard to see"),
    "ssim": Meaning("SSIM", "reconstruction", "likeness of structure; 1 is the same image"),
    "feature-distance": Meaning(
        "Feature distance",
        "reconstruction",
        "how far the features move, not the pixels; 0 is no loss",
    ),
    "lpips": Meaning(
        "LPIPS", "reconstruction", "distance as people judge it, as published; 0 is no difference"
    ),
    "path-length": Meaning(
        "Path length",
        "geometry",
        "how much an image changes for a step of the latent, squared; uneven spaces have long ones",
    ),
    "path-length-slerp": Meaning(
        "Path length, on the sphere", "geometry", "the same along great circles between latents"
    ),
    "condition-number": Meaning(
        "Condition number",
        "geometry",
        "the strongest response of the image to a latent step over the weakest; 1 is even",
    ),
    "mig": Meaning(
        "MIG",
        "disentanglement",
        "whether one latent dimension, and no second, tells each known factor; 1 is ideal",
    ),
    "dci-disentanglement": Meaning(
        "DCI disentanglement", "disentanglement", "whether each dimension serves one factor"
    ),
    "dci-completeness": Meaning(
        "DCI completeness", "disentanglement", "whether each factor sits in one dimension"
    ),
    "dci-informativeness": Meaning(
        "DCI informativeness", "disentanglement", "how well all dimensions together tell factors"
    ),
    "sap": Meaning(
        "SAP", "disentanglement", "how far the best dimension leads the second in telling a factor"
    ),
    "factor-vae": Meaning(
        "FactorVAE score",
        "disentanglement",
        "whether the stillest dimension tells the fixed factor",
    ),
    "beta-vae": Meaning(
        "β-VAE score", "disentanglement", "whether a linear classifier tells the fixed factor"
    ),
    "elbo": Meaning("ELBO", "likelihood", "lower bound of log p(image), in nats; higher is better"),
    "bits-per-dimension": Meaning(
        "Bits per dimension", "likelihood", "the same as the length of a code for each value"
    ),
    "importance-bound": Meaning(
        "Importance-weighted bound", "likelihood", "a tighter bound than the ELBO, in nats"
    ),
    "novelty": Meaning(
        "Novelty",
        "memorisation",
        "distance of samples to the nearest training image over that of held-out images; "
        "1 is as new, near 0 copied",
    ),
    "c-t": Meaning(
        "C_T",
        "memorisation",
        "below 0 samples lie nearer to training images than new real images do, above 0 farther",
    ),
    "authenticity": Meaning(
        "Authenticity",
        "memorisation",
        "share of samples that are no near-copies; beside it, the share of held-out images",
    ),
    "copies": Meaning(
        "Near-copies", "memorisation", "share of samples nearer to a training image than real ones"
    ),
    "membership-auc": Meaning(
        "Membership, AUC",
        "membership",
        "how well an attacker tells training images from others; 0.5 is not at all",
    ),
    "membership-tpr": Meaning(
        "Membership at 1 % false alarms",
        "membership",
        "share of training images betrayed while 1 % of others are accused",
    ),
    "modes": Meaning("Modes", "collapse", "classes that samples reach at all, of those there are"),
    "support": Meaning(
        "Support",
        "collapse",
        "how many different images the samples seem drawn from, by how often two are alike",
    ),
}
"""Name of a score → what it is."""

GROUPS: tuple[str, ...] = tuple(dict.fromkeys(meaning.group for meaning in MEANINGS.values()))
