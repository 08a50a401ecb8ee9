"""A pool of decoding processes that outlives any of them.

The standard library's pools give up as a whole when one process dies, and cannot end one that
hangs. Here the image that a process died on, or spent too long on, is reported as bad, and a new
process takes up the rest. Processes are started from the interpreter and not forked, so neither
threads of the caller nor its unguarded main module get in the way.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

CHUNK = 32  # images handed to a process at a time
PATIENCE = 60.0  # seconds one image may take

_Job = dict[str, Any]
_Answer = dict[str, Any]
_Chunk = tuple[dict[str, Any], list[_Job]]  # settings, jobs

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from preimage.data.worker import main; main()"
)


class Pool:
    """Decoding processes, started when there is work and ended with the `with` block."""

    def __init__(self, workers: int, *, patience: float = PATIENCE):
        self.workers, self.patience = workers, patience
        self.todo: queue.SimpleQueue[_Chunk | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[_Answer | BaseException] = queue.SimpleQueue()
        self.handlers: list[_Handler] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for handler in self.handlers:
            handler.stop()
            self.todo.put(None)
        for handler in self.handlers:
            handler.join()

    def run(self, jobs: Sequence[_Job], settings: dict[str, Any]) -> Iterator[_Answer]:
        """Answers to the jobs, in the order they come; a failed one has a "reason".

        Each job has an "index", and each answer the index of its job.
        """
        chunks = [list(jobs[i : i + CHUNK]) for i in range(0, len(jobs), CHUNK)]
        for chunk in chunks:
            self.todo.put((settings, chunk))
        while len(self.handlers) < min(self.workers, len(chunks)):
            self.handlers.append(_Handler(self.todo, self.answers, self.patience))
            self.handlers[-1].start()
        for _ in jobs:
            answer = self._next()
            if isinstance(answer, BaseException):
                raise answer
            yield answer

    def _next(self) -> _Answer | BaseException:
        while True:
            try:
                return self.answers.get(timeout=0.5)
            except queue.Empty:
                for handler in self.handlers:
                    handler.end_if_stuck()


class _Handler(threading.Thread):
    """Keeps one process at work, and starts another when it is lost."""

    def __init__(
        self,
        todo: queue.SimpleQueue[_Chunk | None],
        answers: queue.SimpleQueue[_Answer | BaseException],
        patience: float,
    ):
        super().__init__(daemon=True)
        self.todo, self.answers, self.patience = todo, answers, patience
        self.process: subprocess.Popen[str] | None = None
        self.since: float | None = None  # when the image at hand was begun
        self.stuck = self.stopping = False

    def run(self) -> None:
        try:
            while (chunk := self.todo.get()) is not None and not self.stopping:
                settings, jobs = chunk
                while jobs and not self.stopping:
                    jobs = self._work(settings, jobs)
        except BaseException as error:  # handed to whoever reads the answers
            self.answers.put(error)
        finally:
            self.stop()

    def _work(self, settings: dict[str, Any], jobs: list[_Job]) -> list[_Job]:
        """Answer the jobs; what is left of them where the process was lost on the way."""
        fresh = self.process is None
        process = self.process = self.process or _start()
        assert process.stdin is not None
        assert process.stdout is not None
        self.since = time.monotonic()
        with contextlib.suppress(OSError):  # a broken pipe shows as the end of its answers
            process.stdin.write(json.dumps({"settings": settings, "jobs": jobs}) + "\n")
            process.stdin.flush()
        for done, job in enumerate(jobs):
            line = process.stdout.readline()
            if not line.endswith("\n"):
                stuck = self.stuck
                self.process, self.since, self.stuck = None, None, False
                process.kill()
                if process.wait() == 1 and fresh and done == 0 and not stuck:
                    raise RuntimeError("the process that decodes images could not be started")
                why = f"took longer than {self.patience:g} s" if stuck else "crashed the decoder"
                self.answers.put({"index": job["index"], "reason": why})
                return jobs[done + 1 :]
            self.since = time.monotonic()
            self.answers.put(json.loads(line))
        self.since = None
        return []

    def end_if_stuck(self) -> None:
        since, process = self.since, self.process
        if since is not None and process and time.monotonic() - since > self.patience:
            self.stuck = True
            process.kill()

    def stop(self) -> None:
        self.stopping = True
        if (process := self.process) is not None:
            process.kill()
            process.wait()


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _START, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )


def usable_cpus() -> int:
    """Processors this process may use, at most 8: more do not decode faster than a disk reads."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(8, len(affinity(0)) if affinity else os.cpu_count() or 1)
