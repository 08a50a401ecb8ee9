"""Editing: an image moved in the latent space, and what the edit does not concern left alone.

Shen et al. 2020, "Interpreting the Latent Space of GANs for Semantic Face Editing": the image x is
inverted, its latent moved from z to z' (`moves.py`), and decoded, x' = G(z').

What the generator cannot draw of x would be lost on the way. Two remedies. Pivotal tuning (Roich et
al. 2021) teaches a copy of the generator this very image before the edit is decoded. And the
residual x − G(z) is carried over,

    x' = G(z') + (1 − λ)(x − G(z)) = x + δ − λ (x − G(z)),        δ = G(z') − G(z),

whole (λ = 0) or only where the edit changed nothing (λ → 1 where |δ| is large), since what was
residual of the old mouth is none of the new one. In the second form x' is x, to the last bit,
wherever nothing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from preimage.applications.moves import Mover
from preimage.core import InputError, LatentModel, Step
from preimage.core.errors import nearest_name
from preimage.inversion.pivotal import PivotalTuning, applied

# Of pivotal tuning: one image is as near after 100 steps as with the paper's terms after 350.
RATE, FEATURES = 5e-4, 0.0
RESIDUALS = ("unchanged", "whole", "none")
CHANGED = 0.35  # a change of this much on [−1, 1] is one that the residual does not survive
SPREAD = 1 / 64  # of an image's side: how far around a change the residual goes with it


@dataclass(frozen=True)
class Change:
    """What an edit does to images: x' = x + δ − λ (x − G(z))."""

    reconstruction: Tensor  # (B, C, H, W): G(z)
    difference: Tensor  # (B, C, H, W): δ = G(z') − G(z)
    lost: Tensor  # (B, 1, H, W) in [0, 1]: λ, how much of the residual is let go

    def of(self, x: Tensor) -> Tensor:
        """The edited images (B, C, H, W)."""
        λ = self.lost
        δ = torch.where(λ > 0, self.difference - λ * (x - self.reconstruction), self.difference)
        return (x + δ).clamp(-1, 1)

    def within(self, mask: Tensor) -> Change:
        """The change where a mask (H, W) or (B, 1, H, W) in [0, 1] lets it through."""
        m = mask.to(self.difference).expand_as(self.lost)
        return Change(self.reconstruction, m * self.difference, m * self.lost)

    def only(self, row: int) -> Change:
        """That of one image, (1, …)."""
        rows = slice(row, row + 1)
        return Change(self.reconstruction[rows], self.difference[rows], self.lost[rows])


@dataclass(frozen=True)
class Edit:
    """B images, edited."""

    original: Tensor  # (B, C, H, W) in [−1, 1]
    images: Tensor  # likewise: edited
    change: Change
    z: Tensor  # (B, *space.shape): where the images lie
    moved: Tensor  # likewise: where the edited ones lie
    strengths: Mapping[str, Tensor]  # by direction: (B,), how far each image was moved
    before: Mapping[str, Tensor]  # by direction: (B,), readings in the attribute's own units
    after: Mapping[str, Tensor]  # likewise
    strips: Mapping[str, Tensor] = field(default_factory=dict)  # (B, S, C, H, W), by direction
    labels: Tensor | None = None  # (B,) int64, of a conditional model
    names: tuple[str, ...] = ()
    notes: tuple[tuple[str, ...], ...] = ()  # of each image: what a person should know

    def __len__(self) -> int:
        return len(self.images)

    @staticmethod
    def concatenated(parts: Sequence[Edit]) -> Edit:
        """The images of several edits, one after another. Raises ValueError where there is none."""
        return Edit(**{f.name: _joined([getattr(p, f.name) for p in parts]) for f in fields(Edit)})

    @property
    def reconstruction(self) -> Tensor:
        """What the model made of the images before anything moved."""
        return self.change.reconstruction


@dataclass(frozen=True)
class Editor:
    """A generator, the moves to make, and what is to be done about what it cannot draw."""

    model: LatentModel  # the generator itself, without a learned encoder
    moves: Mover
    residual: str = "unchanged"
    tune: int = 0  # steps of pivotal tuning for each image; 0 for none
    seed: int = 0

    def __post_init__(self) -> None:
        if self.residual not in RESIDUALS:
            raise InputError(
                f"no residual '{self.residual}'; {nearest_name(self.residual, RESIDUALS)}"
            )
        if self.tune < 0:
            raise InputError(f"tune={self.tune} steps are none; give 0 or more")
        self.moves.check(self.model)

    def edit(
        self,
        x: Tensor,  # (B, C, H, W) in [−1, 1]
        z: Tensor,  # (B, *space.shape): the latents found behind them
        labels: Tensor | None = None,  # (B,), of a conditional model
        *,
        mask: Tensor | None = None,  # (H, W) or (B, 1, H, W) in [0, 1]: where they may change
        strip: Sequence[float] = (),  # strengths to show each direction at, the others as asked
        names: tuple[str, ...] = (),
        progress: Callable[[Step], None] | None = None,
    ) -> Edit:
        """Move the latents and decode: no image's answer depends on the others'."""
        strengths = self.moves.strengths(z)
        moved = self.moves.moved(z, strengths)
        places = [z, moved]
        for name in strengths if strip else ():
            for s in strip:
                others = {**strengths, name: torch.full((len(z),), float(s))}
                places.append(self.moves.moved(z, others))
        decoded = self._decoded(x, torch.stack(places, 1), labels, progress)  # (B, P, C, H, W)
        changes = [self._change(decoded[:, 0], decoded[:, p]) for p in range(1, len(places))]
        if mask is not None:
            changes = [change.within(mask) for change in changes]
        images = [change.of(x) for change in changes]
        strips = {}
        if strip:
            rows = torch.stack(images[1:], 1).unflatten(1, (len(strengths), len(strip)))
            strips = {name: rows[:, i] for i, name in enumerate(strengths)}
        readings = [self.moves.readings(z, s) for s in ({}, strengths)]
        return Edit(
            x, images[0], changes[0], z, moved, strengths, readings[0], readings[1],
            strips, labels, names, tuple(self.moves.notes(z, strengths)),
        )  # fmt: skip

    def _decoded(
        self,
        x: Tensor,
        places: Tensor,  # (B, P, *space.shape)
        labels: Tensor | None,
        progress: Callable[[Step], None] | None,
    ) -> Tensor:
        """The images at all places, of each image's own generator where it is tuned."""
        if not self.tune:
            return self._decode(places, labels)
        found = []
        for i in range(len(x)):
            y = None if labels is None else labels[i : i + 1]
            tuning = PivotalTuning(
                self.model, x[i : i + 1], places[i : i + 1, 0], labels=y, steps=self.tune,
                learning_rate=RATE, features=FEATURES, seed=self.seed,
            )  # fmt: skip
            for step in tuning:
                if progress is not None:
                    progress(step)
            with applied(self.model, tuning.difference()):
                found.append(self._decode(places[i : i + 1], y))
        return torch.cat(found)

    @torch.no_grad()
    def _decode(self, places: Tensor, labels: Tensor | None) -> Tensor:
        B, P = places.shape[:2]
        y = None if labels is None else labels.repeat_interleave(P).to(self.model.device)
        images = self.model.decode(places.flatten(0, 1).to(self.model.device), y)
        return images.float().cpu().unflatten(0, (B, P))

    def _change(self, reconstruction: Tensor, decoded: Tensor) -> Change:
        δ = decoded - reconstruction
        if self.residual == "unchanged":
            return Change(reconstruction, δ, changed(δ))
        λ = torch.full_like(δ[:, :1], float(self.residual == "none"))
        return Change(reconstruction, δ, λ)


def changed(δ: Tensor) -> Tensor:
    """λ = 1 − exp(−(|δ| / `CHANGED`)⁴) of changes (B, C, H, W): (B, 1, H, W), in [0, 1].

    |δ| is the largest around a pixel; λ is exactly 0 where nothing around changed.
    """
    radius = max(1, round(SPREAD * min(δ.shape[2:])))
    size = 2 * radius + 1
    largest = F.max_pool2d(δ.abs().amax(1, keepdim=True), size, stride=1, padding=radius)
    λ = 1 - torch.exp(-((largest / CHANGED) ** 4))
    padded = F.pad(λ, (radius,) * 4, mode="replicate")
    return F.avg_pool2d(padded, size, stride=1)


def _joined(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, Change):
        return Change(*(_joined([getattr(v, f.name) for v in values]) for f in fields(Change)))
    if isinstance(first, Mapping):
        return {name: _joined([value[name] for value in values]) for name in first}
    return None if first is None else tuple(item for value in values for item in value)
