"""A person's image: the latent behind it, watched; then what the image says of it and what not.

The latent is there as soon as the search ends, so that a person can edit while the rest is found
out: whether the image lies in the model's range, other solutions, and what is undetermined.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from preimage.api.inversions import inverting, judge
from preimage.core import Step
from preimage.inversion import Inversion
from preimage.inversion.verdict import UNUSUAL
from preimage.studio.jobs.kind import Kind
from preimage.studio.jobs.latents import latent_id
from preimage.studio.jobs.working import Working, unsure

RESTARTS = 3  # further searches, for other solutions
SHOWN = 4  # solutions
NEARER = 0.99  # of the error, below which another start is taken
COMPARED = 100  # held-out images that the verdict is held against


def work(job: Working) -> dict[str, Any]:
    ready, x = job.inverter(), job.tensors()["images"]
    label = job.request.get("label")
    # Its encoder starts a search well enough; what else could be learned first takes a minute.
    start = "encoder" if ready.model.can("encode") else "nearest"
    search = inverting(ready, x, calibration=0, label=label, start=start)
    for iteration, step in enumerate(search):
        job.progress(replace(step, step=iteration, total=0))
    found = search.result
    job.keep(found.z)
    job.save_picture("target.png", found.target)
    job.save_picture("found.png", found.images)
    result: dict[str, Any] = {
        "image": job.request.get("image"),
        "latents": [latent_id(job.record.id, 0)],
        "files": {"target": "target.png", "found": "found.png"},
        "error": float(found.error[0]),
        "reason": found.reasons[0],
        "label": None if found.labels is None else ready.model.classes[int(found.labels[0])],
    }
    job.partial(result)
    job.progress(Step(0, 0, stage="look for other solutions"))
    found = judge(
        ready,
        found,
        run=job.run,
        calibration=COMPARED,
        progress=job.progress,
        start=start,
        restarts=RESTARTS,
        posterior=True,
    )
    found = _best(job, found)
    result["error"] = float(found.error[0])
    result["undetermined"] = found.undetermined[0] if found.undetermined else ""
    if found.verdicts:
        result["verdict"] = _verdict(found)
    _solutions(job, found, result)
    job.partial(result)
    job.progress(Step(0, 0, stage="what is undetermined"))
    posterior = ready.posterior(found)
    spread = posterior.image_std(ready.problem(found.target, found.labels))
    job.save_bytes("uncertainty.png", unsure(spread[0]))
    result["files"]["uncertainty"] = "uncertainty.png"
    result["spread"] = float(spread.mean()) / 2  # of the range from black to white
    return result


def _best(job: Working, found: Inversion) -> Inversion:
    """With the latent of another start, where that came nearer."""
    if not found.solutions or not len(found.solutions[0]):
        return found
    best = found.solutions[0]
    if float(best.error[0]) >= NEARER * float(found.error[0]):
        return found
    z = best.z[:1].reshape(found.z.shape).to(found.z)
    images, verdicts = _decoded(job, found, z), found.verdicts
    if verdicts:
        nearer = "found by another start, which came nearer than the first"
        verdicts = (replace(verdicts[0], error=float(best.error[0]), search=nearer),)
    job.keep(z)
    job.save_picture("found.png", images)
    return replace(
        found, z=z, images=images, observed=images, error=best.error[:1], verdicts=verdicts
    )


@torch.no_grad()
def _decoded(job: Working, found: Inversion, z: Tensor) -> Tensor:
    """Images of latents (n, *space.shape), of the class that was found."""
    model = job.inverter().model
    y = None if found.labels is None else found.labels[:1].expand(len(z)).to(model.device)
    return model.decode(z.to(model.device), y).float().cpu()


def _verdict(found: Inversion) -> dict[str, Any]:
    assert found.verdicts is not None
    verdict = found.verdicts[0]
    return {
        "typical": verdict.p_value > UNUSUAL,
        "p": verdict.p_value,
        "words": verdict.words,
        "search": verdict.search,
    }


def _solutions(job: Working, found: Inversion, result: dict[str, Any]) -> None:
    """Those that fit as well as the best, each with its picture and its latent."""
    if not found.solutions:
        return
    solutions = found.solutions[0]
    result["solutions"] = solutions.sentence
    good = solutions.z[solutions.equally_good][1:SHOWN]
    if not len(good):
        return
    z = good.reshape(-1, *found.z.shape[1:]).to(found.z)
    images = _decoded(job, found, z)
    job.keep(torch.cat([found.z, z]))
    for i, image in enumerate(images, 1):
        name = job.save_picture(f"solution-{i}.png", image[None])
        result["latents"].append(latent_id(job.record.id, i))
        result["files"][f"solution {i}"] = name


INVERT = Kind(work)
