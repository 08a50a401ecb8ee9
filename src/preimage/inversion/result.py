"""What an inversion gives back: one frozen record, every quantity of which has a row an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from preimage.inversion.search import Search, Status
from preimage.inversion.solutions import Solutions
from preimage.inversion.verdict import Verdict


@dataclass(frozen=True)
class Inversion:
    """B images, the latents found behind them, and how well each was found."""

    z: Tensor  # (B, *space.shape): the latents
    images: Tensor  # (B, C, H, W) in [−1, 1]: G(z)
    target: Tensor  # (B, …): what was to be matched, y
    observed: Tensor  # (B, …): what was matched, A(G(z))
    error: Tensor  # (B,): mean squared error of `observed`, over the values that were seen
    objective: Tensor  # (B,): F(z), which was minimised
    start: Tensor  # (B, *space.shape): where the search began
    status: Tensor  # (B,) int64 of Status: why it ended
    iterations: Tensor  # (B,) int64
    evaluations: Tensor  # (B,) int64: decodings; a Jacobian counts one for each latent
    trace: Tensor  # (B, T): the lowest F after the iterations that `recorded` names
    labels: Tensor | None = None  # (B,) int64: the class given or found, of a conditional model
    verdicts: tuple[Verdict, ...] | None = None  # where a calibration is known
    solutions: tuple[Solutions, ...] | None = None  # where restarts were asked for
    latent_std: Tensor | None = None  # (B, *space.shape), where the posterior was asked for
    undetermined: tuple[str, ...] | None = None  # likewise, in words
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.z)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why each search ended, in words."""
        return tuple(Status(int(s)).sentence for s in self.status)

    @classmethod
    def concatenated(cls, parts: Sequence[Inversion]) -> Inversion:
        """The images of several inversions one after another; traces are drawn out to one length.

        Raises ValueError where there is none.
        """
        length = max(part.trace.shape[1] for part in parts)
        parts = [replace(part, trace=_drawn_out(part.trace, length)) for part in parts]
        return cls(**{f.name: _joined([getattr(p, f.name) for p in parts]) for f in fields(cls)})


def recorded(iteration: int) -> bool:
    """Whether a trace keeps an iteration: each of the first 32, then 16 of every octave."""
    return iteration < 32 or iteration % (1 << (iteration.bit_length() - 5)) == 0


def recorded_iterations(length: int) -> list[int]:
    """The iterations that the first `length` columns of a trace belong to."""
    found, i = [], 0
    while len(found) < length:
        if recorded(i):
            found.append(i)
        i += 1
    return found


class Trace:
    """Collects the losses of a batch of searches, iteration by iteration."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.iteration = 0

    def add(self, search: Search) -> None:
        if recorded(self.iteration):
            self.losses.append(search.loss.detach().cpu().clone())
        self.iteration += 1

    def tensor(self) -> Tensor:
        """(B, T)."""
        return torch.stack(self.losses, 1)


def _drawn_out(trace: Tensor, length: int) -> Tensor:
    """(B, T) → (B, length): what ended early stays at its last loss."""
    missing = length - trace.shape[1]
    return torch.cat([trace, trace[:, -1:].expand(-1, missing)], 1)


def _joined(values: Iterable[Any]) -> Any:
    values = list(values)
    if any(value is None for value in values):
        return None
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return tuple(item for value in values for item in value)
