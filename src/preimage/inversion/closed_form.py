"""Where a learned encoder begins, in closed form.

The first pass is the ridge regression of latents on generated images. The later passes are the
regression of what is still to find on what is still to see or, where they are told the slope, the
average Gauss–Newton step (E[JᵀJ] + λ I)⁻¹ Jᵀ(x − G(z)).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from preimage.core import LatentModel, seeds
from preimage.inversion.encoder import Descent, EncodedModel, Guess

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # to choose from, in mean variances of a pixel
DAMPING = (0.03, 0.1, 0.3, 1.0)  # λ of the Gauss–Newton step, in means of its diagonal
MOMENTUM = (0.3, 0.6, 0.8)
PROBES = 2048  # of JᵀJ
BATCH = 256


@torch.no_grad()
def start_in_closed_form(
    model: EncodedModel, judged: Tensor, labels: Tensor | None, *, pairs: int, seed: int
) -> None:
    """Set the linear part of the first pass, then that of those which follow.

    pairs: how many are generated for the regression.
    judged: images (M, C, H, W), and their labels, by which the strength of the ridge is chosen:
    what is best on generated images leaves too much noise on real ones.
    """
    encoder, starts = model.encoder, _Starts(model, judged, labels)
    starts.take_best(_ridge_maps(encoder.first, *_regression(model, pairs, first=True, seed=seed)))
    if encoder.descent is not None:
        starts.take_best(_gauss_newton_steps(model, encoder.descent, seed=seed), all_passes=True)
    elif encoder.again is not None:
        pairs_again = _regression(model, pairs, first=False, seed=seed)
        starts.take_best(_ridge_maps(encoder.again, *pairs_again), all_passes=True)


Choice = list[tuple[Tensor, Tensor]]  # parameters, and what they may be set to


@dataclass(frozen=True)
class _Starts:
    """Chooses among linear parts by the squared error of images (M, C, H, W)."""

    model: EncodedModel
    judged: Tensor
    labels: Tensor | None

    def take_best(self, choices: list[Choice], *, all_passes: bool = False) -> None:
        errors = []
        for choice in choices:
            _set(choice)
            errors.append(self._error(refinements=None if all_passes else 1))
        _set(choices[int(torch.stack(errors).argmin())])

    def _error(self, *, refinements: int | None) -> Tensor:
        *_, z = self.model.passes(self.judged, self.labels, refinements=refinements)
        error = (self.model.decode(z, self.labels) - self.judged).square().mean()
        return error.nan_to_num(torch.inf)


def _set(choice: Choice) -> None:
    for parameter, value in choice:
        parameter.copy_(value)


@torch.no_grad()
def centre(model: EncodedModel, *, seed: int, count: int = 4096) -> None:
    """Set the centre and the scale of the encoder's latents, and what the centre decodes to."""
    encoder, space = model.encoder, model.space
    z = space.draw(count, seeds.generator(seed, "scale")).flatten(1).to(encoder.centre.device)
    encoder.centre.copy_(space.mean().flatten())
    encoder.scale.copy_(z.std(0).clamp_min(1e-6))
    n = max(len(model.classes), 1)
    labels = torch.arange(n, device=z.device) if model.classes else None
    encoder.central.copy_(model.decode(encoder.start(n, None).z, labels))


def drawn_labels(model: LatentModel, n: int) -> Tensor | None:
    """Random classes (n,) of a conditional model, by torch's current generator."""
    if not model.conditional:
        return None
    return torch.randint(len(model.classes), (n,)).to(model.device)


def _guesses(
    model: EncodedModel, n: int, *, first: bool, seed: int
) -> Iterator[tuple[Tensor, Tensor, Guess]]:
    """n generated latents and images, and what is known of them before a pass, in batches."""
    for begin in range(0, n, BATCH):
        size = min(BATCH, n - begin)
        z = model.space.draw(size, seeds.generator(seed, "pairs", begin)).to(model.device)
        labels = None
        if model.classes:
            labels = torch.arange(size, device=z.device) % len(model.classes)
        x = model.decode(z, labels).float()
        guess = model.encoder.start(size, labels)
        if not first:
            found = model.encoder(model.encoder.look(x, guess, labels), guess)
            guess = model.after(guess, found, x, labels)
        yield z, x, guess


def _gauss_newton_steps(model: EncodedModel, descent: Descent, *, seed: int) -> list[Choice]:
    """W with W Wᵀ = (E[JᵀJ] + λ I)⁻¹ for each damping, J of latents as the first pass finds them.

    E[JᵀJ] = E[(Jᵀv)(Jᵀv)ᵀ] for v ~ N(0, I): one step backward for each probe v.
    """
    encoder, rows = model.encoder, []
    generator = seeds.generator(seed, "probes")
    for z, x, guess in _guesses(model, PROBES, first=False, seed=seed):
        v = torch.randn(x.shape, generator=generator).to(x.device)
        labels = None
        if model.classes:
            labels = torch.arange(len(z), device=z.device) % len(model.classes)
        with torch.enable_grad():
            at = guess.z.detach().requires_grad_()
            (row,) = torch.autograd.grad(model.decode(at, labels).float(), at, v)
        rows.append(row.flatten(1) * encoder.scale)
    g = torch.cat(rows).double()
    σ2, V = torch.linalg.eigh(g.T @ g / len(g))
    σ2 = σ2.clamp_min(0)
    bases = [(V / (σ2 + λ * σ2.mean() + 1e-12).sqrt()).float() for λ in DAMPING]
    momenta = [torch.tensor(β, device=g.device) for β in MOMENTUM]
    return [[(descent.basis, W), (descent.momentum, β)] for W, β in product(bases, momenta)]


def _regression(model: EncodedModel, n: int, *, first: bool, seed: int) -> tuple[Tensor, Tensor]:
    """What the linear part sees (n, D), and the change of latents it should find (n, d)."""
    inputs, outputs = [], []
    for z, x, guess in _guesses(model, n, first=first, seed=seed):
        inputs.append(model.encoder.reduced(x - guess.x̂))
        outputs.append((z - guess.z).flatten(1) / model.encoder.scale)
    return torch.cat(inputs), torch.cat(outputs)


def _ridge_maps(layer: nn.Linear, e: Tensor, u: Tensor) -> list[Choice]:
    """The layer as the regression of u (N, d) on e (N, D), for each ridge."""
    ē, ū = e.mean(0), u.mean(0)
    e = e - ē
    C, R = (e.T @ e).double(), (e.T @ (u - ū)).double()  # the smallest ridges need the digits
    λ = C.diagonal().mean() * torch.eye(len(C), device=C.device) + 1e-12
    maps: list[Choice] = []
    for ridge in RIDGES:
        W = torch.cholesky_solve(R, torch.linalg.cholesky(C + ridge * λ)).T.float()
        maps.append([(layer.weight, W), (layer.bias, ū - W @ ē)])
    return maps
