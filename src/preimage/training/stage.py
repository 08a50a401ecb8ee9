"""What a stage of training is: its options, and the contract between a method and the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from preimage.core import InputError, LatentModel, seeds
from preimage.core.errors import nearest_name
from preimage.data import Dataset
from preimage.training.order import Order, Poisson

DECAYS: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.5 + 0.5 * math.cos(math.pi * progress),
    "linear": lambda progress: 1 - progress,
}
"""Name → the share of the learning rate left, as training goes from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Options every stage has."""

    # of the figure checkpoints are judged by, relative: the latest of those within it is best
    scatter: ClassVar[float] = 0.0
    # whether all that is drawn is secret, and the last weights are kept, whoever judges them best
    private: ClassVar[bool] = False

    steps: int = 5000
    batch_size: int = 128
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)  # of Adam
    warmup: int = 50  # steps of linear warm-up
    decay: str = "cosine"  # how the learning rate falls: a key of DECAYS
    final: float = 0.02  # share of it that is left at the end
    clip: float = 0.0  # largest gradient norm; none where 0
    ema: float = 0.0  # decay of the exponential moving average of weights; none where 0
    flip: bool = False  # mirror images at random

    def __post_init__(self):
        if self.decay not in DECAYS:
            raise InputError(f"no decay '{self.decay}'; {nearest_name(self.decay, DECAYS)}")

    def planned(self, n: int) -> Stage:
        """The stage for n training images, with everything settled that follows from them."""
        return self

    def order(self, context: Context, number: int) -> Order | Poisson:
        """Which training images each step of this stage, the `number`-th, sees."""
        seed = seeds.derive(context.seed, "order", number)
        return Order(context.data.train, batch_size=self.batch_size, seed=seed)

    def method(self, model: LatentModel, context: Context) -> Method:
        """The method that carries this stage out."""
        raise NotImplementedError

    def rate(self, step: int) -> float:
        """The share of the learning rate at a step: linear warm-up, then the decay."""
        warm = min(1.0, (step + 1) / (self.warmup + 1))
        progress = min(step / max(self.steps, 1), 1.0)
        return warm * (self.final + (1 - self.final) * DECAYS[self.decay](progress))


@dataclass(frozen=True)
class Batch:
    """Images (B, C, H, W) in [−1, 1] and their labels, if there are any."""

    x: Tensor
    labels: Tensor | None = None
    coefficients: bool = False  # x is not images but their principal coefficients (B, K)


@dataclass(frozen=True)
class Update:
    """One loss for one player to descend, or gradients that came of many."""

    player: str
    loss: Tensor | None = None  # ()
    metrics: Mapping[str, Tensor | float] = field(default_factory=dict)
    gradients: Sequence[Tensor] = ()  # in the place of a loss: one for each of its parameters


@dataclass(frozen=True)
class Context:
    """What a method may use besides its model."""

    data: Dataset
    device: torch.device
    bfloat16: bool  # whether forward passes run under autocast
    seed: int
    secret: int = 0  # what private stages draw from in the place of the seed

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


@dataclass(frozen=True)
class Player:
    """Parameters that one optimizer moves, in groups with a factor on the learning rate each."""

    groups: list[tuple[list[nn.Parameter], float]]
    clip: float = 0.0


class Method(Protocol):
    """How one stage teaches a model."""

    metric: str  # the validation figure that says which checkpoint is best; lower is better

    def players(self) -> dict[str, Player]: ...

    def begin(self) -> tuple[str, ...]:
        """Before the first step; returns sentences for the person who watches."""
        ...

    def batch(self, indices: np.ndarray, mirrored: Tensor | None = None) -> Batch:
        """The training images of these indices, some of them (B,) mirrored."""
        ...

    def updates(self, batch: Batch, *, step: int) -> Iterator[Update]:
        """The step's losses in turn; the loop descends each before it asks for the next."""
        ...

    def validate(self, model: LatentModel) -> tuple[dict[str, float], tuple[str, ...]]:
        """Figures on held-out images, the metric among them, and warnings."""
        ...

    def finish(self, model: LatentModel) -> None:
        """After the last step, on the best model of the stage."""
        ...


def chunks(indices: object, size: int) -> Iterator[object]:
    """Consecutive slices of an array."""
    for first in range(0, len(indices), size):  # type: ignore[arg-type]
        yield indices[first : first + size]  # type: ignore[index]
