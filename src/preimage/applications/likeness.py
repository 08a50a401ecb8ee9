"""What makes two images alike: a map of latents, or of features, after which distance is Euclidean.

    v(x) = (x − μ) A,  divided by its length where the angle is what counts.

latent      A = I: latents as they are
cosine      the angle between latents, as seen from their mean
whitened    A Aᵀ = Σ⁻¹ of latents: Mahalanobis' distance
decoder     A Aᵀ = E[JᵀJ]: how far apart decoded images lie, to first order; the pullback metric of
            the decoder (Arvanitidis et al., "Latent Space Oddity", 2018), averaged over the data
steady      A Aᵀ = S⁻¹, then the angle. S is the scatter of z(x̃) − z(x), x̃ being x moved a little,
            turned, scaled and lit otherwise: what such changes do to a latent counts for little.
            Relevant component analysis (Shental et al., "Adjustment Learning and Relevant Component
            Analysis", 2002) where an image and its changes are the chunklets, so no labels.
features    the same of what the model's own encoder or critic sees, instead of latents
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.core import InputError, LatentModel, Unsupported
from preimage.core.errors import nearest_name

KINDS = ("latent", "cosine", "whitened", "decoder", "steady", "features")
DEFAULT = "steady"  # it was better than pixels and PCA wherever it was measured
ANGLES = ("cosine", "steady", "features")  # those in which length says nothing
RIDGES = {"whitened": 0.01, "steady": 0.05, "features": 0.01}  # of the mean variance: no direction
# counts for more than this allows. Chosen on training images of garments and of faces
TURN, SCALE, SHIFT, LIGHT = 8.0, 0.08, 0.06, 0.1  # degrees; shares of the side and of the range
CHANGES = 8  # of each image
WIDEST = 128  # numbers of a vector, of more those that vary most
POINTS = 64  # at which the decoder's metric is averaged
PROBES = 8  # random images that each Jacobian is asked by


@dataclass(frozen=True)
class Likeness:
    """v(x) = (x − μ) A, perhaps of unit length."""

    kind: str  # one of KINDS
    mean: np.ndarray  # μ, (D,) float32
    matrix: np.ndarray  # A, (D, d)

    @property
    def of_features(self) -> bool:
        return self.kind == "features"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Latents or features (N, D) → (N, d) float32."""
        v = (np.asarray(x, np.float32) - self.mean) @ self.matrix
        if self.kind in ANGLES:
            v /= np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12)
        return v


def check_kind(kind: str, model: LatentModel) -> str:
    """What "auto" means, or the kind itself. Raises InputError where it is not to be had."""
    if kind == "auto":
        return DEFAULT
    if kind not in KINDS:
        raise InputError(f"no metric '{kind}'; {nearest_name(kind, KINDS)}")
    if kind == "features" and not model.can("features"):
        raise Unsupported("this model has no features of its own; choose --metric steady")
    return kind


def fit(
    kind: str,
    x: Tensor,  # latents or features (N, D) of the data
    changed: Sequence[Tensor] = (),  # the same of the data with small changes, (N, D) each
    gram: Tensor | None = None,  # E[JᵀJ] of the decoder, (D, D)
) -> Likeness:
    """What "steady" and "features" need `changed` for, and "decoder" `gram`."""
    x = x.double()
    μ, D = x.mean(0), x.shape[1]
    if kind in ("latent", "cosine"):
        A = torch.eye(D, dtype=torch.float64)
    elif kind == "whitened":
        A = _inverse_root((x - μ).T @ (x - μ) / len(x), RIDGES[kind])
    elif kind == "decoder":
        assert gram is not None
        A = _root(gram.double())
    else:
        δ = torch.cat([other.double() - x for other in changed])
        A = _inverse_root(δ.T @ δ / len(δ), RIDGES[kind])
        A = A @ _axes((x - μ) @ A)
    return Likeness(kind, μ.float().numpy(), A.float().numpy())


def _inverse_root(C: Tensor, ridge: float) -> Tensor:
    """(C + ridge)^(−½), to a scale of its own: distances compare with one another only."""
    λ, V = torch.linalg.eigh(C)
    mean = λ.mean().clamp_min(1e-12)
    return V * (λ.clamp_min(0) / mean + ridge).rsqrt()


def _axes(v: Tensor) -> Tensor:
    """The directions (D, d) in which vectors (N, D) lie, the most telling of them."""
    _, V = torch.linalg.eigh(v.T @ v)
    return V.flip(1)[:, :WIDEST]


def _root(C: Tensor) -> Tensor:
    λ, V = torch.linalg.eigh(C)
    return V * λ.clamp_min(0).sqrt()


def slightly_changed(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W) moved a little, turned, scaled and lit otherwise, each its own way."""

    def uniform(reach: float) -> Tensor:
        return (2 * torch.rand(len(x), generator=generator) - 1) * reach

    angle, scale = uniform(math.radians(TURN)), 1 + uniform(SCALE)
    A = torch.zeros(len(x), 2, 3)
    A[:, 0, 0] = A[:, 1, 1] = angle.cos() * scale
    A[:, 1, 0] = angle.sin() * scale
    A[:, 0, 1] = -A[:, 1, 0]
    A[:, :, 2] = 2 * torch.stack([uniform(SHIFT), uniform(SHIFT)], 1)  # the side is 2 long
    grid = F.affine_grid(A.to(x), list(x.shape), align_corners=False)
    moved = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    contrast, light = 1 + uniform(LIGHT), uniform(LIGHT)
    lit = (moved + 1) * contrast.to(x)[:, None, None, None] - 1 + light.to(x)[:, None, None, None]
    return lit.clamp(-1, 1)


def decoder_gram(
    decode: Callable[[Tensor], Tensor],  # latents (B, *shape) → images
    z: Tensor,  # (N, *shape), where it is averaged
    generator: torch.Generator,
) -> Tensor:
    """E[JᵀJ] (D, D) of a decoder: JᵀJ = E[(Jᵀu)(Jᵀu)ᵀ] over images u of standard normal noise."""
    parts = []
    for _ in range(PROBES):
        z = z.detach().requires_grad_()
        x = decode(z).flatten(1)
        u = torch.randn(x.shape, generator=generator).to(x)
        (g,) = torch.autograd.grad((x * u).sum(), z)
        parts.append(g.flatten(1).double().cpu())
    g = torch.cat(parts)
    return g.T @ g / len(g)
