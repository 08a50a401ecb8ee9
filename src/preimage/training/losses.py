"""Objectives as pure functions: tensors in, one number a sample or one for the batch out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# --- likelihoods: −log p(x|z) of each sample in nats, (B,); images (B, C, H, W) in [−1, 1] ---


def squared_error(x̂: Tensor, x: Tensor) -> Tensor:
    """Summed over pixels: (B,)."""
    return (x̂ - x).square().flatten(1).sum(1)


def bernoulli_nll(x̂: Tensor, x: Tensor) -> Tensor:
    """Binary cross-entropy summed over pixels, both brought to [0, 1]: (B,)."""
    p, target = (x̂ + 1) / 2, (x + 1) / 2
    p = 1e-6 + (1 - 2e-6) * p  # off 0 and 1, where a clamp would leave no gradient to come back by
    sound = p.isfinite()  # torch refuses others, and a loss of NaN is but a skipped step
    nll = F.binary_cross_entropy(torch.where(sound, p, 0.5), target, reduction="none")
    return torch.where(sound, nll, torch.nan).flatten(1).sum(1)


def gaussian_nll(x̂: Tensor, x: Tensor, *, sigma: float) -> Tensor:
    """−log N(x; x̂, σ² I) without its constant: (B,). At σ = √½ it is the squared error."""
    return squared_error(x̂, x) / (2 * sigma**2)


def optimal_sigma_nll(x̂: Tensor, x: Tensor) -> Tensor:
    """−log N(x; x̂, σ² I) at the σ that is best for this batch, without its constant: ().

    σ² = MSE(batch) gives D/2 · log MSE: Rybkin et al. 2021, "Simple and Effective VAE Training
    with Calibrated Decoders", equation 8. log σ is softly clipped at −6, as they do.
    """
    D = x[0].numel()
    log_sigma = 0.5 * (x̂ - x).square().mean().clamp_min(1e-12).log()
    log_sigma = -6 + F.softplus(log_sigma + 6)
    return D * log_sigma


def hoyer_sparsity(z: Tensor) -> Tensor:
    """‖z‖₁ / ‖z‖₂ of each sample, from 1 (one latent active) to √d (all alike): (B,).

    Free of scale, so that small latents and a large decoder cannot cheat it (Hoyer 2004).
    """
    z = z.flatten(1)
    return z.abs().sum(1) / z.norm(dim=1).clamp_min(1e-8)


# --- adversarial losses: logits of real and fake images, (B, P) → () ---


def minimax_critic(real: Tensor, fake: Tensor) -> Tensor:
    """−E log D(x) − E log(1 − D(G(z))): Goodfellow et al. 2014, equation 1."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def minimax_generator(real: Tensor, fake: Tensor) -> Tensor:
    """E log(1 − D(G(z))), which saturates where the critic wins."""
    return -F.softplus(fake).mean()


def non_saturating_generator(real: Tensor, fake: Tensor) -> Tensor:
    """−E log D(G(z)): Goodfellow et al. 2014, §3."""
    return F.softplus(-fake).mean()


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Lim & Ye 2017; Miyato et al. 2018, equation 16."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E D(G(z)) − E D(x): Arjovsky et al. 2017, equation 3."""
    return fake.mean() - real.mean()


def wasserstein_generator(real: Tensor, fake: Tensor) -> Tensor:
    return -fake.mean()


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E softplus(−(D(x) − D(G(z)))), paired: Jolicoeur-Martineau 2019; R3GAN, equation 2."""
    return F.softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(real - fake).mean()


ADVERSARIAL = {
    "minimax": (minimax_critic, minimax_generator),
    "non-saturating": (minimax_critic, non_saturating_generator),
    "hinge": (hinge_critic, wasserstein_generator),
    "wasserstein": (wasserstein_critic, wasserstein_generator),
    "relativistic": (relativistic_critic, relativistic_generator),
}
"""Name → (critic's loss, generator's loss)."""

RELATIVISTIC = {"relativistic"}
"""Those whose generator's loss looks at the logits of real images too."""


# --- penalties on the critic's slope ---


def squared_slope(logits: Tensor, x: Tensor) -> Tensor:
    """‖∇ₓ D(x)‖² of each image, summed over its pixels and differentiable: (B,).

    R1 on real images, R2 on fakes (Mescheder et al. 2018, equation 9).
    """
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return slope.float().square().flatten(1).sum(1)


def lipschitz_penalty(logits: Tensor, x: Tensor) -> Tensor:
    """(‖∇ₓ D(x)‖ − 1)² of each image: (B,). Gulrajani et al. 2017, equation 3."""
    return ((squared_slope(logits, x) + 1e-12).sqrt() - 1).square()


def interpolates(real: Tensor, fake: Tensor) -> Tensor:
    """Points at a random place between each real image and its fake (Gulrajani et al., §4)."""
    t = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    return torch.lerp(real, fake, t)
