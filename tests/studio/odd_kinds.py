"""Jobs that behave and jobs that do not, for the tests of the queue."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from typing import Any

from preimage.core import InputError, Step
from preimage.runs.files import write_bytes
from preimage.studio.jobs.kind import Kind
from preimage.studio.jobs.working import Working


def count(job: Working) -> dict[str, Any]:
    n = job.request.get("n", 3)
    for i in range(n):
        job.progress(Step(i + 1, n, metrics={"error": 1 / (i + 1)}, stage="count"))
        time.sleep(job.request.get("sleep", 0.0))
    return {"counted": n, "process": os.getpid()}


def exit_at_once(job: Working) -> dict[str, Any]:
    os._exit(3)


def crash(job: Working) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def hang(job: Working) -> dict[str, Any]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (job.path / "child").write_text(str(child.pid))
    job.progress(Step(1, 2, stage="hang"))
    while True:
        time.sleep(60)


def refuse(job: Working) -> dict[str, Any]:
    raise InputError("this image has no pixels; give one that has")


def break_down(job: Working) -> dict[str, Any]:
    print("something was said before")
    raise ValueError("a\nbroken thing")


def saved(job: Working) -> dict[str, Any]:
    """Counts to n and remembers where it was."""
    at = job.path / "at.json"
    i = int(at.read_text()) if at.exists() else 0
    begun = i
    while i < job.request["n"] and not job.stopping:
        i += 1
        write_bytes(at, str(i).encode())
        job.progress(Step(i, job.request["n"], stage="count"))
        time.sleep(0.02)
    return {"begun_at": begun, "ended_at": i}


KINDS = {
    "count": Kind(count),
    "exit": Kind(exit_at_once),
    "crash": Kind(crash),
    "hang": Kind(hang),
    "refuse": Kind(refuse),
    "break": Kind(break_down),
    "saved": Kind(saved, saves=True),
    "beside": Kind(saved, lane="training", saves=True),
}
