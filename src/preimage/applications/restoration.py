"""Restoration: what an image was, of which only y = A(x) is at hand, and how sure that is.

The posterior of `posteriors.py`, brought to pixels. Its mean is the estimate of least squared
error; its samples give other images that would do, and bands that each pixel lies in. No posterior
of an approximate model is to be believed unseen, so the bands are widened or narrowed by one factor
until the true pixel lies in them as often as they say, on images whose truth is known (Angelopoulos
et al. 2022, "Image-to-Image Regression with Distribution-Free Uncertainty Quantification in
Imaging", §2; the factor is a conformal quantile).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from preimage.applications.discrepancy import Discrepancy
from preimage.applications.posteriors import Mixture, mixture
from preimage.core import InputError, Step, Unsupported
from preimage.core.latent import Prior
from preimage.inversion import Inverter, Settings
from preimage.inversion.operators import Compose, Mask
from preimage.inversion.posterior import ROUNDING
from preimage.inversion.problem import Operator, Problem
from preimage.inversion.settings import operator_key
from preimage.inversion.starts import is_shared

BAND = 0.9  # the share of pixels that are to lie in their bands
AT_ONCE = 16  # images
VALUES = 1 << 22  # of the samples' images held at a time: 32 MiB
GENERATED = 64  # samples of its own that a model without held-out images is calibrated by
GUESS = 0.2  # σ that an image's noise is first taken for, where nothing is known of it
DISTINCT = 0.05  # share of an even share of the weight that a filling must have


@dataclass(frozen=True)
class Restored:
    """B images of which y = A(x) was seen, as they may have been; images are in [−1, 1]."""

    given: Tensor  # y: (B, …)
    images: Tensor  # (B, C, H, W): the posterior's mean
    uncertainty: Tensor  # (B, C, H, W): its standard deviation, calibrated as the band is
    low: Tensor  # (B, C, H, W): where the band begins in which a pixel lies in 90 of 100 cases
    high: Tensor  # and where it ends
    fillings: Tensor  # (B, n, C, H, W): different images that fit, the likeliest first
    scores: Tensor  # (B, n): log p(y, z) of each less that of the first, in nats
    z: Tensor  # (B, n, *space.shape): their latents
    drawn: Tensor  # (B, C, H, W): what the generator alone draws of the first
    scale: float = 1.0  # by which the bands were widened
    misfit: Tensor | None = None  # (B,): see `misfit`
    labels: Tensor | None = None  # (B,) int64, of a conditional model
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @staticmethod
    def concatenated(parts: Sequence[Restored]) -> Restored:
        """One after another. Raises ValueError where there is none."""
        return Restored(**{f.name: _joined([getattr(p, f.name) for p in parts])
                           for f in fields(Restored)})  # fmt: skip


@dataclass(frozen=True)
class Restorer:
    """A generator, what it leaves of images, and how the posterior is looked for."""

    ready: Inverter
    left: Discrepancy | None = None  # None: white noise, of a level found for each image
    prior: Prior | None = None  # of the latents of such images; None: the space's own
    heldout: Tensor | None = None  # (N, C, H, W): what bands are calibrated by; None: own samples
    starts: int = 8  # searches of each image
    samples: int = 64  # of each posterior
    adversarial: float = 0.0  # λ of what the model's critic says of a latent's image, in nats
    seed: int = 0
    scales: dict[str, float] = field(default_factory=dict, compare=False)  # by operator, as found

    def __post_init__(self) -> None:
        if self.adversarial < 0:
            raise InputError(f"adversarial={self.adversarial:g} is below 0; give 0 or more")
        if self.adversarial and not self.ready.model.can("critic"):
            raise Unsupported("the model has no critic for adversarial=; leave it out")

    def restore(
        self,
        y: Tensor,  # (B, …)
        through: Operator,
        labels: Tensor | None = None,  # (B,), of a conditional model
        *,
        n: int = 1,
        scale: float = 1.0,
        progress: Callable[[Step], None] | None = None,
    ) -> Restored:
        """n fillings of each image, and its mean and bands; no image's depend on the others'."""
        settings = Settings.of(through=through, start="nearest", seed=self.seed)
        for step in self.ready.prepare(settings):
            if progress is not None:
                progress(step)
        parts = []
        whole = torch.arange(len(y))
        shared = is_shared(through, torch.zeros(1, *self.ready.model.data.shape), len(y))
        for rows in whole.split(self._at_once() if shared or self.left is None else 1):
            if progress is not None:
                progress(Step(int(rows[0]), len(y), stage="restore"))
            known = None if labels is None else labels[rows]
            settings = Settings.of(through=through.select(rows), start="nearest", seed=self.seed)
            problem = self.ready.begin(y[rows], known, settings).problem
            found = self._posterior(problem)
            parts.append(self._pictured(problem, found, y[rows], n, scale))
        if progress is not None:
            progress(Step(len(y), len(y), stage="restore"))
        return Restored.concatenated(parts)

    def scale(self, through: Operator, *, progress: Callable[[Step], None] | None = None) -> float:
        """By how much bands are to be widened behind this operator; found once."""
        key = operator_key(through)
        if key not in self.scales:
            truth, labels = self.heldout, None
            if truth is None or not len(truth):
                model = self.ready.model
                truth = rounded(model.sample(GENERATED, seed=self.seed))
                labels = model.labels_for(GENERATED)
            self.scales[key] = self.calibrated(truth, through, labels, progress=progress)
        return self.scales[key]

    def calibrated(
        self,
        truth: Tensor,  # (N, C, H, W): images like those to come, none of which was learned from
        through: Operator,
        labels: Tensor | None = None,
        *,
        progress: Callable[[Step], None] | None = None,
    ) -> float:
        """By which factor bands must be widened so that 90 % of hidden values lie in them.

        A mask an image is taken in turn.
        """
        device = self.ready.model.device
        rows = torch.arange(len(truth)) % _count(through, truth)
        A = through.select(rows)
        y = observed(A, truth.to(device), seed=self.seed)
        found = self.restore(y, A, labels, progress=progress)
        return band_scale(found, truth, hidden(A, truth.to(device)).cpu())

    def _posterior(self, problem: Problem) -> Mixture:
        starts = self.ready.samples().nearest(problem, self.starts)
        noise = float(getattr(problem.through, "noise", 0.0))
        one = torch.ones(1, device=starts.device)
        find = partial(mixture, problem, prior=self.prior, adversarial=self.adversarial)
        if self.left is not None and problem.through.linear:
            return find(starts, self.left, noise=noise * one)
        nothing = Discrepancy.none(problem.model.data.size, ROUNDING)
        if noise:
            return find(starts, nothing, noise=noise * one)
        first = find(starts, nothing, noise=GUESS * one)
        return find(first.modes, nothing, noise=noise_of(first))

    @torch.no_grad()
    def _pictured(
        self, problem: Problem, found: Mixture, y: Tensor, n: int, scale: float
    ) -> Restored:
        B = len(found)
        z, weights = found.sample(max(self.samples, 4 * n), seed=self.seed)
        rows = torch.arange(B, device=z.device).repeat_interleave(z.shape[1])
        means = found.draw(z.flatten(0, 1), rows)[1].unflatten(0, (B, -1))  # (B, N, C, H, W)
        images = means + found.scatter(z.shape[1], seed=self.seed).unflatten(0, (B, -1))
        mean = torch.einsum("bn,bnchw->bchw", weights, means).clamp(-1, 1)
        low, high = (
            weighted_quantile(images, weights, q) for q in (0.5 - BAND / 2, 0.5 + BAND / 2)
        )
        std = torch.einsum("bn,bnchw->bchw", weights, (images - mean[:, None]).square()).sqrt()
        low, high = widened(mean, low, high, scale)
        chosen, scores = self._fillings(found, z, weights, n)
        rows = torch.arange(B, device=z.device).repeat_interleave(chosen.shape[1])
        drawn, filled = (x.unflatten(0, (B, -1)) for x in found.draw(chosen.flatten(0, 1), rows))
        shape = problem.model.space.shape
        return Restored(
            given=y.cpu(),
            images=_image(mean),
            uncertainty=(std * scale).float().cpu(),
            low=_image(low),
            high=_image(high),
            fillings=_image(filled),
            scores=scores.float().cpu(),
            z=chosen.reshape(B, -1, *shape).cpu(),
            drawn=_image(drawn[:, 0]),
            scale=scale,
            misfit=misfit(found, drawn[:, 0]).float().cpu(),
            labels=None if problem.labels is None else problem.labels.cpu(),
        )

    def _fillings(
        self, found: Mixture, z: Tensor, weights: Tensor, n: int
    ) -> tuple[Tensor, Tensor]:
        """n latents of each image (B, n, d) that draw different images, and their scores (B, n).

        The best mode, and then, one by one, of the samples with any weight that one whose image is
        farthest from those chosen.
        """
        B = len(z)
        b = torch.arange(B, device=z.device)
        best = found.modes[b, found.log_weights.argmax(1)]
        places = torch.cat([best[:, None], z], 1)
        if n == 1:
            return places[:, :1], torch.zeros(B, 1)
        rows = b.repeat_interleave(places.shape[1])
        images = found.draw(places.flatten(0, 1), rows)[1].clamp(-1, 1).flatten(1)
        images = images.unflatten(0, (B, -1))  # (B, 1 + N, D)
        unlikely = weights * weights.shape[1] < DISTINCT
        unlikely = torch.cat([torch.zeros_like(unlikely[:, :1]), unlikely], 1)
        distance = torch.full(places.shape[:2], torch.inf, dtype=images.dtype, device=z.device)
        chosen = [torch.zeros(B, dtype=torch.int64, device=z.device)]
        for _ in range(n - 1):
            last = images[b, chosen[-1]][:, None]
            distance = torch.minimum(distance, (images - last).square().sum(2))
            chosen.append(distance.masked_fill(unlikely, -1).argmax(1))
        index = torch.stack(chosen, 1)
        logs = self._log_joint(found, places.gather(1, index[..., None].expand(-1, -1, z.shape[2])))
        order = logs.argsort(1, descending=True)
        index, logs = index.gather(1, order), logs.gather(1, order)
        latents = places.gather(1, index[..., None].expand(-1, -1, z.shape[2]))
        return latents, logs - logs[:, :1]

    @staticmethod
    def _log_joint(found: Mixture, z: Tensor) -> Tensor:
        B, n, _ = z.shape
        rows = torch.arange(B, device=z.device).repeat_interleave(n)
        return -found.energy(z.flatten(0, 1), rows).reshape(B, n)

    def _at_once(self) -> int:
        each = self.samples * self.ready.model.data.size
        return max(1, min(AT_ONCE, VALUES // each))


def noise_of(found: Mixture) -> Tensor:
    """σ of each image's residual at its best mode, with the latents that went into it: (B,).

    σ² = ‖A(G(z)) − y‖² / (m − γ), γ of the m values at most half (MacKay 1992, equation 4.10).
    """
    problem = found.problem
    b = torch.arange(len(found), device=found.modes.device)
    z = found.modes[b, found.log_weights.argmax(1)]
    r = (problem.observe(z) - problem.target).flatten(1)[:, found.seen.where].double()
    weight = (found.seen.root > 0).expand_as(r).double()
    m = weight.sum(1)
    γ = torch.minimum(m / 2, torch.tensor(float(z.shape[1])).to(m))
    return ((r.square() * weight).sum(1) / (m - γ).clamp_min(1)).sqrt().clamp_min(ROUNDING)


def misfit(found: Mixture, x: Tensor) -> Tensor:
    """How badly drawn images x (B, C, H, W) fit what was seen: (B,), about 1 where as usual.

    The root mean square of A(x) − y, in units of that of what the generator leaves and of noise.
    """
    problem = found.problem
    r = (problem.through(x) - problem.target).flatten(1)[:, found.seen.where].double()
    weight = (found.seen.root > 0).expand_as(r).double()
    square = (r.square() * weight).sum(1) / weight.sum(1).clamp_min(1)
    return (square / (found.left.mean_square + found.seen.floor)).sqrt()


def weighted_quantile(x: Tensor, weights: Tensor, q: float) -> Tensor:
    """The q-th quantile of samples x (B, n, …) with weights (B, n), summing to 1: (B, …).

    The value at which the weights of all that are smaller, and half of its own, reach q.
    """
    ordered, order = x.sort(1)
    w = weights.reshape(*weights.shape, *[1] * (x.dim() - 2)).expand_as(x).gather(1, order)
    reached = w.cumsum(1) - w / 2
    index = (reached < q).sum(1, keepdim=True).clamp_max(x.shape[1] - 1)
    return ordered.gather(1, index)[:, 0]


def widened(mean: Tensor, low: Tensor, high: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Bands (…) about a mean, widened by a factor; they never end before it does."""
    below = (mean - low).clamp_min(ROUNDING) * scale
    above = (high - mean).clamp_min(ROUNDING) * scale
    return (mean - below).clamp(-1, 1), (mean + above).clamp(-1, 1)


def band_scale(found: Restored, truth: Tensor, hidden: Tensor) -> float:
    """The factor for bands of scale 1, from images that are known; hidden: (N, C, H, W) bool.

    The conformal quantile of max((x̂ − x)/(x̂ − low), (x − x̂)/(high − x̂)) over hidden values.
    """
    x, mean = truth, found.images
    below, above = (end.clamp_min(ROUNDING) for end in (mean - found.low, found.high - mean))
    score = torch.where(x < mean, (mean - x) / below, (x - mean) / above)[hidden]
    score = score.sort().values
    rank = min(math.ceil((len(score) + 1) * BAND), len(score))
    return float(score[rank - 1])


def coverage(found: Restored, truth: Tensor, hidden: Tensor) -> Tensor:
    """The share of hidden values of each image that lie in their bands: (B,)."""
    inside = (truth >= found.low - 1e-6) & (truth <= found.high + 1e-6) & hidden
    return inside.flatten(1).sum(1) / hidden.flatten(1).sum(1).clamp_min(1)


def observed(through: Operator, x: Tensor, *, seed: int = 0) -> Tensor:
    """y = A(x) + noise, as the operator says that it was seen; rounded to 8 bits."""
    y = through(x)
    if noise := float(getattr(through, "noise", 0.0)):
        random = torch.Generator().manual_seed(seed)
        return y + noise * torch.randn(y.shape, generator=random).to(y)
    return rounded(y)


def rounded(x: Tensor) -> Tensor:
    """As 8 bits hold it."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def hidden(through: Operator, x: Tensor) -> Tensor:
    """Which values of images x (B, C, H, W) were not seen as they are: (B, C, H, W) bool.

    Behind a mask those that it covers; of any other operator all.
    """
    mask = known(through, x)
    return torch.ones_like(x, dtype=torch.bool) if mask is None else ~(mask > 0).expand_as(x)


def known(through: Operator, x: Tensor) -> Tensor | None:
    """How far pixels are seen as they are, (1 or B, 1 or C, H, W); None where none is."""
    parts = through.operators if isinstance(through, Compose) else (through,)
    if len(parts) == 1 and isinstance(parts[0], Mask):
        return parts[0].mask.to(x)
    return None


def _count(through: Operator, x: Tensor) -> int:
    """For how many images an operator is."""
    parts = through.operators if isinstance(through, Compose) else (through,)
    return max(len(getattr(part, "mask", x[:1])) for part in parts)


def _image(x: Tensor) -> Tensor:
    return x.clamp(-1, 1).float().cpu()


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return values[0]
