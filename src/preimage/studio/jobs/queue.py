"""The queue of the studio's jobs: each in a process of its own, none able to harm another.

A thread looks after everything: it hands queued jobs to workers, reads how far they are, and sees
when a process has ended, however it ended. Each lane does one job at a time. The lane "now" keeps a
warm worker; the others start a process for each job. What is known of a job is in its folder, so
that a studio that starts again finds its jobs and goes on with them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from preimage.core import InputError
from preimage.runs.files import readable_errors
from preimage.studio.jobs.folder import ENDED, IDS, JobFolder, Lines, Record
from preimage.studio.jobs.process import Worker

try:
    import fcntl
except ImportError:  # Windows: two studios of one run would do each other's jobs
    fcntl = None

MODULE = "preimage.studio.jobs.kinds"
LANES = ("now", "background", "training")
WAITING = 20  # jobs that may wait or run at once
KEPT = 40  # jobs that have ended and are kept
TICK = 0.04  # seconds
POINTS = 400  # of the curves that a page draws

Listener = Callable[[dict[str, Any]], None]


class Job:
    """One job, as the queue sees it."""

    def __init__(self, folder: JobFolder, record: Record):
        self.folder, self.record = folder, record
        self.stopping = False
        self.revision = 0  # of what is told: an answer may come after a later event
        self.state: dict[str, Any] = {}  # the last line of progress
        self.result: dict[str, Any] | None = None
        self.points: list[dict[str, Any]] = []  # {step, time, …metrics}, thinned
        self._lines = Lines(folder.path / "progress.jsonl")
        self._every = self._count = 1

    def read(self) -> bool:
        """Take in new lines of progress; whether there were any."""
        found = list(self._lines.new())
        for line in found:
            if "result" in line:
                self.result = {**(self.result or {}), **line["result"]}
                continue
            self.state = line
            if line.get("metrics"):
                self._add({"step": line["step"], "time": line["time"], **line["metrics"]})
        return bool(found)

    def _add(self, point: dict[str, Any]) -> None:
        """Every point at first; where there are too many, every second one of them."""
        self._count += 1
        if self._count % self._every:
            return
        self.points.append(point)
        if len(self.points) > POINTS:
            self.points = self.points[::2]
            self._every *= 2

    def public(self, *, whole: bool = False) -> dict[str, Any]:
        """What a page is told; `whole` with the curves and the end of the log."""
        record, state = self.record, self.state
        ended = record.status in ENDED and not self.stopping
        told = {
            "id": record.id,
            "kind": record.kind,
            "title": record.title,
            "created": record.created,
            "revision": self.revision,
            "status": record.status if not self.stopping else "running",
            "stage": "" if ended else "stopping" if self.stopping else state.get("stage", ""),
            "step": state.get("step", 0),
            "total": state.get("total", 0),
            "time": state.get("time"),
            "metrics": state.get("metrics", {}),
            "preview": state.get("preview", 0),
            "message": record.message or next(iter(state.get("notes", ())), ""),
            "result": self.result,
        }
        return told | {"points": self.points, "log_tail": self.folder.log_tail()} if whole else told


class Queue:
    """`start()`, `submit(…)`, `cancel(…)`, `close()`; safe to call from any thread."""

    def __init__(self, folder: Path, *, run: Path | None = None, module: str = MODULE):
        """folder: where jobs are kept; beside it, where another studio has it.

        run: what the warm worker opens. module: of the kinds.
        """
        self.folder, self.run, self.module = folder, run, module
        self.kinds = importlib.import_module(module).KINDS
        self._jobs: dict[str, Job] = {}  # by id, the oldest first
        self._workers: dict[str, Worker] = {}  # by lane
        self._listeners: list[Listener] = []
        self._held: io.TextIOWrapper | None = None  # the lock of the folder
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="jobs", daemon=True)

    def start(self) -> None:
        self.folder, self._held = _free(self.folder)
        self._recover()
        self._thread.start()

    def warm(self) -> None:
        """Start the worker of the lane "now" before a job asks for it."""
        with self._lock:
            if "now" not in self._workers and not self._closing.is_set():
                with contextlib.suppress(OSError):  # the first job will say what is wrong
                    self._workers["now"] = self._worker("now")

    def close(self, wait: float = 2.0) -> None:
        """Workers save what they can and end by themselves; the next studio goes on with it."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            for worker in self._workers.values():
                worker.close()
            deadline = time.monotonic() + wait
            for worker in self._workers.values():
                worker.wait(max(0.0, deadline - time.monotonic()))
            self._workers.clear()
            if self._held is not None:
                self._held.close()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call it with what a page is told at every change; what is returned ends that."""
        with self._lock:
            self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def jobs(self) -> list[Job]:
        """The latest first."""
        with self._lock:
            return list(self._jobs.values())[::-1]

    def job(self, id: str) -> Job:
        """Raises InputError where there is none of that id."""
        with self._lock:
            if id not in self._jobs:
                raise InputError("there is no such job; it may have been tidied away")
            return self._jobs[id]

    def told(self, id: str, *, whole: bool = False) -> dict[str, Any]:
        """What a page is told of a job; nothing changes meanwhile, or it would be told half of it.

        Raises InputError where there is none of that id.
        """
        with self._lock:
            return self.job(id).public(whole=whole)

    def all_told(self) -> list[dict[str, Any]]:
        """The same of all jobs, the latest first."""
        with self._lock:
            return [job.public() for job in self.jobs()]

    def submit(
        self,
        kind: str,
        request: dict[str, Any],
        *,
        title: str = "",
        inputs: Mapping[str, bytes] | None = None,
    ) -> Job:
        """Put a job in the queue. Raises InputError where that is full, or the kind is none."""
        if kind not in self.kinds:
            raise InputError(f"no job of kind {kind[:40]!r}")
        with self._lock:
            waiting = sum(job.record.status not in ENDED for job in self._jobs.values())
            if waiting >= WAITING:
                raise InputError(f"{waiting} jobs wait already; cancel one, or let some end")
            folder = JobFolder.create(self.folder, kind, title or kind, request, inputs or {})
            job = self._jobs[folder.path.name] = Job(folder, folder.record)
            self._tidy()
            self._tell(job)
            return job

    def cancel(self, id: str) -> None:
        """End the job, and it alone; one that has ended already stays as it is."""
        with self._lock:
            job = self.job(id)
            if job.record.status in ENDED:
                return
            worker = next((w for w in self._workers.values() if w.job is job), None)
            job.stopping = worker is not None
            self._set(job, "cancelled", "")
            if worker is not None:
                worker.stop(saves=self.kinds[job.record.kind].saves)

    def again(self, id: str) -> None:
        """Queue a job once more that was cancelled or failed; work that was saved goes on."""
        with self._lock:
            job = self.job(id)
            if job.stopping or job.record.status not in ("failed", "cancelled"):
                return
            job.result = None
            self._set(job, "queued", "")

    def remove(self, id: str) -> None:
        """Forget a job that has ended, and delete its folder."""
        with self._lock:
            job = self.job(id)
            if job.record.status in ENDED and not job.stopping:
                self._jobs.pop(id)
                shutil.rmtree(job.folder.path, ignore_errors=True)

    # --- what the thread does ---

    def _look_after(self) -> None:
        while not self._closing.wait(TICK):
            with self._lock:
                for lane in LANES:
                    try:
                        self._look_at(lane)
                    except Exception:  # the other jobs are not to wait for ever
                        logging.getLogger(__name__).exception("the jobs of lane '%s'", lane)

    def _look_at(self, lane: str) -> None:
        worker = self._workers.get(lane)
        if worker is not None:
            if worker.job is not None:
                self._look_at_job(worker, worker.job)
            if worker.overdue:
                worker.kill()
            if not worker.alive:
                worker.kill()  # what it left behind
                worker.close()
                del self._workers[lane]
                if worker.stopping and lane == "now":
                    self.warm()
            elif lane != "now" and worker.job is None:
                worker.close()  # it ends by itself
                return
        worker = self._workers.get(lane)
        if worker is None or worker.free:
            self._hand_out(lane)

    def _hand_out(self, lane: str) -> None:
        for job in self._jobs.values():
            if job.record.status == "queued" and self.kinds[job.record.kind].lane == lane:
                if lane not in self._workers:
                    try:
                        self._workers[lane] = self._worker(lane)
                    except OSError as error:  # no room on the disk, or for a process
                        self._set(job, "failed", f"no process can be started: {error.strerror}")
                        return
                job.record = replace(job.record, attempt=job.record.attempt + 1)
                self._set(job, "running", "")
                self._workers[lane].take(job)
                return

    def _look_at_job(self, worker: Worker, job: Job) -> None:
        alive = worker.alive  # first: what it wrote before it died is read below
        if job.read():
            self._tell(job)
        outcome = job.folder.outcome(job.record.attempt)
        if outcome is None and alive:
            return
        job.read()
        worker.job = None
        stopped, job.stopping = job.stopping, False
        if outcome is None and not stopped:
            self._set(job, "failed", worker.death)
        elif outcome is not None and "error" in outcome and not stopped:
            self._set(job, "failed", outcome["error"])
        else:
            if outcome is not None:
                job.result = outcome.get("result", job.result)
            self._set(job, "cancelled" if stopped else "done", "")

    def _worker(self, lane: str) -> Worker:
        return Worker(self.folder, lane, self.module, self.run)

    def _set(self, job: Job, status: str, message: str) -> None:
        job.record = replace(job.record, status=status, message=message)
        with contextlib.suppress(InputError):  # a full disk: what is in memory holds for now
            job.folder.write(job.record)
        self._tell(job)

    def _tell(self, job: Job) -> None:
        job.revision += 1
        told = job.public(whole=job.record.status in ENDED and not job.stopping)
        for listener in list(self._listeners):
            listener(told)

    def _tidy(self) -> None:
        ended = [job for job in self._jobs.values() if job.record.status in ENDED]
        for job in ended[:-KEPT]:
            self.remove(job.record.id)

    def _recover(self) -> None:
        """Find the jobs of an earlier studio: what had not ended is queued again."""
        for aside in self.folder.glob(".*.part"):
            shutil.rmtree(aside, ignore_errors=True)
        found = []
        for path in self.folder.iterdir():
            if not IDS.fullmatch(path.name) or not path.is_dir():
                continue
            with contextlib.suppress(InputError):
                folder = JobFolder(path)
                if folder.own and folder.record.kind in self.kinds:
                    found.append(Job(folder, folder.record))
        for job in sorted(found, key=lambda job: job.record.created):
            self._jobs[job.record.id] = job
            job.read()
            outcome = job.folder.outcome(job.record.attempt) or {}
            job.result = outcome.get("result", job.result)
            if job.record.status in ENDED:
                continue
            if outcome and not outcome.get("stopped"):
                self._set(job, "failed" if "error" in outcome else "done", outcome.get("error", ""))
            else:
                self._set(job, "queued", "")
        self._tidy()


def _free(folder: Path) -> tuple[Path, io.TextIOWrapper]:
    """The folder, or FOLDER-2, … where another studio is at work in it; and the hold on it."""
    for number in itertools.count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with readable_errors(place):
            place.mkdir(parents=True, exist_ok=True)
            if (place / ".lock").is_symlink():  # in a stranger's run
                (place / ".lock").unlink()
            held = (place / ".lock").open("w")
        try:
            if fcntl is not None:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return place, held
        except OSError:
            held.close()
    raise AssertionError  # there is always another number
