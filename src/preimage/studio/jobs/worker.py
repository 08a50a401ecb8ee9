"""A job's process: `python -m preimage.studio.jobs.worker KINDS LANE [RUN]`, fed folders by line.

It imports what jobs need before the first one comes, and stays for the next, so that an inversion
begins at once. A job that ends the process ends nothing else. When its input closes, the studio has
ended: work that can be saved is saved, and the process ends too.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from preimage.core import InputError
from preimage.studio.jobs.folder import JobFolder
from preimage.studio.jobs.working import Bench, Working

try:
    import fcntl
except ImportError:  # Windows: a process that outlives its studio is then not waited for
    fcntl = None

SAVING = 60.0  # seconds that work may take to save itself when the studio has ended
POLITE = 5  # how much lower the priority of long work is than that of the page


def main(arguments: list[str]) -> None:
    module, lane, *run = arguments
    faulthandler.enable()
    kinds = importlib.import_module(module).KINDS
    bench = Bench()
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    if lane != "now" and hasattr(os, "nice"):
        os.nice(POLITE)
    if run and lane == "now":
        with contextlib.suppress(InputError):  # the first job will say what is wrong
            bench.inverter(Path(run[0]))
    while path := lines.get():
        _do(JobFolder(Path(path)), kinds, bench)


def _listen(lines: queue.SimpleQueue[str]) -> None:
    """Hand lines on; at their end, end."""
    for line in sys.stdin:
        lines.put(line.strip())
    lines.put("")
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(SAVING)
    os._exit(1)


def _do(folder: JobFolder, kinds: dict[str, Any], bench: Bench) -> None:
    """One job from beginning to end; whatever it raises is written down."""
    _print_to(folder.path / "log")
    attempt = folder.record.attempt
    with (folder.path / "lock").open("w") as lock:
        if fcntl is not None:  # a process that outlived its studio may be saving this very job
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            job = Working(folder, bench)
            kind = kinds[job.record.kind]
            with _stopped_softly(job) if kind.saves else contextlib.nullcontext():
                result = kind.work(job)
                folder.end(attempt, result=result, stopped=job.stopping)
        except InputError as error:
            _failed(folder, attempt, str(error))
        except Exception as error:
            traceback.print_exc()
            _failed(
                folder, attempt, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            )


def _failed(folder: JobFolder, attempt: int, message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    with contextlib.suppress(InputError):  # a full disk: the queue sees no outcome, and says so
        folder.end(attempt, error=message)


@contextlib.contextmanager
def _stopped_softly(job: Working) -> Any:
    """Within it, SIGTERM asks the job to save and end."""

    def stop(number: int, frame: Any) -> None:
        job.stopping = True

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_to(path: Path) -> None:
    """All that this process and its libraries print from now on goes to the job's log."""
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


if __name__ == "__main__":
    main(sys.argv[1:])
