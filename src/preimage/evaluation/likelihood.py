"""The likelihood of held-out images under a variational autoencoder: bounds, in nats and bits.

What a likelihood is of has to be said, or the numbers of two models cannot be compared. Here it is
of the images as they are stored, whole numbers:

- Gaussian N(x; x̂, σ² I): the probability of a pixel's level is the integral of the density over
  the level's width. Uniform noise of that width (dequantisation: Theis, van den Oord & Bethge, "A
  note on the evaluation of generative models", 2016, §3.1) makes the density a lower bound of it;
  every importance sample has noise of its own, so the bound tightens here too.
- Bernoulli: pixels are black or white. Grey ones are made so at random, each white with the
  probability that it is white (as the cross-entropy of training means it).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Unsupported, seeds
from preimage.metrics.likelihood import bits_per_dimension, evidence_bound, importance_bound
from preimage.metrics.measure import Measure, of_mean
from preimage.models.autoencoder import POINT
from preimage.training import losses

KINDS = ("gaussian", "bernoulli")
LEVELS = 256  # of a pixel


@dataclass(frozen=True)
class Observed:
    """p(x|z): how an image comes of what the decoder draws."""

    kind: str  # "gaussian" or "bernoulli"
    sigma: float = 1.0  # of the Gaussian, of values in [−1, 1]
    levels: int | None = LEVELS  # of a pixel; None: values are reals, and the density is meant

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"no likelihood '{self.kind}'; choose from: {', '.join(KINDS)}")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise InputError(f"sigma={self.sigma:g} is no standard deviation; give one above 0")

    def noisy(self, x: Tensor, copies: int, *, seed: int, first: int) -> Tensor:
        """The images (B, …) as the likelihood takes them, `copies` of each: (B, copies, …)."""
        shape = (copies, *x.shape[1:])
        many = x[:, None].expand(-1, *shape)
        if self.kind == "gaussian" and self.levels is None:
            return many
        u = torch.stack(
            [torch.rand(shape, generator=seeds.generator(seed, first + i)) for i in range(len(x))]
        ).to(x)
        if self.kind == "bernoulli":
            return torch.where(u < (many + 1) / 2, 1.0, -1.0).to(x.dtype)
        return many + (u - 0.5) * self.width

    @property
    def width(self) -> float:
        """Of a level, where values lie in [−1, 1]."""
        return 1.0 if self.levels is None else 2 / (self.levels - 1)

    def log_prob(self, x̂: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) of images that `noisy` made, in nats: (B,)."""
        if self.kind == "bernoulli":
            return -losses.bernoulli_nll(x̂, x)
        D = x[0].numel()
        constant = D * (math.log(self.width / self.sigma) - 0.5 * math.log(2 * math.pi))
        return constant - losses.gaussian_nll(x̂, x, sigma=self.sigma)

    def __str__(self) -> str:
        if self.kind == "bernoulli":
            return "Bernoulli, of pixels made black or white at random"
        of = "reals" if self.levels is None else f"{self.levels} levels, uniformly dequantised"
        return f"Gaussian of σ = {self.sigma:.3g}, of {of}"


@dataclass(frozen=True)
class Evidence:
    """Bounds of log p(x), means over images; estimands are those over all images such as these."""

    elbo: Measure  # nats an image
    importance: Measure  # nats an image, with `samples` weights
    elbo_bits: Measure | None  # bits a dimension, lower is better; None for a density
    importance_bits: Measure | None
    each: Tensor  # (N, 2): both bounds of each image, in nats
    samples: int
    observed: Observed
    prior: str


@torch.no_grad()
def fitted_sigma(
    model: LatentModel,
    batches: Iterable[tuple[Tensor, Tensor | None]],  # training images and their labels
    *,
    seed: int = 0,
) -> float:
    """The σ under which training images are likeliest: their root mean squared error.

    The error is that of latents drawn from q(z|x), as in Rybkin et al., "Simple and effective VAE
    training with calibrated decoders", 2021, eq. 8, but over all of them, and then held: taken
    from the images that are judged it would be of no model.
    """
    total = count = first = 0
    for x, labels in batches:
        x, labels = _there(model, x, labels)
        q = model.encode(x, labels)
        noise = seeds.normal(len(x), tuple(q.mean.shape[1:]), seed=seed, first=first).to(q.mean)
        x̂ = model.decode(q.sample(noise), labels).float()
        total += losses.squared_error(x̂, x).double().sum().item()
        count, first = count + x.numel(), first + len(x)
    if not count:
        raise InputError("there are no training images to take σ from")
    return max(math.sqrt(total / count), math.exp(-6))


@torch.no_grad()
def evidence(
    model: LatentModel,
    batches: Iterable[tuple[Tensor, Tensor | None]],  # images (B, …) and their labels
    observed: Observed,
    *,
    samples: int = 64,
    prior: str | None = None,  # unset, the one the model samples from
    seed: int = 0,
    batch_size: int = 256,  # images that are decoded at a time
) -> Evidence:
    """Both bounds of images that come in batches; numbers do not depend on how.

    Raises Unsupported for a model without an encoder, or one that gives a point and no
    distribution; InputError for no images, and values not finite.
    """
    name = model.space.prior if prior is None else prior
    model.space.chosen(name)
    if samples < 1:
        raise InputError(f"samples={samples} weigh nothing; give at least 1")
    rows, first, size = [], 0, 1
    for images, labels in batches:
        size = images[0].numel() if len(images) else size
        for part in torch.arange(len(images)).split(max(1, batch_size // samples)):
            x, y = _there(model, images[part], None if labels is None else labels[part])
            log_w = log_weights(
                model, x, y, observed, samples=samples, prior=name, seed=seed, first=first
            )
            rows.append(torch.stack([evidence_bound(log_w), importance_bound(log_w)], 1).cpu())
            first += len(x)
    if not rows:
        raise InputError("there are no images whose likelihood could be bounded")
    each = torch.cat(rows)
    elbo, importance = of_mean(each[:, 0]), of_mean(each[:, 1])
    discrete = observed.kind == "bernoulli" or observed.levels is not None
    bits = [bits_per_dimension(m, size) if discrete else None for m in (elbo, importance)]
    return Evidence(elbo, importance, bits[0], bits[1], each, samples, observed, name)


def log_weights(
    model: LatentModel,
    x: Tensor,  # (B, …) on the model's device
    labels: Tensor | None,
    observed: Observed,
    *,
    samples: int,
    prior: str,
    seed: int,
    first: int,  # the place of the first image among all: one seed an image
) -> Tensor:
    """log p(x|zₖ) + log p(zₖ) − log q(zₖ|x), zₖ ~ q(z|x): (B, samples), float64."""
    q = model.encode(x, labels)
    if (q.log_variance <= POINT).all():
        raise Unsupported(
            "this encoder gives a point and no distribution: only a variational autoencoder has "
            "a likelihood to bound"
        )
    shape = tuple(q.mean.shape[1:])
    noise = seeds.normal(len(x), (samples, *shape), seed=seed, first=first).to(q.mean)
    μ, σ = q.mean[:, None], q.std[:, None]
    z = (μ + σ * noise).double()  # (B, K, *latent shape)
    log_q = -0.5 * (noise.double().square() + math.log(2 * math.pi)) - σ.double().log()
    log_p = model.space.log_prob(z.flatten(0, 1).to(q.mean), prior=prior)
    many = None if labels is None else labels.repeat_interleave(samples)
    x̂ = model.decode(z.flatten(0, 1).to(q.mean), many)
    seen = observed.noisy(x, samples, seed=seeds.derive(seed, "observed"), first=first)
    log_x = observed.log_prob(x̂.double(), seen.flatten(0, 1).double())
    if not log_x.isfinite().all():
        raise InputError("images, or what is decoded for them, hold values that are not finite")
    return (log_x + log_p.double()).view(len(x), samples) - log_q.flatten(2).sum(2)


def _there(model: LatentModel, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return x.to(model.device), None if labels is None else labels.to(model.device)
