"""Pivotal tuning: a generator taught a few images, without its forgetting the rest.

Roich et al. 2021, "Pivotal Tuning for Latent-based Editing of Real Images". The latents of the
images, the pivots, are held; the generator's parameters θ are moved by Adam to lower

    L(x, G(w_p; θ)) + λ · L(G(w_r; θ₀), G(w_r; θ)),        w_r = w_p + α (w_z − w_p) / ‖w_z − w_p‖

with L the squared error and the distance of features (equations 1, 4 and 5). The second term keeps
the tuned generator to the original one around the pivots. The paper's α = 30 is for StyleGAN's 512
numbers; here it is `RADIUS` · σ √d, the same share of the distance of two samples, whatever the
number d and the scale σ of latents.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel, Step, Unsupported, seeds
from preimage.inversion.fingerprint import fingerprint
from preimage.inversion.settings import check_whole

RADIUS = 30 / 512**0.5
SCALES_FROM = 256  # samples from which the scales of latents, images and features are measured


@dataclass(frozen=True)
class Difference:
    """What tuning has changed: to be added to the weights of one model, and of no other."""

    deltas: Mapping[str, Tensor]  # by the parameter's name, bfloat16
    fingerprint: str  # of the model before

    @property
    def bytes(self) -> int:
        return sum(delta.numel() * delta.element_size() for delta in self.deltas.values())


class PivotalTuning:
    """`for step in tuning: …`, then `tuning.difference()`; the model itself is left as it is.

    images: (B, C, H, W) in [−1, 1]; z: (B, *space.shape), their pivots; labels: (B,) of a
    conditional model.
    seen: (B, 1, H, W) bool, the pixels that are known; unset, all are.
    locality: λ above, of the term that keeps the rest of the generator as it was.
    features: weight of the distance of features, where the model has them, as a share of their
        variance among samples.
    batch_size: images and pivots in a step, taken in turn where there are more.

    Raises InputError where images and latents are not finite, or do not fit the model or each
    other, and for options out of their range; Unsupported where no gradient reaches the
    generator's parameters.
    """

    def __init__(
        self,
        model: LatentModel,
        images: Tensor,
        z: Tensor,
        *,
        labels: Tensor | None = None,
        seen: Tensor | None = None,
        steps: int = 350,
        learning_rate: float = 3e-4,
        locality: float = 0.1,
        features: float = 0.1,
        batch_size: int = 16,
        seed: int = 0,
    ):
        _check(model, images, z, labels, seen)
        check_whole("steps", steps, 0)
        check_whole("batch_size", batch_size, 1)
        _check_number("learning_rate", learning_rate, above=True)
        _check_number("locality", locality)
        _check_number("features", features)
        self.original, self.images, self.pivots, self.labels = model, images, z, labels
        self.steps, self.locality, self.features = steps, locality, features
        self.seen = seen
        self.batch_size, self.seed, self.learning_rate = batch_size, seed, learning_rate
        self.model = copy.deepcopy(model).eval()  # running statistics stay as they are
        self.before = fingerprint(model)
        self.tuned_names = _reached(self.model, z[:1], None if labels is None else labels[:1])

    def __iter__(self) -> Iterator[Step]:
        device = self.original.device
        radius, feature_scale = self._scales()
        parameters = dict(self.model.named_parameters())
        optimizer = torch.optim.Adam(
            [parameters[name] for name in self.tuned_names], lr=self.learning_rate
        )
        count = len(self.images)
        for step in range(self.steps):
            rows = (torch.arange(min(self.batch_size, count)) + step * self.batch_size) % count
            x, z = self.images[rows].to(device), self.pivots[rows].to(device)
            labels = None if self.labels is None else self.labels[rows].to(device)
            x̂ = self.model.decode(z, labels)
            if self.seen is not None:  # what is not known may be as it comes
                x = torch.where(self.seen[rows].to(device), x, x̂.detach())
            error = self._distance(x̂, x, feature_scale)
            loss, strayed = error, torch.zeros(())
            if self.locality:
                beside = self._beside(z, radius, step)
                with torch.no_grad():
                    kept = self.original.decode(beside, labels)
                strayed = self._distance(self.model.decode(beside, labels), kept, feature_scale)
                loss = error + self.locality * strayed
            optimizer.zero_grad(set_to_none=True)
            loss.mean().backward()
            optimizer.step()
            metrics = {
                "loss": loss.mean().item(),
                "error": (x̂ - x).square().mean().item(),
                "strayed": strayed.mean().item(),
            }
            yield Step(step + 1, self.steps, metrics, stage="tuning")

    def difference(self) -> Difference:
        """What has changed so far."""
        old, new = dict(self.original.named_parameters()), dict(self.model.named_parameters())
        deltas = {
            name: (new[name] - old[name]).detach().cpu().to(torch.bfloat16)
            for name in self.tuned_names
        }
        return Difference({n: δ for n, δ in deltas.items() if δ.any()}, self.before)

    def _beside(self, z: Tensor, radius: float, step: int) -> Tensor:
        """w_r: a step of that length from each pivot towards a sample."""
        generator = seeds.generator(self.seed, "beside", step)
        towards = self.original.space.draw(len(z), generator).to(z.device) - z
        length = towards.flatten(1).norm(dim=1).clamp_min(1e-12)
        return z + towards * (radius / length).reshape(-1, *[1] * (z.dim() - 1))

    @torch.no_grad()
    def _scales(self) -> tuple[float, float]:
        """α, and the variance of features among samples."""
        space, device = self.original.space, self.original.device
        z = space.draw(SCALES_FROM, seeds.generator(self.seed, "scales"))
        radius = RADIUS * z.flatten(1).var(0).sum().sqrt().item()
        if not self._uses_features:
            return radius, 1.0
        x = self.original.decode(z.to(device), self.original.labels_for(len(z)))
        return radius, self.original.features(x).var(0).mean().clamp_min(1e-12).item()

    @property
    def _uses_features(self) -> bool:
        return bool(self.features) and self.original.can("features")

    def _distance(self, x̂: Tensor, x: Tensor, feature_scale: float) -> Tensor:
        """L of each image: (B,)."""
        error = (x̂ - x).square().flatten(1).mean(1)
        if not self._uses_features:
            return error
        Δ = self.original.features(x̂) - self.original.features(x).detach()
        return error + self.features * Δ.square().mean(1) / feature_scale


def tuned(model: LatentModel, difference: Difference) -> LatentModel:
    """A model with the difference applied; what is unchanged it shares with `model`.

    Raises InputError where the difference is of another model, or of other weights of it.
    """
    changed = _added(model, difference)
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    for name, parameter in model.named_parameters():
        if name in changed:
            shared[id(parameter)] = changed[name]
    return copy.deepcopy(model, memo=dict(shared))  # what the memo names is not copied


@contextmanager
def applied(model: LatentModel, difference: Difference) -> Iterator[LatentModel]:
    """Within it the model itself is tuned; afterwards it is what it was, bit for bit."""
    changed, parameters = _added(model, difference), dict(model.named_parameters())
    kept = {name: parameters[name].data for name in changed}
    try:
        for name, new in changed.items():
            parameters[name].data = new.data
        yield model
    finally:
        for name, old in kept.items():
            parameters[name].data = old


def _added(model: LatentModel, difference: Difference) -> dict[str, torch.nn.Parameter]:
    if fingerprint(model) != difference.fingerprint:
        raise InputError(
            "this difference was tuned on other weights than the model has; tune the model again"
        )
    parameters = dict(model.named_parameters())
    changed = {}
    for name, delta in difference.deltas.items():
        old = parameters.get(name)
        if old is None or old.shape != delta.shape or not delta.isfinite().all():
            raise InputError(f"this difference of '{name}' is damaged; tune the model again")
        new = old.detach() + delta.to(old.device, old.dtype)
        changed[name] = torch.nn.Parameter(new, requires_grad=old.requires_grad)
    return changed


def _reached(model: LatentModel, z: Tensor, labels: Tensor | None) -> list[str]:
    """The names of the parameters that the image depends on."""
    model.requires_grad_(True)
    device = model.device
    x = model.decode(z.to(device), None if labels is None else labels.to(device))
    if not x.requires_grad:
        raise Unsupported("no gradient reaches the generator's parameters; it cannot be tuned")
    parameters = dict(model.named_parameters())
    slopes = torch.autograd.grad(x.sum(), list(parameters.values()), allow_unused=True)
    reached = [name for name, slope in zip(parameters, slopes, strict=True) if slope is not None]
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in reached)
    return reached


def _check(
    model: LatentModel, images: Tensor, z: Tensor, labels: Tensor | None, seen: Tensor | None
) -> None:
    if not len(images):
        raise InputError("there are no images to tune to; give at least one")
    if tuple(images.shape[1:]) != model.data.shape:
        raise InputError(
            f"the images are {tuple(images.shape[1:])}, the model's {model.data.shape}; "
            "read them with preimage.images(source, model.data)"
        )
    if tuple(z.shape) != (len(images), *model.space.shape):
        raise InputError(
            f"the latents are {tuple(z.shape)} and should be "
            f"{(len(images), *model.space.shape)}: one for each image"
        )
    if model.conditional and (labels is None or len(labels) != len(images)):
        raise InputError("this model is conditional; give a class label for each image")
    known = images if seen is None else images[seen.to(images.device).expand_as(images)]
    for name, values in {"images": known, "latents": z}.items():
        if not values.isfinite().all():
            raise InputError(f"the {name} are not finite (NaN or ∞); leave those that are not out")


def _check_number(name: str, value: object, *, above: bool = False) -> None:
    """Raises InputError for what is no number of 0 or more; above: or 0 itself."""
    number = isinstance(value, int | float) and math.isfinite(value) and value >= 0
    if not number or (above and not value):
        raise InputError(
            f"{name}={value} is not possible; give {'more than 0' if above else '0 or more'}"
        )
