"""Training by likelihood: the VAE's evidence lower bound, and the plain autoencoder's error.

Kingma & Welling 2014, equation 10: maximise E_q[log p(x|z)] − β KL(q(z|x) ‖ N(0, I)), the first
term summed over pixels and the second over latents, or the two do not balance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, seeds
from preimage.models import Autoencoder
from preimage.models.axes import PrincipalAxes
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
COEFFICIENT_BYTES = 1 << 29  # of principal coefficients kept, and no more
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
        self._kept: Tensor | None = None  # coefficients (N, K), where training is on them

    def batch(self, indices: np.ndarray, mirrored: Tensor | None = None) -> Batch:
        """Images or, where they do as well, their coefficients along the model's axes.

        They do where the likelihood is a Gaussian of given σ: see `models/axes.py`.
        """
        axes = self.model.axes
        if axes is None or self.config.likelihood != "gaussian":
            return image_batch(self.context, indices, mirrored)
        y = self._coefficients(axes, indices).to(self.context.device)
        if mirrored is not None:
            y = torch.where(mirrored[:, None], y * axes.parity, y)
        labels = self.context.data.batch_labels(indices)
        labels = None if labels is None else labels.to(self.context.device)
        return Batch(y, labels, coefficients=True)

    def _coefficients(self, axes: PrincipalAxes, indices: np.ndarray) -> Tensor:
        """(B, K) on the CPU: worked out once and kept, unless that would take too much memory."""
        data = self.context.data
        if 4 * len(data) * axes.count > COEFFICIENT_BYTES:
            return coefficients(axes, self.context, indices)
        if self._kept is None:
            train = np.sort(data.train)
            self._kept = torch.empty(len(data), axes.count)
            self._kept[torch.from_numpy(train)] = coefficients(axes, self.context, train)
        return self._kept[torch.from_numpy(indices)]

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
        components = self._components()
        candidates = self._noise_variances(components)
        best = min(candidates, key=lambda σ2: self._loss_from(components, σ2))
        self._loss_from(components, best)
        if self.model.gates is not None:
            self.model.start_contrast(self._some_images().x)
        return ("started from the optimal linear VAE of the images, in closed form",)

    def _components(self) -> PrincipalComponents:
        """The principal components of what the linear part sees."""
        assert self.model.linear is not None
        context, mirror = self.context, self.config.flip
        if self.model.axes is None:
            d = self.model.config.latent
            return image_components(context, d, mirror=mirror, reduce=self.model.linear.reduce)
        components = image_components(context, self.model.axes.count, mirror=mirror)
        self.model.axes.start(components)
        return components.first(self.model.axes.count).in_own_axes()

    def _some_images(self) -> Batch:
        return batch_of(self.context, self.context.data.train[:2000])

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
        """−log p(x|z) of each image, (B,); of a σ that all share, their mean: ()."""
        if self.config.likelihood == "learned-sigma" and self.model.config.variational:
            return losses.optimal_sigma_nll(x̂, x)
        if self.config.likelihood == "bernoulli":
            return losses.bernoulli_nll(x̂, x)
        return losses.gaussian_nll(x̂, x, sigma=self.config.sigma)

    def terms(self, model: Autoencoder, batch: Batch) -> dict[str, Tensor]:
        """The parts of each image's loss, (B,) each."""
        with self.context.autocast():
            encode = model.posterior if batch.coefficients else model.encode
            decode = model.raw if batch.coefficients else model.decode
            q = encode(batch.x, batch.labels)
            z = q.sample() if model.config.variational else q.mean
            x̂ = decode(z, batch.labels)
        nll = self.nll(x̂, batch.x)
        if batch.coefficients:
            assert model.axes is not None
            nll = nll + model.axes.outside / (2 * self.config.sigma**2)
        if model.config.variational:
            return {"nll": nll, "kl": q.kl()}
        if self.config.sparsity:
            return {"nll": nll, "sparsity": losses.hoyer_sparsity(q.mean)}
        return {"nll": nll}

    def weighed(self, terms: dict[str, Tensor]) -> Tensor:
        """The loss that these parts make, in their shape."""
        weights = {"kl": self.config.beta, "sparsity": self.config.sparsity}
        total = terms["nll"]
        for name in terms.keys() & weights.keys():
            total = total + weights[name] * terms[name]
        return total

    def loss(self, model: Autoencoder, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch and its parts, each ()."""
        means = {name: term.mean() for name, term in self.terms(model, batch).items()}
        return self.weighed(means), {name: mean.detach() for name, mean in means.items()}

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


def image_components(
    context: Context,
    k: int,
    *,
    mirror: bool,
    reduce: Callable[[Tensor], Tensor] | None = None,  # what is done to images first
) -> PrincipalComponents:
    """The first k principal components of up to 10,000 training images."""
    order = np.random.default_rng(context.seed).permutation(context.data.train)[:START_IMAGES]

    def batches() -> Iterator[Tensor]:
        for indices in chunks(np.sort(order), 500):
            x = context.data.batch(indices)  # type: ignore[arg-type]
            yield x if reduce is None else reduce(x)

    low = context.bfloat16 and context.device.type == "cpu"  # where the components are found
    precision = torch.bfloat16 if low else torch.float32
    return principal_components(batches, k, mirror=mirror, precision=precision, seed=context.seed)


@torch.no_grad()
def coefficients(axes: PrincipalAxes, context: Context, indices: np.ndarray) -> Tensor:
    """The coefficients (N, K) of these images, on the CPU."""
    parts = []
    for part in chunks(indices, 1000):
        with context.autocast():
            parts.append(axes.coefficients(batch_of(context, part).x).cpu())
    return torch.cat(parts)


def heldout_batches(context: Context, size: int = 500) -> Iterator[Batch]:
    """Up to 2,000 held-out images, always the same; training images where none are held out."""
    data = context.data
    indices = data.heldout if len(data.heldout) else data.train
    for part in chunks(indices[:VALIDATION_IMAGES], size):
        yield batch_of(context, part)


def check_heldout(context: Context) -> None:
    """Raises InputError where `heldout_batches` yields too few images to have a covariance."""
    data = context.data
    if (count := len(data.heldout) or len(data.train)) < 2:
        raise InputError(
            f"{data.name}: adversarial training is judged by 2 held-out images or more, not "
            f"{count}; give at least 4 images, or a recipe without a critic, such as vae-mlp"
        )


def batch_of(context: Context, indices: object) -> Batch:
    """The batch of these indices, on the device."""
    x = context.data.batch(indices)  # type: ignore[arg-type]
    labels = context.data.batch_labels(indices)  # type: ignore[arg-type]
    x = x.to(context.device)
    return Batch(x, None if labels is None else labels.to(context.device))


def image_batch(context: Context, indices: object, mirrored: Tensor | None) -> Batch:
    """The batch of these indices, some of them (B,) mirrored."""
    batch = batch_of(context, indices)
    if mirrored is None:
        return batch
    x = torch.where(mirrored[:, None, None, None], batch.x.flip(-1), batch.x)
    return Batch(x, batch.labels)


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
