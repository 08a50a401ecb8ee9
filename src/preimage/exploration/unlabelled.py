"""Directions that nobody named: along which latents, features or images vary most.

Four answers to what "most" means. PCA: where latents themselves spread. Features: where what a
net sees in the images spreads, brought back to latents by regression (Härkönen et al.,
"GANSpace", 2020, §2.2). SeFa: what the generator's first affine map amplifies (Shen & Zhou,
"Closed-Form Factorization of Latent Semantics in GANs", 2021). Jacobian: what moves the image
most at one point (Ramesh et al., "A Spectral Regularizer for Unsupervised Disentanglement", 2018).

One unit of strength is one standard deviation of the latents along the direction; a direction
points to where its largest coefficient is positive.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from preimage.core import InputError, LatentModel
from preimage.core.words import counted
from preimage.exploration.direction import Direction, bare, owner
from preimage.exploration.first_affine import rows
from preimage.inversion.jacobian import jacobian
from preimage.inversion.objective import Objective
from preimage.inversion.operators import Identity
from preimage.inversion.problem import Problem
from preimage.inversion.terms import L2

METHODS = ("pca", "features", "sefa", "jacobian")


def pca(
    latents: Tensor,  # (N, *space.shape)
    *,
    count: int = 8,
    model: str,  # fingerprint of the model the latents are of
) -> list[Direction]:
    """The principal components of latents, widest first; `explained` is each one's variance.

    Of latents drawn from N(0, I) no direction is wider than another: give those of images.

    Raises InputError where there are fewer latents or dimensions than directions wanted.
    """
    components, shares = _principal(latents.flatten(1), count)
    return [
        _direction(v, latents, f"pca-{k}", model, "pca", explained=share)
        for k, (v, share) in enumerate(zip(components, shares.tolist(), strict=True), 1)
    ]


def feature_pca(
    latents: Tensor,  # (N, *space.shape)
    features: Tensor,  # (N, F): of the images that the latents decode to
    *,
    count: int = 8,
    model: str,
) -> list[Direction]:
    """The principal components of features, each as the latents' regression on its coordinate.

    u = Σᵢ zᵢxᵢ / Σᵢ xᵢ², with x the coordinate and z centred (GANSpace, equation 2). `explained` is
    the component's share of the features' variance, `linear` the share of its own variance that
    a linear function of the latent gives.
    """
    if len(features) != len(latents):
        raise InputError(f"{len(features)} features of {len(latents)} latents; give one of each")
    features = features.flatten(1).double()
    components, shares = _principal(features, count)
    x = (features - features.mean(0)) @ components.T  # (N, count)
    z = latents.flatten(1).double()
    z = z - z.mean(0)
    u = (z.T @ x / x.square().sum(0)).T  # (count, d)
    fitted = z @ torch.linalg.lstsq(z, x).solution
    linear = fitted.square().sum(0) / x.square().sum(0)
    return [
        _direction(
            u[k],
            latents,
            f"features-{k + 1}",
            model,
            "features",
            explained=shares[k].item(),
            linear=linear[k].item(),
        )
        for k in range(count)
    ]


def sefa(
    model: LatentModel,
    latents: Tensor,  # (N, *space.shape): for the unit; the map is taken at the first
    *,
    count: int = 8,
    labels: Tensor | None = None,  # (N,), of a conditional model
    space: str | None = None,
) -> list[Direction]:
    """The eigenvectors of AᵀA, largest first, of the first affine maps the latent meets.

    Each row of A (one output of the layer) is brought to unit length, as the authors' code does;
    it leaves the eigenvalues unsorted. `explained` is the eigenvalue's share of their sum.
    """
    d = latents[0].numel()
    _check_count(count, len(latents), d)
    y = None if labels is None else labels[:1].to(model.device)
    AA = torch.zeros(d, d, dtype=torch.float64)
    for block in rows(model, latents[:1].to(model.device), y, space=space):
        A = block.double().cpu()
        A = A / A.norm(dim=1, keepdim=True).clamp_min(1e-300)
        AA += A.T @ A
    eigenvalues, vectors = torch.linalg.eigh(AA)  # ascending
    return [
        _direction(
            vectors[:, -k],
            latents,
            f"sefa-{k}",
            owner(model),
            "sefa",
            space=space,
            explained=(eigenvalues[-k] / eigenvalues.sum()).item(),
        )
        for k in range(1, count + 1)
    ]


@torch.no_grad()
def jacobian_svd(
    model: LatentModel,
    z: Tensor,  # (*space.shape): the point
    latents: Tensor,  # (N, *space.shape): for the unit
    *,
    count: int = 8,
    label: Tensor | None = None,  # (), of a conditional model
) -> list[Direction]:
    """The right singular vectors of dG/dz at a point, those that move the image most first.

    `singular_value` is the length of the image's change for a unit length of the latent's.

    Raises Unsupported where the generator has an operation without a forward-mode derivative.
    """
    _check_count(count, len(latents), z.numel())
    generator = bare(model)
    z = z[None].to(generator.device)
    y = None if label is None else label.reshape(1).to(generator.device)
    target = torch.zeros(1, *model.data.shape, device=generator.device)
    problem = Problem.of(generator, target, Objective({"l2": (1.0, L2())}), Identity(), labels=y)
    _, J = jacobian(problem, z.flatten(1))  # (1, m, d), of the root of the *mean* squared error
    _, σ, Vt = torch.linalg.svd(J[0].cpu().double() * math.sqrt(J.shape[1]), full_matrices=False)
    return [
        _direction(
            Vt[k],
            latents,
            f"jacobian-{k + 1}",
            owner(model),
            "jacobian",
            singular_value=σ[k].item(),
        )
        for k in range(count)
    ]


@torch.no_grad()
def image_features(
    model: LatentModel,
    latents: Tensor,  # (N, *space.shape)
    *,
    labels: Tensor | None = None,
    side: int = 32,
    batch_size: int = 256,
) -> Tensor:
    """What is seen in the images of latents, (N, F): the model's own features, where it has any.

    Else the images themselves, at `side` pixels where they are larger.
    """

    def parts() -> Iterable[Tensor]:
        for i in range(0, len(latents), batch_size):
            y = None if labels is None else labels[i : i + batch_size].to(model.device)
            x = model.decode(latents[i : i + batch_size].to(model.device), y)
            if model.can("features"):
                yield model.features(x).flatten(1).float().cpu()
            elif model.data.kind == "image" and max(model.data.shape[1:]) > side:
                yield torch.nn.functional.interpolate(x, (side, side), mode="area").flatten(1).cpu()
            else:
                yield x.flatten(1).float().cpu()

    return torch.cat(list(parts()))


def _principal(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Principal axes of x (N, d) as rows (count, d), and their shares of the variance (count,)."""
    from sklearn.decomposition import PCA

    _check_count(count, len(x), x.shape[1])
    found = PCA(count, random_state=0).fit(x.cpu().double().numpy())
    shares = torch.from_numpy(found.explained_variance_ratio_)
    return torch.from_numpy(found.components_), shares


def _direction(
    v: Tensor,  # (d,)
    latents: Tensor,
    name: str,
    model: str,
    method: str,
    *,
    space: str | None = None,
    **report: object,
) -> Direction:
    v = v.double().cpu()
    v = v / v.norm().clamp_min(1e-300)
    v = v * v[v.abs().argmax()].sign()
    deviation = (latents.flatten(1).cpu().double() @ v).std().item()
    return Direction(
        name=name,
        vector=(v * deviation).float().reshape(latents.shape[1:]),
        model=model,
        method=method,
        space=space,
        report={"examples": len(latents), **report},
    )


def _check_count(count: int, n: int, d: int) -> None:
    if count < 1:
        raise InputError(f"--count {count} finds nothing; give at least 1")
    if count > d:
        raise InputError(f"--count {count}: there are only {counted(d, 'direction')} to find")
    if n <= count:
        raise InputError(f"--count {count} takes more than {count} latents; there are {n}")
