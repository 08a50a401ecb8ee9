"""The one interface through which every other room sees a generator."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from preimage.core.errors import InputError, Unsupported, nearest_name
from preimage.core.gaussian import Gaussian
from preimage.core.latent import LatentSpace
from preimage.core.spec import DataSpec


class LatentModel(nn.Module):
    """A generator seen from outside: a VAE, a GAN and a stranger's module look the same.

    Images are (B, C, H, W) in [−1, 1]; latents (B, *space.shape); labels (B,) int64, class
    indices into `classes`. `encode`, `critic` and `features` exist only where `can` says so.
    """

    data: DataSpec
    spaces: dict[str, LatentSpace]  # the first one is the default
    classes: tuple[str, ...] = ()  # class names of a conditional model

    @property
    def space(self) -> LatentSpace:
        """The default latent space."""
        return next(iter(self.spaces.values()))

    def named_space(self, name: str | None) -> LatentSpace:
        if name is None:
            return self.space
        if name not in self.spaces:
            raise InputError(f"no latent space '{name}'; {nearest_name(name, self.spaces)}")
        return self.spaces[name]

    def check_space(self, name: str | None) -> None:
        """Raises InputError where there is no space of that name; the default needs no look."""
        if name is not None:
            self.named_space(name)

    @property
    def conditional(self) -> bool:
        """Whether `decode` needs a class label."""
        return bool(self.classes)

    @property
    def device(self) -> torch.device:
        tensor = next(self.parameters(), None)
        return torch.device("cpu") if tensor is None else tensor.device

    def can(self, ability: str) -> bool:
        """Whether this model has `encode`, `critic` or `features`."""
        return getattr(type(self), ability) is not getattr(LatentModel, ability)

    def decode(
        self, z: Tensor, labels: Tensor | None = None, *, space: str | None = None
    ) -> Tensor:
        """Latents (B, *space.shape) → images (B, C, H, W) in [−1, 1], differentiable in z."""
        raise NotImplementedError

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Gaussian:
        """Images (B, C, H, W) → a diagonal Gaussian over the default latent space."""
        raise Unsupported(
            f"{type(self).__name__} has no encoder: it cannot say which latent an image has; "
            "search for it with invert, or train one with: preimage encoder"
        )

    def critic(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images → how real they look to the discriminator, (B,), higher is more real."""
        raise Unsupported(f"{type(self).__name__} has no critic")

    def features(self, x: Tensor) -> Tensor:
        """Images → features (B, F) of the model's own encoder or discriminator."""
        raise Unsupported(f"{type(self).__name__} has no features")

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.decode(z, labels)

    def labels_for(
        self, n: int, label: int | str | None = None, *, first: int = 0
    ) -> Tensor | None:
        """Class labels for samples first … first + n − 1: the one asked for, or each in turn."""
        if not self.conditional:
            if label is not None:
                raise InputError("this model was trained without classes; leave the label out")
            return None
        if label is None:
            return (torch.arange(first, first + n) % len(self.classes)).to(self.device)
        if isinstance(label, str):
            if label not in self.classes:
                raise InputError(f"no class '{label}'; {nearest_name(label, self.classes)}")
            label = self.classes.index(label)
        if not 0 <= label < len(self.classes):
            raise InputError(f"no class {label}; this model has {len(self.classes)} classes")
        return torch.full((n,), label, device=self.device)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        label: int | str | None = None,
        prior: str | None = None,
        truncation: float = 1.0,
        batch_size: int = 256,
    ) -> Tensor:
        """n images (n, C, H, W) in [−1, 1] on the CPU; image 7 of a seed never changes."""
        parts = list(
            self.sample_batches(
                n, seed=seed, label=label, prior=prior, truncation=truncation, batch_size=batch_size
            )
        )
        return torch.cat(parts) if parts else torch.empty(0, *self.data.shape)

    @torch.no_grad()
    def sample_batches(
        self,
        n: int,
        *,
        seed: int = 0,
        label: int | str | None = None,
        prior: str | None = None,
        truncation: float = 1.0,
        batch_size: int = 256,
    ) -> Iterator[Tensor]:
        """The images of `sample`, a batch at a time, in flat memory."""
        for first in range(0, n, batch_size):
            m = min(batch_size, n - first)
            z = self.space.sample(m, seed=seed, first=first, prior=prior, truncation=truncation)
            labels = self.labels_for(m, label, first=first)
            yield self.decode(z.to(self.device), labels).float().cpu()
