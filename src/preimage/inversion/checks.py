"""What can be wrong with a generator before the first step: found, mended where safe, and said."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from preimage.core import InputError, LatentModel

COUPLING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
PROBES = 4  # latents on which a generator is tried


def in_evaluation_mode(model: LatentModel) -> list[str]:
    """Take a generator out of training mode; what had to be done, in words.

    Batch statistics make an image depend on its batch, and dropout makes it another at each call:
    with either on, no latent has an image of its own.
    """
    coupling = {type(m).__name__ for m in model.modules() if m.training and isinstance(m, COUPLING)}
    model.eval()
    if not coupling:
        return []
    return [f"the generator was in training mode ({', '.join(sorted(coupling))}); set to eval()"]


@torch.no_grad()
def check_generator(model: LatentModel, labels: Tensor | None = None) -> None:
    """Decode a few latents of the prior and look.

    Raises InputError where the images are not finite, do not depend on the latent, depend on
    the batch they are decoded in, or are of another shape than the model says.
    """
    z = probes(model)
    if labels is None:
        labels = model.labels_for(1)
        labels = None if labels is None else labels.repeat(len(z))
    x = model.decode(z, labels)
    if x.shape != (len(z), *model.data.shape):
        raise InputError(
            f"the generator gives images {tuple(x.shape[1:])}, not {model.data.shape}; check data="
        )
    if not x.isfinite().all():
        raise InputError("the generator's images are not finite (NaN or ∞); check its weights")
    if (x - x[:1]).abs().max() <= 1e-6:
        raise InputError("the generator's images do not depend on the latent; check its weights")
    alone = model.decode(z[:1], None if labels is None else labels[:1])
    if (alone - x[:1]).abs().max() > 1e-2:
        raise InputError(
            "the generator gives another image alone than in a batch; call eval() on every part "
            "of it, and freeze batch statistics"
        )


def probes(model: LatentModel, n: int = PROBES) -> Tensor:
    """A few latents (n, *shape): of the prior, or of N(0, I) where none is known."""
    if model.space.priors:
        z = model.space.sample(n, seed=0)
    else:
        z = torch.randn(n, *model.space.shape, generator=torch.Generator().manual_seed(0))
    return z.to(model.device)


def takes_gradient(model: LatentModel, labels: Tensor | None = None) -> bool:
    """Whether images carry a gradient back to the latent."""
    z = probes(model, 2).requires_grad_()
    if labels is None:
        labels = model.labels_for(1)
    labels = None if labels is None else labels[:1].repeat(2)
    with torch.enable_grad():
        x = model.decode(z, labels)
        if not x.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(x.square().sum(), z, allow_unused=True)
    return gradient is not None and bool(gradient.isfinite().all())
