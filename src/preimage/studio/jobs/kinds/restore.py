"""Images that were damaged or have holes: several that they may have been, and how sure that is."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from preimage.api.restorations import inpaint, restore
from preimage.applications.restoration import Restored
from preimage.core import Step
from preimage.studio.damage import operator
from preimage.studio.jobs.kind import Kind
from preimage.studio.jobs.latents import latent_id
from preimage.studio.jobs.working import Working, unsure

FILLINGS = 6  # different ones


def mend(job: Working) -> dict[str, Any]:
    """What may have been where the mask is."""
    held, ready = job.tensors(), job.restorer()
    found = inpaint(
        ready,
        held["images"],
        mask=held["mask"],
        n=FILLINGS,
        label=job.request["label"],
        seed=int(job.request["seed"]),
        progress=job.progress,
    )
    return _kept(job, found, held["images"])


def undo(job: Working) -> dict[str, Any]:
    """What the image may have been before it was damaged."""
    held, ready, asked = job.tensors(), job.restorer(), job.request
    data = ready.ready.model.data
    through = operator(asked["damage"], asked["amount"], data, seed=asked["seed"])
    job.preview(held["given"])
    found = restore(
        ready,
        held["given"],
        through=through,
        n=FILLINGS,
        calibration=False,
        label=asked["label"],
        progress=job.progress,
    )
    result = _kept(job, found, held["given"])
    result["files"] |= {"restored": job.save_picture("restored.png", found.images)}
    truth = held["images"]
    inside = (found.low <= truth) & (truth <= found.high)
    return {**result, "inside": inside.float().mean().item()}


def _kept(job: Working, found: Restored, given: Tensor) -> dict[str, Any]:
    """The fillings, their latents and how unsure each place is, in the job's folder."""
    job.keep(found.z[0])
    files = {"given": job.save_picture("given.png", given.clamp(-1, 1))}
    for k, image in enumerate(found.fillings[0], 1):
        files[f"filling {k}"] = job.save_picture(f"filling-{k}.png", image[None])
    job.save_bytes("uncertainty.png", unsure(found.uncertainty[0]))
    job.progress(Step(1, 1, previews={"fillings": found.fillings[0]}, stage="restore"))
    return {
        "files": files | {"uncertainty": "uncertainty.png"},
        "latents": [latent_id(job.record.id, k) for k in range(found.z.shape[1])],
        "label": job.request["label"],
        "uncertainty": float(found.uncertainty.mean()) / 2,  # of the range from black to white
    }


INPAINT = Kind(mend)
RESTORE = Kind(undo)
