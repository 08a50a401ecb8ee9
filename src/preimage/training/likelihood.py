"""Training by likelihood: the VAE's evidence lower bound, and the plain autoencoder's error.

Kingma & Welling 2014, equation 10: maximise E_q[log p(x|z)] − β KL(q(z|x) ‖ N(0, I)), the first
term summed over pixels and the second over latents, or the two do not balance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, seeds
from preimage.models import Autoencoder
from preimage.models.linear_start import (
    PrincipalComponents,
    optimal_linear_vae,
    principal_components,
)
from preimage.training import losses
from preimage.training.stage import Batch, Context, Player, Stage, Update, chunks

LIKELIHOODS = ("learned-sigma", "gaussian", "bernoulli")
START_IMAGES = 10_000  # enough for the closed-form start: see models/linear_start.py
VALIDATION_IMAGES = 2_000
MIXTURE_IMAGES = 60_000


@dataclass(frozen=True, kw_only=True)
class Likelihood(Stage):
    """Options of training by likelihood."""

    likelihood: str = "learned-sigma"  # or "gaussian" (of the given σ), "bernoulli"
    sigma: float = 0.5**0.5  # of "gaussian"; √½ makes the loss squared error + KL
    beta: float = 1.0  # weight of the KL term (Higgins et al. 2017)
    sparsity: float = 0.0  # weight of Hoyer's sparsity of z, in a plain autoencoder
    start_rate: float = 0.15  # on the learning rate of what the closed-form start has set

    def method(self, model: LatentModel, context: Context) -> LikelihoodMethod:
        if not isinstance(model, Autoencoder):
            raise InputError("training by likelihood needs an autoencoder")
        if self.likelihood not in LIKELIHOODS:
            known = ", ".join(LIKELIHOODS)
            raise InputError(f"no likelihood '{self.likelihood}'; choose from: {known}")
        return LikelihoodMethod(self, model, context)


class LikelihoodMethod:
    """One player, the autoencoder, and one loss, the negative ELBO in nats."""

    metric = "heldout_loss"

    def __init__(self, config: Likelihood, model: Autoencoder, context: Context):
        self.config, self.model, self.context = config, model, context

    def players(self) -> dict[str, Player]:
        slow = self.model.start_parameters()
        others = {id(p) for p in slow}
        if self.model.critic_net is not None:
            others |= {id(p) for p in self.model.critic_net.parameters()}
        quick = [p for p in self.model.parameters() if id(p) not in others]
        groups = [(quick, 1.0), *([(slow, self.config.start_rate)] if slow else [])]
        return {"autoencoder": Player(groups, self.config.clip)}

    def begin(self) -> tuple[str, ...]:
        """Start the linear part at the optimal linear VAE of the training images."""
        if self.model.linear is None:
            return ()
        components = reduced_components(self.model, self.context, mirror=self.config.flip)
        candidates = self._noise_variances(components)
        best = min(candidates, key=lambda σ2: self._loss_from(components, σ2))
        self._loss_from(components, best)
        return ("started from the optimal linear VAE of the images, in closed form",)

    def _noise_variances(self, components: PrincipalComponents) -> list[float]:
        """σ² to start from: the likelihood's own, or where it has none, some to choose from."""
        assert self.model.linear is not None
        if not self.model.config.variational:
            return [1e-5]  # next to none: the latents of a plain autoencoder are whitened
        if self.config.likelihood == "gaussian" and self.config.beta == 1:
            return [self.config.sigma**2 / self.model.linear.factor**2]  # averaging averages noise
        likeliest = optimal_linear_vae(components, self.model.config.latent).noise_variance
        return [likeliest * 2**power for power in range(-1, 8)]

    @torch.no_grad()
    def _loss_from(self, components: PrincipalComponents, noise_variance: float) -> float:
        """Set the linear VAE of this noise variance; its loss on a few training images."""
        assert self.model.linear is not None
        d = self.model.config.latent
        optimum = optimal_linear_vae(components, d, noise_variance=noise_variance)
        self.model.linear.start(optimum)
        with torch.random.fork_rng():
            torch.manual_seed(self.context.seed)
            batch = batch_of(self.context, self.context.data.train[:500])
            return self.loss(self.model, batch)[0].item()

    def nll(self, x̂: Tensor, x: Tensor) -> Tensor:
        """−log p(x|z), a mean over the batch: ()."""
        if self.config.likelihood == "learned-sigma" and self.model.config.variational:
            return losses.optimal_sigma_nll(x̂, x)
        if self.config.likelihood == "bernoulli":
            return losses.bernoulli_nll(x̂, x).mean()
        return losses.gaussian_nll(x̂, x, sigma=self.config.sigma).mean()

    def loss(self, model: Autoencoder, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch and its parts, each ()."""
        with self.context.autocast():
            q = model.encode(batch.x, batch.labels)
            z = q.sample() if model.config.variational else q.mean
            x̂ = model.decode(z, batch.labels)
        nll = self.nll(x̂, batch.x)
        if model.config.variational:
            kl = q.kl().mean()
            return nll + self.config.beta * kl, {"nll": nll.detach(), "kl": kl.detach()}
        if not self.config.sparsity:
            return nll, {"nll": nll.detach()}
        sparsity = losses.hoyer_sparsity(q.mean).mean()
        total = nll + self.config.sparsity * sparsity
        return total, {"nll": nll.detach(), "sparsity": sparsity.detach()}

    def updates(self, batch: Batch, *, step: int) -> Iterator[Update]:
        loss, parts = self.loss(self.model, batch)
        yield Update("autoencoder", loss, {"loss": loss.detach(), **parts})

    @torch.no_grad()
    def validate(self, model: LatentModel) -> tuple[dict[str, float], tuple[str, ...]]:
        assert isinstance(model, Autoencoder)
        total, parts, count = 0.0, dict[str, float](), 0
        for batch in heldout_batches(self.context):
            loss, pieces = self.loss(model, batch)
            total += loss.item() * len(batch.x)
            for name, value in pieces.items():
                parts[name] = parts.get(name, 0.0) + value.item() * len(batch.x)
            count += len(batch.x)
        figures = {f"heldout_{name}": value / count for name, value in parts.items()}
        return {"heldout_loss": total / count, **figures}, ()

    def finish(self, model: LatentModel) -> None:
        assert isinstance(model, Autoencoder)
        fit_mixture(model, self.context)


def reduced_components(
    model: Autoencoder, context: Context, *, mirror: bool
) -> PrincipalComponents:
    """The principal components of up to 10,000 training images, as the linear part sees them."""
    linear = model.linear
    assert linear is not None
    order = np.random.default_rng(context.seed).permutation(context.data.train)[:START_IMAGES]

    def batches() -> Iterator[Tensor]:
        for indices in chunks(np.sort(order), 500):
            x = context.data.batch(indices)  # type: ignore[arg-type]
            yield linear.reduce(x).reshape(len(x), *linear.small)

    return principal_components(batches, model.config.latent, mirror=mirror, seed=context.seed)


def heldout_batches(context: Context, size: int = 500) -> Iterator[Batch]:
    """Up to 2,000 held-out images, always the same; training images where none are held out."""
    data = context.data
    indices = data.heldout if len(data.heldout) else data.train
    for part in chunks(indices[:VALIDATION_IMAGES], size):
        yield batch_of(context, part)


def batch_of(context: Context, indices: object) -> Batch:
    """The batch of these indices, on the device."""
    x = context.data.batch(indices)  # type: ignore[arg-type]
    labels = context.data.batch_labels(indices)  # type: ignore[arg-type]
    x = x.to(context.device)
    return Batch(x, None if labels is None else labels.to(context.device))


@torch.no_grad()
def posterior_means(model: LatentModel, context: Context, indices: np.ndarray) -> Tensor:
    """E(x) of these images: (N, d) on the CPU."""
    model.eval()
    means = []
    for part in chunks(indices, 1000):
        batch = batch_of(context, part)
        with context.autocast():
            means.append(model.encode(batch.x, batch.labels).mean.float().cpu())
    return torch.cat(means)


def fit_mixture(model: Autoencoder, context: Context) -> None:
    """Fit the model's mixture prior, if it has one, to posterior means of training images."""
    if model.mixture is None:
        return
    indices = context.data.train[:MIXTURE_IMAGES]
    z = posterior_means(model, context, indices)
    mixture = model.mixture.to("cpu")
    mixture.fit(z, generator=seeds.generator(context.seed, "mixture"))
    model.mixture.to(context.device)
