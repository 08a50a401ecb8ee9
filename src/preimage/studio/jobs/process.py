"""The process that does a lane's jobs, as the queue sees it; what it runs is `worker`."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preimage.studio.jobs.queue import Job

SOFT, HARD = 3.0, 60.0  # seconds a job has to end, and one that saves itself, before it is killed


class Worker:
    """A process that does jobs, one after the other."""

    def __init__(self, folder: Path, lane: str, module: str, run: Path | None):
        command = [sys.executable, "-m", "preimage.studio.jobs.worker", module, lane]
        log_path = folder / f"{lane}.log"
        log_path.unlink(missing_ok=True)  # it may be a link, in a stranger's run
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *([str(run)] if run else [])],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a cancel ends what the job has started too
            )
        self.job: Job | None = None
        self._kill_at = math.inf

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def stopping(self) -> bool:
        """Whether it was told to end: it may do so at any moment."""
        return self._kill_at < math.inf

    @property
    def free(self) -> bool:
        """Whether it can take a job."""
        return self.job is None and self.alive and not self.stopping

    @property
    def overdue(self) -> bool:
        """Whether it was told to end, and has had its time, or nothing left to save."""
        return self.stopping and (self.job is None or time.monotonic() > self._kill_at)

    @property
    def death(self) -> str:
        """Why it ended without a word, for a person."""
        status = self.process.returncode
        if status is not None and status < 0:
            name = signal.Signals(-status).name
            why = "; the machine may be out of memory" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{why}"
        return f"its process ended unexpectedly, with status {status}"

    def take(self, job: Job) -> None:
        self.job = job
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it has just died, which the next look shows
            self.process.stdin.write(f"{job.folder.path}\n".encode())
            self.process.stdin.flush()

    def stop(self, *, saves: bool) -> None:
        """Tell it to end; where its job saves itself, it has longer for that."""
        self._kill_at = time.monotonic() + (HARD if saves else SOFT)
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it, and all it has started."""
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def close(self) -> None:
        """Let it end: at once where it idles, and when it has saved its work where it has some."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Until it has ended, or so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def _signal(self, number: int) -> None:
        """To the process and all it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)
            else:
                self.process.terminate()
