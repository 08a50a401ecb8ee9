"""What long work yields, so that a command line, a studio and a test can all follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One step of long work."""

    step: int  # steps done
    total: int  # steps in all
    metrics: Mapping[str, float] = field(default_factory=dict)
    previews: Mapping[str, Tensor] = field(default_factory=dict)  # name → (B, C, H, W) in [−1, 1]
    stage: str = ""  # what is being done, in a word
    notes: tuple[str, ...] = ()  # sentences a person should read: warnings, decisions
