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
from typing import IO, Any

CHUNK = 32  # images handed to a process at a time
PATIENCE = 60.0  # seconds one image may take

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from preimage.data.worker import main; main()"
)


def run(
    jobs: Sequence[dict[str, Any]],  # each with an "index"
    settings: dict[str, Any],
    *,
    workers: int,
    patience: float = PATIENCE,
) -> Iterator[dict[str, Any]]:
    """Answers to the jobs, in the order they come; a failed one has a "reason"."""
    todo: queue.SimpleQueue[list[dict[str, Any]]] = queue.SimpleQueue()
    for first in range(0, len(jobs), CHUNK):
        todo.put(list(jobs[first : first + CHUNK]))
    answers: queue.SimpleQueue[dict[str, Any] | BaseException] = queue.SimpleQueue()
    count = min(workers, -(-len(jobs) // CHUNK))
    handlers = [_Handler(todo, answers, json.dumps(settings), patience) for _ in range(count)]
    for handler in handlers:
        handler.start()
    try:
        for _ in range(len(jobs)):
            while True:
                try:
                    answer = answers.get(timeout=0.5)
                    break
                except queue.Empty:
                    for handler in handlers:
                        handler.end_if_stuck()
            if isinstance(answer, BaseException):
                raise answer
            yield answer
    finally:
        for handler in handlers:
            handler.stop()
            handler.join()


class _Handler(threading.Thread):
    """Keeps one process at work, and starts another when it is lost."""

    def __init__(
        self,
        todo: queue.SimpleQueue[list[dict[str, Any]]],
        answers: queue.SimpleQueue[dict[str, Any] | BaseException],
        settings: str,
        patience: float,
    ):
        super().__init__(daemon=True)
        self.todo, self.answers, self.settings, self.patience = todo, answers, settings, patience
        self.process: subprocess.Popen[str] | None = None
        self.since: float | None = None  # when the image at hand was begun
        self.stuck = self.stopping = False

    def run(self) -> None:
        with contextlib.suppress(queue.Empty):
            while not self.stopping:
                chunk = self.todo.get_nowait()
                try:
                    while chunk and not self.stopping:
                        chunk = self._work(chunk)
                except BaseException as error:  # handed to whoever reads the answers
                    self.answers.put(error)
                    return
        self.stop()

    def _work(self, chunk: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer the chunk; what is left of it where the process was lost on the way."""
        process = self.process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        fresh, self.process = self.process is None, process
        self.since = time.monotonic()
        with contextlib.suppress(OSError):  # a broken pipe shows as the end of its answers
            _send(process.stdin, json.dumps(chunk))
        for done, job in enumerate(chunk):
            line = process.stdout.readline()
            if not line.endswith("\n"):
                stuck, self.process, self.since, self.stuck = self.stuck, None, None, False
                process.kill()
                process.wait()
                if self.stopping:
                    return []
                if fresh and done == 0 and not stuck and process.returncode == 1:
                    raise RuntimeError("the process that decodes images could not be started")
                why = f"took longer than {self.patience:g} s" if stuck else "crashed the decoder"
                self.answers.put({"index": job["index"], "reason": why})
                return chunk[done + 1 :]
            self.since = time.monotonic()
            self.answers.put(json.loads(line))
        self.since = None
        return []

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            _send(process.stdin, self.settings)
        return process

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


def _send(pipe: IO[str], line: str) -> None:
    pipe.write(line + "\n")
    pipe.flush()


def usable_cpus() -> int:
    """Processors this process may use, at most 8: more do not decode faster than a disk reads."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(8, len(affinity(0)) if affinity else os.cpu_count() or 1)
