"""Training by likelihood that hides each image: differential privacy.

Abadi et al. 2016, "Deep Learning with Differential Privacy", algorithm 1. Each image is in a batch
with probability q, by itself; its gradient is clipped to length C; the sum gets Gaussian noise of
standard deviation σ C in every direction, and is divided by the q N images that are expected:

    g̃ = (Σ gᵢ min(1, C / ‖gᵢ‖) + σ C N(0, I)) / (q N)

What is done with g̃ afterwards (Adam, averages, the number of steps) costs nothing more. What else
looks at training images would: so there is no closed-form start, no mixture fitted to latents, no
batch statistics, no σ of a batch, no training loss to see, and the last weights are kept, not the
best. Norms are found without the gradients themselves ("ghost clipping": Li et al. 2022, "Large
Language Models Can Be Strong Differentially Private Learners", §4), by opacus.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel
from preimage.core.errors import nearest_name
from preimage.models import Autoencoder
from preimage.training import accounting, secret
from preimage.training.accounting import Spending
from preimage.training.likelihood import LIKELIHOODS, Likelihood, LikelihoodMethod
from preimage.training.order import Poisson
from preimage.training.stage import Batch, Context, Stage, Update

CHUNK = 256  # images whose gradients are worked out at a time


@dataclass(frozen=True, kw_only=True)
class PrivateLikelihood(Likelihood):
    """Options of private training by likelihood. What is 0 follows from the rest: `planned`."""

    private: ClassVar[bool] = True

    epsilon: float = 8.0
    delta: float = 0.0  # 1 / (10 N)
    max_grad_norm: float = 1.0  # C
    noise_multiplier: float = 0.0  # σ: the least that lets all steps be taken
    sample_rate: float = 0.0  # q: batch_size / N

    def planned(self, n: int) -> PrivateLikelihood:
        """The stage with everything settled, for n training images, and no longer than it may be.

        Raises InputError for a budget that allows no step.
        """
        delta = self.delta or 1 / (10 * n)
        accounting.check(self.epsilon, delta, n)
        rate = self.sample_rate or min(1.0, self.batch_size / n)
        noise = self.noise_multiplier or accounting.least_noise(
            epsilon=self.epsilon, delta=delta, sample_rate=rate, steps=self.steps
        )
        steps = Spending(self.epsilon, delta, noise, rate).affordable(self.steps)
        if steps == 0:
            raise InputError(
                f"noise_multiplier={noise:g} spends more than epsilon={self.epsilon:g} at the "
                "first step; leave it out, and it is worked out"
            )
        return replace(self, steps=steps, delta=delta, noise_multiplier=noise, sample_rate=rate)

    @property
    def spending(self) -> Spending:
        return Spending(self.epsilon, self.delta, self.noise_multiplier, self.sample_rate)

    def order(self, context: Context, number: int) -> Poisson:
        return Poisson(context.data.train, rate=self.sample_rate, secret=context.secret)

    def method(self, model: LatentModel, context: Context) -> PrivateMethod:
        if not isinstance(model, Autoencoder):
            raise InputError("private training needs an autoencoder")
        if self.likelihood == "learned-sigma":
            raise InputError(
                "likelihood=learned-sigma takes its σ from all images of a batch, so it cannot be "
                "private; give --likelihood gaussian or bernoulli"
            )
        if self.likelihood not in LIKELIHOODS:
            raise InputError(
                f"no likelihood '{self.likelihood}'; {nearest_name(self.likelihood, LIKELIHOODS)}"
            )
        if not len(context.data.heldout):
            raise InputError(
                f"{context.data.name} holds no images out, and a private run may not be judged on "
                "those it is trained on; give more images"
            )
        # norms of 8 bits would be too small by more than may be neglected
        return PrivateMethod(self, model, replace(context, bfloat16=False))


@dataclass(frozen=True)
class Guarantee:
    """What is promised to each training image."""

    epsilon: float
    delta: float
    images: int  # that were trained on

    def __str__(self) -> str:
        factor = f"{math.exp(min(self.epsilon, 700)):,.3g}"
        return (
            f"ε = {self.epsilon:.3g} at δ = {self.delta:.2g}: with any one of the {self.images:,} "
            f"training images left out, no finding about the weights would be more than {factor} "
            f"times as likely, or as unlikely, but for a chance of δ"
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "meaning": str(self)}


def guarantee(stages: Sequence[Stage], n: int, *, steps: int | None = None) -> Guarantee | None:
    """What a private run of these stages, settled for n images, promises; None of any other.

    steps: those that were taken; unset, the whole budget counts as spent.
    """
    stage = stages[-1] if stages else None
    if not isinstance(stage, PrivateLikelihood):
        return None
    spent = stage.epsilon if steps is None else stage.spending.spent(steps)
    return Guarantee(spent, stage.delta, n)


def ledger(stage: Stage, context: Context, steps: int) -> dict[str, Any]:
    """What a checkpoint keeps of a stage: the steps paid for, at what price, and the secret."""
    if not isinstance(stage, PrivateLikelihood):
        return {}
    return {**_price(stage), "steps": steps, "secret": f"{context.secret:x}"}


def opened(stage: Stage, kept: Mapping[str, Any]) -> int:
    """The secret of a kept ledger.

    Raises InputError where the stage's steps are of another price than those that were paid for.
    """
    for name, value in _price(stage).items():
        if kept[name] != value:
            raise InputError(
                f"it was trained with {name}={kept[name]:g}, and config.json says {value:g}"
            )
    return int(kept["secret"], 16)


def _price(stage: Stage) -> dict[str, float]:
    assert isinstance(stage, PrivateLikelihood)
    return {**asdict(stage.spending), "max_grad_norm": stage.max_grad_norm}


class PrivateMethod(LikelihoodMethod):
    """As training by likelihood, with a noisy gradient in the place of each loss."""

    config: PrivateLikelihood

    def __init__(self, config: PrivateLikelihood, model: Autoencoder, context: Context):
        super().__init__(config, model, context)
        self._hooks = hooked(model)

    def updates(self, batch: Batch, *, step: int) -> Iterator[Update]:
        C, σ = self.config.max_grad_norm, self.config.noise_multiplier
        expected = self.config.sample_rate * len(self.context.data.train)
        total = self.clipped_sum(batch)
        sizes = [g.numel() for g in total]
        noise = secret.normal(sum(sizes), self.context.secret, "noise", step).split(sizes)
        yield Update(
            "autoencoder",
            gradients=[
                (g + σ * C * n.to(g.device, g.dtype).reshape(g.shape)) / expected
                for g, n in zip(total, noise, strict=True)
            ],
        )

    def clipped_sum(self, batch: Batch) -> list[Tensor]:
        """Σ gᵢ min(1, C / ‖gᵢ‖), a tensor a parameter; zero for an empty batch."""
        parameters = list(self.model.parameters())
        total = [torch.zeros_like(p) for p in parameters]
        for rows in torch.arange(len(batch.x), device=batch.x.device).split(CHUNK):
            if not len(rows):
                continue
            for mine, part in zip(total, self._clipped_chunk(rows_of(batch, rows)), strict=True):
                mine += part
        return total

    def _clipped_chunk(self, batch: Batch) -> list[Tensor]:
        parameters = list(self.model.parameters())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Full backward hook is firing")  # images need none
            self._hooks.enable_hooks()
            losses = self.weighed(self.terms(self.model, batch))  # (B,)
            losses.sum().backward(retain_graph=True)
            self._hooks.disable_hooks()
            for p in parameters:
                p.grad = None
            norms = self._hooks.get_norm_sample().detach()  # (B,)
            sound = norms.isfinite() & losses.detach().isfinite()
            if not sound.all():  # an image without a gradient of finite length has no say
                return self.clipped_sum(rows_of(batch, sound.nonzero()[:, 0]))
            share = (self.config.max_grad_norm / (norms + 1e-6)).clamp(max=1.0)
            return list(torch.autograd.grad((share * losses).sum(), parameters))

    def finish(self, model: LatentModel) -> None:
        self._hooks.remove_hooks()


def rows_of(batch: Batch, rows: Tensor) -> Batch:
    """Some images of a batch."""
    return Batch(batch.x[rows], None if batch.labels is None else batch.labels[rows])


def hooked(model: Autoencoder) -> Any:
    """Hooks on the model's layers that note the length of each image's gradient."""
    accounting.opacus()  # or say that it is missing
    from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import (
        GradSampleModuleFastGradientClipping,
    )

    class Hooks(GradSampleModuleFastGradientClipping):
        def rearrange_grad_samples(self, **options: Any) -> Any:
            # opacus takes a convolution's inputs for contiguous; of others its norms are too small
            activations, backprops = super().rearrange_grad_samples(**options)
            plain = [a.clone(memory_format=torch.contiguous_format) for a in activations]
            return plain, backprops.contiguous()

    for handle in vars(model).pop("autograd_grad_sample_hooks", ()):
        handle.remove()  # of a method that this one comes in the place of
    hooks = Hooks(model, loss_reduction="sum")
    hooks.disable_hooks()  # but while gradients are measured
    return hooks
