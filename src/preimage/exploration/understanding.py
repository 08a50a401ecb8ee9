"""What each number of a latent does, and how many of them do anything.

Of number i: the KL it costs, E_x KL(q(z_i|x) ‖ N(0, 1)), which tells active numbers of a VAE from
dead ones (Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders", 2016, §5); what one
standard deviation of it does to the image, and where, from J = dG/dz; and which known attribute it
follows, by mutual information held against what shuffled attributes would give.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp
from torch.nn.functional import one_hot

from preimage.core import Gaussian, InputError, LatentModel, Step, seeds
from preimage.data.labels import known_codes
from preimage.inversion.graph import Compiled, compiled
from preimage.inversion.posterior import ROUNDING
from preimage.metrics.geometry import singular_values
from preimage.metrics.intrinsic import least_points, levina_bickel, two_nn
from preimage.metrics.measure import Measure, of_mean

NEEDED = least_points(20)  # latents, for the estimates of intrinsic dimension
ACTIVE = 0.01  # nats of KL that an active number costs at least
POINT = -15.0  # log-variances all below it are no posterior, but a point
LARGE = 512  # numbers up to which each is looked at; of larger latents those that vary most
LOOKED_AT = 64  # of those
POINTS = 32  # latents at which the Jacobian is taken
PIXELS = 1000  # images whose own intrinsic dimension is estimated
BINS = 10  # equally full ones, of latents and of continuous attributes
SHUFFLES = 99  # of the attributes
LEVEL = 0.05  # of all numbers and attributes together


@dataclass(frozen=True)
class Followed:
    """The attribute that a number of the latent tells most about."""

    attribute: str
    information: float  # mutual information, over the attribute's entropy: 1 tells all
    correlation: float | None  # None where the attribute's values have no order
    p: float  # of the information, among shuffled attributes and all numbers at once


@dataclass(frozen=True)
class Dimension:
    """One number of the latent."""

    index: int  # counted from 0, as it stands when the latent is flat
    active: bool
    kl: float | None  # nats, mean over the images; None without a variational encoder
    mean: float  # over the latents of the images, or over samples
    deviation: float
    effect: float  # root mean square change of a value in [−1, 1], for one standard deviation
    follows: Followed | None = None  # what it tells about, where that is more than chance

    @property
    def name(self) -> str:
        return f"z{self.index}"


@dataclass(frozen=True)
class Understanding:
    """What is known of a model's latent space."""

    dimensions: tuple[Dimension, ...]  # in the latent's order, of large latents some
    size: int  # numbers in a latent
    sensitivity: Tensor  # (K, *data shape): mean |∂G/∂z_i| of each value, one for each dimension
    singular_values: Tensor  # (P, r), descending: of J for steps of a standard deviation each
    rank: Measure  # directions in which such a step shows in 8 bits: mean over points
    two_nn: Measure  # intrinsic dimension of the latents
    mle: Measure
    image_two_nn: Measure  # and of the images themselves
    image_mle: Measure
    n: int  # latents that all this was learned from
    encoded: bool  # whether they are those of images; else samples
    attributes: tuple[str, ...] = ()  # that dimensions could have followed

    @property
    def active(self) -> tuple[Dimension, ...]:
        return tuple(dimension for dimension in self.dimensions if dimension.active)

    @property
    def ranked(self) -> tuple[Dimension, ...]:
        """The dimensions, those that change the image most first."""
        return tuple(sorted(self.dimensions, key=lambda d: -d.effect))

    def map_of(self, dimension: Dimension) -> Tensor:
        """Where a dimension acts: (*data shape)."""
        return self.sensitivity[self.dimensions.index(dimension)]

    def to_json(self) -> dict[str, Any]:
        """All figures; the maps stay out."""
        measures = ("rank", "two_nn", "mle", "image_two_nn", "image_mle")
        return {
            "latent": self.size,
            "active": len(self.active),
            "latents": self.n,
            "of": "images" if self.encoded else "samples",
            "attributes": list(self.attributes),
            **{name: asdict(getattr(self, name)) for name in measures},
            "singular_values": self.singular_values.median(0).values.tolist(),
            "dimensions": [asdict(dimension) for dimension in self.dimensions],
        }


def understanding(
    model: LatentModel,
    posterior: Gaussian,  # of N latents (N, *space.shape); of a point encoder or samples, no σ
    images: Tensor,  # (M, C, H, W): some of those that they belong to
    *,
    encoded: bool,  # whether the latents are those of images
    labels: Tensor | None = None,  # (N,), of a conditional model
    attributes: Mapping[str, np.ndarray] | None = None,  # name → (N,), NaN where unknown
    categories: Mapping[str, tuple[str, ...]] | None = None,  # of those that are codes
    seed: int = 0,
) -> Iterator[Step | Understanding]:
    """Steps on the way, then what was found.

    Raises InputError where there are fewer different latents than the estimates need, or the
    generator has no derivative.
    """
    z = posterior.mean.flatten(1).float().cpu()
    if len(torch.unique(z, dim=0)) < NEEDED or len(images) < NEEDED:
        n = min(len(torch.unique(z, dim=0)), len(images))
        raise InputError(f"{n} different images tell too little; give at least {NEEDED}")
    kl = kl_by_dimension(posterior)
    deviation = z.std(0)
    looked_at = torch.arange(z.shape[1])
    if z.shape[1] > LARGE:
        looked_at = deviation.topk(LOOKED_AT).indices.sort().values
    yield Step(0, 1, stage="look for a quicker form of the generator")
    form = compiled(model)
    chosen = torch.randperm(len(z), generator=seeds.generator(seed, "points"))[:POINTS]
    maps = torch.zeros(len(looked_at), *model.data.shape)
    effects, spectra = torch.zeros(len(looked_at)), []
    for done, i in enumerate(chosen):
        yield Step(done, len(chosen), stage="sensitivity")
        at, y = posterior.mean[i, None], None if labels is None else labels[i, None]
        dx = tangents(form, at, looked_at, labels=y)  # (K, *data shape)
        maps += dx.abs() / len(chosen)
        Jt = (dx.flatten(1) * deviation[looked_at, None]).double()
        effects += Jt.square().mean(1).float() / len(chosen)
        spectra.append(singular_values(Jt))
    effects, σ = effects.sqrt(), torch.stack(spectra)
    yield Step(0, 1, stage="attributes")
    follows = followed(z[:, looked_at], attributes or {}, categories or {}, seed=seed)
    yield Step(0, 1, stage="intrinsic dimension")
    pixels = images[:PIXELS].flatten(1)
    alive = effects >= ROUNDING if kl is None else kl[looked_at] >= ACTIVE
    yield Understanding(
        dimensions=tuple(
            Dimension(
                index=int(i),
                active=bool(alive[k]),
                kl=None if kl is None else float(kl[i]),
                mean=float(z[:, i].mean()),
                deviation=float(deviation[i]),
                effect=float(effects[k]),
                follows=follows[k],
            )
            for k, i in enumerate(looked_at)
        ),
        size=z.shape[1],
        sensitivity=maps,
        singular_values=σ.float(),
        rank=of_mean((σ > ROUNDING * math.sqrt(model.data.size)).sum(1)).within(0, len(looked_at)),
        two_nn=two_nn(z),
        mle=levina_bickel(z),
        image_two_nn=two_nn(pixels),
        image_mle=levina_bickel(pixels),
        n=len(z),
        encoded=encoded,
        attributes=tuple(attributes or ()),
    )


def kl_by_dimension(posterior: Gaussian) -> Tensor | None:
    """E_x KL(q(z_i|x) ‖ N(0, 1)) in nats: (d,). None where the encoder gives points.

    −½ (1 + log σ² − μ² − σ²): Kingma & Welling 2014, appendix B, before the sum.
    """
    μ, logσ2 = posterior.mean.flatten(1), posterior.log_variance.flatten(1)
    if bool((logσ2 <= POINT).all()):
        return None
    return -0.5 * (1 + logσ2 - μ.square() - logσ2.exp()).mean(0).cpu()


@torch.no_grad()
def tangents(
    form: Compiled,
    z: Tensor,  # (1, *space.shape)
    dimensions: Tensor,  # (K,) indices
    *,
    labels: Tensor | None = None,  # (1,)
) -> Tensor:
    """∂G/∂z_i for each dimension: (K, *data shape), on the CPU."""
    model = form.model
    z = z.to(model.device).float()
    labels = None if labels is None else labels.to(model.device)
    if len(dimensions) == model.space.size:
        return form.tangents(z, labels, dtype=torch.float32)[1][0].cpu()
    found = []
    for part in dimensions.split(16):
        directions = one_hot(part, model.space.size).to(z)
        directions = directions.reshape(len(part), *z.shape[1:])
        y = None if labels is None else labels.expand(len(part))
        copies = z.expand_as(directions).contiguous()
        found.append(jvp(lambda z, y=y: model.decode(z, y), (copies,), (directions,))[1].cpu())
    return torch.cat(found)


def followed(
    z: Tensor,  # (N, K)
    attributes: Mapping[str, np.ndarray],  # name → (N,), NaN where unknown
    categories: Mapping[str, tuple[str, ...]],
    *,
    seed: int = 0,
) -> list[Followed | None]:
    """For each column of z the attribute it tells most about, where that is more than chance.

    Mutual information of binned values, over the attribute's entropy. Chance is the largest that
    any number has about any attribute when the images' attributes are shuffled: 99 times, the same
    shuffle for all attributes, so that the level of 5 % is that of the whole table. Images of which
    an attribute is not known say nothing about it.
    """
    attributes = {
        name: known_codes(values, categories[name]) if name in categories else values
        for name, values in attributes.items()
    }
    known = {name: _coded(values, name in categories) for name, values in attributes.items()}
    known = {name: code for name, code in known.items() if code.shape[1] > 1}
    if not known:
        return [None] * z.shape[1]
    bins = torch.stack([_binned(column.numpy()) for column in z.T], 1)  # (N, K, BINS)
    true = torch.stack([_information(bins, code) for code in known.values()])  # (A, K)
    generator = seeds.generator(seed, "shuffle")
    chance = []
    for _ in range(SHUFFLES):
        order = torch.randperm(len(z), generator=generator)
        shuffled = [_information(bins, code[order]).max() for code in known.values()]
        chance.append(torch.stack(shuffled).max())
    null = torch.stack(chance)
    best, names = true.max(0), list(known)
    found: list[Followed | None] = []
    for k, (share, a) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
        p = (1 + int((null >= share).sum())) / (1 + SHUFFLES)
        name = names[a]
        ordered = name not in categories or known[name].shape[1] <= 2
        r = _correlation(z[:, k], attributes[name]) if ordered else None
        found.append(Followed(name, share, r, p) if p <= LEVEL else None)
    return found


def _coded(values: np.ndarray, coded: bool) -> Tensor:
    """An attribute (N,) as one-hot rows (N, values): few different ones as they are, else binned.

    A row of zeros where the value is not known.
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    different = np.unique(values[known])
    if not coded and len(different) > BINS:
        return _binned(values)
    codes = torch.from_numpy(np.searchsorted(different[:-1], np.where(known, values, 0)))
    return one_hot(codes, max(1, len(different))).float() * torch.from_numpy(known)[:, None]


def _binned(values: np.ndarray) -> Tensor:
    """Numbers (N,) as one-hot rows (N, BINS), in equally full bins; unknown ones as zeros."""
    known = np.isfinite(values)
    edges = np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1])
    codes = torch.from_numpy(np.searchsorted(edges, values))  # unknown ones in the last
    return one_hot(codes, BINS).float() * torch.from_numpy(known)[:, None]


def _information(bins: Tensor, code: Tensor) -> Tensor:
    """I(z_k; a) / H(a) of one-hot rows (N, K, B) and (N, C): (K,)."""
    N, K, B = bins.shape
    joint = (bins.reshape(N, K * B).T @ code).reshape(K, B, -1).double()
    joint = joint / joint.sum((1, 2), keepdim=True).clamp_min(1)
    of_z, of_a = joint.sum(2, keepdim=True), joint.sum(1, keepdim=True)
    information = torch.special.xlogy(joint, joint / (of_z * of_a).clamp_min(1e-300)).sum((1, 2))
    entropy = -torch.special.xlogy(of_a, of_a).sum((1, 2))
    return information / entropy.clamp_min(1e-12)


def _correlation(z: Tensor, values: np.ndarray) -> float:
    finite = np.isfinite(values)
    return float(np.corrcoef(z.numpy()[finite], values[finite])[0, 1])
