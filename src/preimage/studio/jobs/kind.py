"""What a kind of job is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preimage.studio.jobs.working import Working


@dataclass(frozen=True)
class Kind:
    """How jobs of a kind are done."""

    work: Callable[[Working], dict[str, Any]]  # in the job's process; what it returns is the result
    lane: str = "now"  # of `queue.LANES`
    saves: bool = False  # whether work that is asked to end saves itself, and can go on later
