"""Ctrl-C during long work: the first saves and ends, the second ends at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from preimage.core import Step

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPING = b"\npreimage: saving after this step; once more ends at once, at what was saved last\n"


class Job(Protocol):
    """Long work that can be asked to end."""

    def stop(self) -> None: ...

    def __iter__(self) -> Iterator[Step]: ...


def followed(job: Job, bar: Callable[[Step], None]) -> list[int]:
    """Show every step of a job until it ends, or a signal ends it; returns the signals seen."""
    with saved_on_signal(job) as signals:
        for step in job:
            bar(step)
    return signals


@contextmanager
def saved_on_signal(job: Job) -> Iterator[list[int]]:
    """Within it, the first SIGINT or SIGTERM ends the job softly; yields the signals seen."""
    seen: list[int] = []

    def stop(number: int, frame: Any) -> None:
        seen.append(number)
        job.stop()
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        os.write(2, STOPPING)  # `print` may be what was interrupted, and cannot be entered twice

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
