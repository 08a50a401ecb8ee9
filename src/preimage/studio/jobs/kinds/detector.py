"""A detector of odd images, fitted to those the run was trained on and kept with it."""

from __future__ import annotations

from typing import Any

import torch

from preimage.api.anomalies import fit_detector, save_detector
from preimage.api.basics import run_dataset
from preimage.core import InputError, seeds
from preimage.runs.run import Run
from preimage.studio.jobs.kind import Kind
from preimage.studio.jobs.working import Working

MOST = 800  # images that are looked at


def work(job: Working) -> dict[str, Any]:
    data = run_dataset(Run.open(job.run), progress=job.progress)
    if not len(data):
        raise InputError("this run's images are not there")
    drawn = torch.randperm(len(data.train), generator=seeds.generator(0, "detector"))[:MOST]
    x = data.batch(torch.from_numpy(data.train)[drawn.sort().values])
    inspector = fit_detector(job.run, x, progress=job.progress)
    path = save_detector(job.run, inspector, source=data.name, replace=True)
    return {"detector": path.name, "images": len(x), "threshold": inspector.threshold}


DETECTOR = Kind(work, lane="background")
