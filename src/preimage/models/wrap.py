"""Any `nn.Module` as a LatentModel: the door for a stranger's generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from preimage.core import DataSpec, Gaussian, InputError, LatentModel, LatentSpace, Unsupported


class WrappedModel(LatentModel):
    """A stranger's generator, its images brought to [−1, 1] and its latents to one space."""

    def __init__(
        self,
        generator: nn.Module,
        *,
        data: DataSpec,
        space: LatentSpace,
        range: tuple[float, float],
        encoder: nn.Module | None,
        critic: nn.Module | None,
        classes: tuple[str, ...],
    ):
        super().__init__()
        self.generator, self.encoder_module, self.critic_module = generator, encoder, critic
        self.data, self.classes, self.range = data, classes, range
        self.spaces = {"z": space}

    def can(self, ability: str) -> bool:
        modules = {"encode": self.encoder_module, "critic": self.critic_module}
        return modules[ability] is not None if ability in modules else False

    def decode(
        self, z: Tensor, labels: Tensor | None = None, *, space: str | None = None
    ) -> Tensor:
        self.check_space(space)
        x = self.generator(z) if labels is None else self.generator(z, labels)
        low, high = self.range
        return ((x - low) * (2 / (high - low)) - 1).reshape(len(z), *self.data.shape)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Gaussian:
        if self.encoder_module is None:
            raise Unsupported("this model was wrapped without an encoder; pass encoder= to wrap")
        x = self._in_range(x)
        found = self.encoder_module(x) if labels is None else self.encoder_module(x, labels)
        if isinstance(found, Gaussian):
            return found
        if isinstance(found, tuple):
            mean, log_variance = found[:2]
            return Gaussian(mean, log_variance)
        return Gaussian(found, torch.full_like(found, -20.0))

    def critic(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.critic_module is None:
            raise Unsupported("this model was wrapped without a critic; pass critic= to wrap")
        return self.critic_module(self._in_range(x)).reshape(len(x), -1).mean(1)

    def _in_range(self, x: Tensor) -> Tensor:
        """Images in [−1, 1] → in the range the modules think in."""
        low, high = self.range
        return (x + 1) * ((high - low) / 2) + low


def wrap(
    module: nn.Module,
    *,
    data: DataSpec,
    space: LatentSpace,
    range: tuple[float, float] = (-1.0, 1.0),
    encoder: nn.Module | None = None,
    critic: nn.Module | None = None,
    classes: tuple[str, ...] = (),
) -> LatentModel:
    """Make any generator a LatentModel.

    `module(z)`, or `module(z, labels)` if `classes` are given, takes latents (B, *space.shape) in
    float32 and returns images with values in `range`; they may come flat. `encoder(x)` takes
    images in `range` and returns a mean, a (mean, log-variance) pair or a Gaussian. The module is
    put into evaluation mode: batch statistics would couple the images of a batch.

    Raises InputError where a decoded latent does not give an image of shape `data.shape`, or an
    encoded image not a latent of shape `space.shape`.
    """
    low, high = range
    if not high > low:
        raise InputError(f"range={range} is empty; give (low, high) with low < high")
    model = WrappedModel(
        module,
        data=data,
        space=space,
        range=(float(low), float(high)),
        encoder=encoder,
        critic=critic,
        classes=tuple(classes),
    ).eval()
    _check(model)
    return model


@torch.no_grad()
def _check(model: WrappedModel) -> None:
    z = torch.zeros(2, *model.space.shape, device=model.device)
    labels = model.labels_for(2)
    try:
        raw = model.generator(z) if labels is None else model.generator(z, labels)
    except Exception as error:  # a stranger's module may raise anything
        raise InputError(
            f"the module does not take latents of shape {tuple(z.shape)}: {_line(error)}; "
            f"{_mend(model.generator, 'check space= and classes=')}"
        ) from error
    expected = (2, *model.data.shape)
    if not isinstance(raw, Tensor) or raw.numel() != 2 * model.data.size:
        got = tuple(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
        raise InputError(f"the module returns {got}, not {expected}; check data=")
    if model.encoder_module is None:
        return
    try:
        mean = model.encode(model.decode(z, labels), labels).mean
    except Exception as error:
        raise InputError(
            f"the encoder does not take images of shape {expected}: {_line(error)}; "
            f"{_mend(model.encoder_module, 'check encoder=')}"
        ) from error
    if mean.shape != z.shape:
        raise InputError(
            f"the encoder returns {tuple(mean.shape)}, not latents {tuple(z.shape)}; check space="
        )


def _mend(module: nn.Module, otherwise: str) -> str:
    """What helps a module that refuses float32, in which latents and images come."""
    kinds = {p.dtype for p in module.parameters() if p.is_floating_point()} - {torch.float32}
    return f"it is of {kinds.pop()}: give it as module.float()" if kinds else otherwise


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
