"""Training from the page: a run like any other, which `preimage train --resume` could go on with.

Where the run is, is written before it begins; begun again, the job goes on with it exactly.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from preimage.api.basics import Training, resume, training
from preimage.core import Step
from preimage.runs.files import read_json, unused_folder, write_json
from preimage.studio.jobs.kind import Kind
from preimage.studio.jobs.working import Working

SHOWN = ("samples", "reconstructions")  # of the previews, the first there is


def work(job: Working) -> dict[str, Any]:
    begun = begin(job)
    path = begun.run.path
    result = {"run": str(path), "name": path.name, "recipe": begun.run.config["recipe"]}
    job.partial(result)
    for note in begun.notes:
        print(note, flush=True)
    for step in begun:
        if job.stopping:
            begun.stop()
        job.progress(_shown(step))
    return {**result, "finished": begun.finished, "steps": begun.done}


def begin(job: Working) -> Training:
    """The run of this job: the one it began earlier, or a new one."""

    def loading(step: Step) -> None:
        if job.stopping:  # there is nothing to save yet
            raise SystemExit
        job.progress(step)

    asked, place = job.request, job.path / "run.json"
    if place.is_file():
        path = Path(read_json(place)["run"])
        if (path / "config.json").is_file():
            return resume(path, progress=loading)
    else:
        path = unused_folder(asked["name"], asked["recipe"] or "model").absolute()
        write_json(place, {"run": str(path)})
    return training(
        asked["source"],
        recipe=asked["recipe"],
        out=path,
        minutes=asked["minutes"],
        steps=asked["steps"],
        conditional=asked["conditional"],
        data={"size": asked["size"]} if asked["size"] else {},
        seed=asked["seed"],
        progress=loading,
    )


def _shown(step: Step) -> Step:
    """With samples for a preview, where there are any."""
    name = next((name for name in SHOWN if name in step.previews), None)
    return step if name is None else replace(step, previews={name: step.previews[name]})


TRAIN = Kind(work, lane="training", saves=True)
