"""Jobs: done in order, cancelled alone, outliving a studio; and what odd ones do to the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preimage.core import InputError
from preimage.studio.jobs import queue as room
from preimage.studio.jobs.folder import Lines
from preimage.studio.jobs.process import HARD
from preimage.studio.jobs.queue import POINTS, Job, Queue

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds: other tests may run beside


@pytest.fixture(autouse=True, scope="module")
def odd_kinds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
        yield


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory, odd_kinds: None) -> Iterator[Queue]:
    made = Queue(tmp_path_factory.mktemp("studio") / "jobs", module="odd_kinds")
    made.start()
    yield made
    made.close()


def until(wanted: Callable[[], object], what: str = "it") -> None:
    deadline = time.monotonic() + PATIENCE
    while not wanted():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


def ended(job: Job) -> Job:
    until(lambda: job.record.status in ("done", "failed", "cancelled") and not job.stopping)
    return job


def there(process: int) -> bool:
    """Whether a process runs; what waits to be reaped by somebody does not."""
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().split()[2] != "Z"


def test_jobs_are_done_in_order_by_one_warm_process(queue: Queue) -> None:
    told = []
    queue.listen(told.append)
    jobs = [queue.submit("count", {"n": n}, title=f"to {n}") for n in (1, 2, 3)]
    results = [ended(job).result for job in jobs]
    assert [r["counted"] for r in results if r] == [1, 2, 3]
    assert len({r["process"] for r in results if r}) == 1
    running = [t["id"] for t in told if t["status"] == "running"]
    assert list(dict.fromkeys(running)) == [job.record.id for job in jobs]
    until(lambda: told[-1]["status"] == "done", "the last word")
    last = told[-1]
    assert (last["id"], last["title"]) == (jobs[2].record.id, "to 3")
    assert (last["step"], last["total"]) == (3, 3)
    assert last["points"][-1]["error"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("exit", "status 3"),
        ("crash", "SIGSEGV"),
        ("refuse", "this image has no pixels; give one that has"),
        ("break", "ValueError: a broken thing"),
    ],
)
def test_a_job_that_fails_takes_nothing_with_it(queue: Queue, kind: str, says: str) -> None:
    odd, good = queue.submit(kind, {}), queue.submit("count", {})
    assert ended(odd).record.status == "failed"
    assert says in odd.record.message
    assert "\n" not in odd.record.message
    assert ended(good).record.status == "done"
    if kind == "crash":
        assert "Segmentation fault" in odd.folder.log_tail()
    if kind == "break":
        assert "something was said before" in odd.folder.log_tail()
        assert "break_down" in odd.folder.log_tail()  # the traceback


def test_a_cancel_ends_one_job_with_all_it_started_and_no_other(queue: Queue) -> None:
    hung, waiting = queue.submit("hang", {}), queue.submit("count", {})
    beside = queue.submit("beside", {"n": 100})
    until(lambda: hung.state.get("stage") == "hang" and beside.state, "the work")
    child = int((hung.folder.path / "child").read_text())
    assert there(child)
    queue.cancel(hung.record.id)
    assert ended(hung).record.status == "cancelled"
    until(lambda: not there(child), "the end of the child")
    assert ended(waiting).record.status == "done"
    assert ended(beside).result == {"begun_at": 0, "ended_at": 100}


def test_a_queued_job_is_cancelled_without_being_begun(queue: Queue) -> None:
    first, second = queue.submit("count", {"n": 5, "sleep": 0.1}), queue.submit("count", {})
    queue.cancel(second.record.id)
    assert second.record.status == "cancelled"
    assert ended(first).record.status == "done"
    assert not (second.folder.path / "log").exists()
    queue.cancel(first.record.id)  # it has ended: nothing happens
    assert first.record.status == "done"


def test_a_process_that_was_told_to_end_is_given_no_further_job(queue: Queue) -> None:
    before = ended(queue.submit("count", {}))
    saved, after = queue.submit("saved", {"n": 100}), queue.submit("count", {})
    until(lambda: saved.state.get("step", 0) >= 3, "the work")
    begun = time.monotonic()
    queue.cancel(saved.record.id)  # it saves, and its process could go on
    assert ended(after).record.status == "done"
    assert before.result
    assert after.result
    assert after.result["process"] != before.result["process"]
    assert time.monotonic() - begun < HARD / 2  # nor is it waited for


def test_a_page_is_not_told_half_of_a_change(queue: Queue) -> None:
    changing, go_on, told = threading.Event(), threading.Event(), []

    def listener(job: dict) -> None:
        if job["status"] == "done":
            changing.set()
            go_on.wait(PATIENCE)

    stop = queue.listen(listener)
    job = queue.submit("count", {})
    assert changing.wait(PATIENCE)
    asks = threading.Thread(target=lambda: told.append(queue.told(job.record.id)))
    asks.start()
    asks.join(0.2)
    assert not told
    go_on.set()
    asks.join(PATIENCE)
    assert told[0]["status"] == "done"
    stop()


def test_work_that_saves_goes_on_where_it_was_cancelled(queue: Queue) -> None:
    job = queue.submit("saved", {"n": 100})
    until(lambda: job.state.get("step", 0) >= 10, "ten steps")
    queue.cancel(job.record.id)
    assert ended(job).record.status == "cancelled"
    assert job.result is not None
    reached = job.result["ended_at"]
    assert 10 <= reached < 100
    queue.again(job.record.id)
    assert ended(job).result == {"begun_at": reached, "ended_at": 100}


def test_jobs_outlive_a_studio_that_closes(tmp_path: Path) -> None:
    first = Queue(tmp_path, module="odd_kinds")
    first.start()
    done = ended(first.submit("saved", {"n": 2}))
    running = first.submit("saved", {"n": 60})
    queued = first.submit("saved", {"n": 1})
    until(lambda: running.state.get("step", 0) >= 5, "five steps")
    first.close()

    second = Queue(tmp_path, module="odd_kinds")
    second.start()
    try:
        assert second.job(done.record.id).result == done.result
        found = ended(second.job(running.record.id))
        assert found.result is not None
        assert found.result["begun_at"] >= 5
        assert found.result["ended_at"] == 60
        assert ended(second.job(queued.record.id)).record.status == "done"
        ids = [job.record.id for job in second.jobs()]
        assert ids == [queued.record.id, running.record.id, done.record.id]
    finally:
        second.close()


def test_jobs_outlive_a_studio_that_is_killed(tmp_path: Path) -> None:
    """The studio's process is killed; its worker sees that and saves; the next one goes on."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from preimage.studio.jobs.queue import Queue\n"
        "q = Queue(Path(sys.argv[1]), module='odd_kinds'); q.start()\n"
        "q.submit('saved', {'n': 150}); time.sleep(600)\n"
    )
    studio = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    until(lambda: len(list(lines_of(tmp_path))) >= 3, "progress")
    studio.send_signal(signal.SIGKILL)
    studio.wait()
    second = Queue(tmp_path, module="odd_kinds")
    second.start()
    try:
        job = ended(second.jobs()[0])
        assert job.result is not None
        assert job.result["begun_at"] >= 3
        assert job.result["ended_at"] == 150
    finally:
        second.close()


def lines_of(folder: Path) -> Iterator[dict]:
    for path in folder.glob("*/progress.jsonl"):
        yield from Lines(path).new()


def test_a_folder_cut_at_any_moment_is_found_again_or_passed_over(tmp_path: Path) -> None:
    queue = Queue(tmp_path, module="odd_kinds")
    queue.start()
    job = ended(queue.submit("count", {"n": 2}))
    queue.close()
    folder = job.folder.path
    half = tmp_path / ".0123456789abcdef.part"
    half.mkdir()
    broken = tmp_path / "0123456789abcdef"
    broken.mkdir()
    (broken / "job.json").write_text('{"id": "01')
    # As it was in the middle: no outcome, a line cut short.
    (folder / "outcome.json").unlink()
    (folder / "job.json").write_text((folder / "job.json").read_text().replace("done", "running"))
    with (folder / "progress.jsonl").open("a") as file:
        file.write('{"step": 2, "tot')
    again = Queue(tmp_path, module="odd_kinds")
    again.start()
    try:
        assert [job.record.id for job in again.jobs()] == [folder.name]
        found = ended(again.jobs()[0])
        assert found.record.status == "done"
        assert (found.state["step"], found.result) == (2, found.folder.outcome(2)["result"])  # type: ignore[index]
        assert not half.exists()
        json.loads((folder / "progress.jsonl").read_text().splitlines()[-1])
    finally:
        again.close()


def test_two_studios_of_one_run_leave_each_other_s_jobs_alone(queue: Queue) -> None:
    hung = queue.submit("hang", {})
    until(lambda: hung.state.get("stage") == "hang", "the work")
    other = Queue(queue.folder, module="odd_kinds")
    other.start()
    assert other.folder == queue.folder.with_name(f"{queue.folder.name}-2")
    assert other.jobs() == []
    other.close()
    assert hung.record.status == "running"
    queue.cancel(hung.record.id)
    ended(hung)


def test_the_queue_is_bounded_and_tidied(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WAITING", 3)
    monkeypatch.setattr(room, "KEPT", 2)
    with pytest.raises(InputError, match="no job of kind 'invrt'"):
        queue.submit("invrt", {})
    hung = queue.submit("hang", {})
    jobs = [queue.submit("count", {}) for _ in range(2)]
    with pytest.raises(InputError, match="3 jobs wait already; cancel one"):
        queue.submit("count", {})
    queue.cancel(hung.record.id)
    for job in [ended(hung), *map(ended, jobs)]:
        last = job
    queue.submit("count", {})
    assert len([j for j in queue.jobs() if j.record.status in room.ENDED]) == 2
    assert not hung.folder.path.exists()
    assert last.folder.path.exists()
    with pytest.raises(InputError, match="no such job"):
        queue.job(hung.record.id)


def test_files_of_a_job_are_asked_for_by_names_of_ours_alone(queue: Queue) -> None:
    job = ended(queue.submit("count", {}))
    for name in ("../secret.png", "/etc/passwd", "job.JSON", "..\\x.png", "log", "nothing.png", ""):
        with pytest.raises(InputError, match="this job has no file"):
            job.folder.file(name)
    assert job.folder.file("outcome.json").is_file()


def test_curves_stay_short_and_keep_their_ends(tmp_path: Path) -> None:
    folder = room.JobFolder.create(tmp_path, "count", "", {}, {})
    lines = [{"step": i, "total": 9999, "time": i, "metrics": {"loss": -i}} for i in range(10_000)]
    (folder.path / "progress.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    job = Job(folder, folder.record)
    assert job.read()
    assert POINTS / 3 < len(job.points) <= POINTS
    steps = [point["step"] for point in job.points]
    assert steps == sorted(steps)
    assert steps[0] < 100
    assert steps[-1] > 9900
    assert job.state["step"] == 9999


def test_listeners_come_and_go_from_any_thread(queue: Queue) -> None:
    told: list[str] = []
    leave = queue.listen(lambda job: told.append(threading.current_thread().name))
    ended(queue.submit("count", {}))
    leave()
    before = len(told)
    ended(queue.submit("count", {}))
    assert before
    assert len(told) == before


def of_a_stranger(folder: Path, **wrong: object) -> Path:
    """A job that came with a run from elsewhere, about to be done."""
    made = room.JobFolder.create(folder, "count", "", {"n": 3}, {})
    record = json.loads((made.path / "job.json").read_text()) | wrong
    (made.path / "job.json").write_text(json.dumps(record))
    return made.path


def test_what_a_stranger_has_linked_in_a_run_is_not_written_to(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    jobs = tmp_path / "run" / "studio" / "jobs"
    jobs.mkdir(parents=True)
    for name in ("log", "progress.jsonl", "lock"):
        (of_a_stranger(jobs) / name).symlink_to(precious)
    (jobs / "0123456789abcdef").symlink_to(of_a_stranger(tmp_path))
    for name in ("now.log", ".lock"):
        (jobs / name).symlink_to(precious)
    precious.write_text("as it was")
    queue = Queue(jobs, module="odd_kinds")
    queue.start()
    try:
        assert ended(queue.submit("count", {})).record.status == "done"
        assert len(queue.jobs()) == 1
    finally:
        queue.close()
    assert precious.read_text() == "as it was"


@pytest.mark.parametrize(
    "changed", [{}, {"request": {"n": 10**9}}, {"kind": "hang"}, {"mark": None}]
)
def test_a_job_that_came_with_a_stranger_s_run_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PREIMAGE_CACHE", str(tmp_path / "of-another-user"))
        of_a_stranger(tmp_path)
    if changed:  # one of our own, that came back with something else in it
        of_a_stranger(tmp_path, **changed)
    queue = Queue(tmp_path, module="odd_kinds")
    queue.start()
    try:
        own = queue.submit("count", {})
        assert ended(own).record.status == "done"
        assert len(queue.jobs()) == 1
    finally:
        queue.close()


def test_numbers_that_json_has_none_of_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_text('{"result": {"error": NaN, "spread": -Infinity}}\n')
    (line,) = Lines(tmp_path / "progress.jsonl").new()
    assert line == {"result": {"error": None, "spread": None}}


def test_where_no_process_can_be_begun_the_job_fails_and_the_next_is_done(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(room, "Worker", full)
        job = ended(queue.submit("beside", {"n": 1}))
    assert job.record.status == "failed"
    assert "No space left" in job.record.message
    assert ended(queue.submit("beside", {"n": 1})).record.status == "done"
