"""Jobs over HTTP; pages hear of every change through `events`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import FileResponse
from PIL import Image

from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.studio.gone import Gone
from preimage.studio.jobs.asking import ASKED
from preimage.studio.jobs.folder import ENDED
from preimage.studio.jobs.latents import latent, latent_id
from preimage.studio.jobs.queue import Job, Queue

if TYPE_CHECKING:
    from preimage.studio.app import Studio
    from preimage.studio.workspace import Workspace

Ended = Callable[[dict[str, Any]], None]


def router(studio: Studio) -> APIRouter:
    """Starts the queue, which ends with the studio."""
    made = APIRouter(prefix="/api/jobs")
    workspace = studio.workspace
    queue = Queue(workspace.folder / "jobs", run=workspace.path.resolve())
    queue.start()
    studio.closing.append(queue.close)
    studio.panels |= {"bring": True, "jobs": True}
    known: set[str] = set()  # jobs whose latents the workspace has

    def tell(job: dict[str, Any]) -> None:
        if job["result"] and job["id"] not in known:
            remember(studio.workspace, queue.job(job["id"]), known)
        studio.events.publish({"job": job})

    queue.listen(tell)

    @made.post("")
    def submit(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        kind = str(body.get("kind"))
        if kind not in ASKED:
            raise InputError(f"no job of kind '{kind[:40]}'; {nearest_name(kind[:40], ASKED)}")
        asked = ASKED[kind](studio, body)
        job = queue.submit(kind, asked.request, title=asked.title, inputs=asked.inputs)
        return queue.told(job.record.id)

    @made.get("")
    def jobs() -> list[dict[str, Any]]:
        queue.warm()  # a page that asks for jobs is one that will want one
        for job in queue.jobs():
            remember(studio.workspace, job, known)
        return queue.all_told()

    @made.get("/{name}")
    def one(name: str) -> dict[str, Any]:
        held(name)
        return queue.told(name, whole=True)

    @made.delete("/{name}")
    def cancel(name: str) -> dict[str, Any]:
        held(name)
        queue.cancel(name)
        return queue.told(name)

    @made.post("/{name}/again")
    def again(name: str) -> dict[str, Any]:
        held(name)
        queue.again(name)
        return queue.told(name)

    @made.post("/{name}/remove")
    def remove(name: str) -> dict[str, Any]:
        if held(name).record.status not in ENDED:
            raise InputError("this job is still under way; cancel it first")
        queue.remove(name)
        return {}

    @made.post("/{name}/open")
    def open(name: str) -> dict[str, Any]:
        """Show the run that a job has trained."""
        result = held(name).result or {}
        if "run" not in result:
            raise InputError("this job has trained nothing that could be opened")
        studio.open(studio.add(Path(result["run"])))
        return {"id": studio.workspace.id}

    @made.post("/{name}/use")
    def use(name: str, body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Make a picture of the job an image like those that are brought, with its latent."""
        result, path = held(name).result or {}, path_of(name, str(body.get("file")))
        if path.suffix != ".png":
            raise InputError("this file is no picture")
        with Image.open(path) as picture:
            brought = studio.workspace.images.put(picture)
        ids, row = result.get("latents", ()), body.get("row")
        if isinstance(row, int) and 0 <= row < len(ids):
            studio.workspace.images.found(brought.id, *studio.workspace.kept(ids[row]))
        return {"id": brought.id}

    @made.get("/{name}/preview")
    def preview(name: str) -> FileResponse:
        return served(name, "preview.png")

    @made.get("/{name}/files/{file}")
    def file(name: str, file: str) -> FileResponse:
        return served(name, file)

    def held(name: str) -> Job:
        try:
            return queue.job(name)
        except InputError as error:
            raise Gone(str(error)) from None

    def path_of(name: str, file: str) -> Path:
        try:
            return held(name).folder.file(file)
        except InputError as error:
            raise Gone(str(error)) from None

    def served(name: str, file: str) -> FileResponse:
        path = path_of(name, file)
        kind = "image/png" if path.suffix == ".png" else "application/octet-stream"
        return FileResponse(path, media_type=kind)

    return made


def remember(workspace: Workspace, job: Job, known: set[str]) -> None:
    """Let the latents that a job has found be shown, and be those of the image it was about."""
    result, request = job.result or {}, job.record.request
    if not result.get("latents") or request.get("run") != str(workspace.path.resolve()):
        return
    if job.record.status in ENDED:
        known.add(job.record.id)
    for row in range(len(result["latents"])):
        name = latent_id(job.record.id, row)
        z = latent(job.folder.path.parent, name)
        if z is None:
            return
        workspace.keep(z[None], result.get("label"), name=name)
        if row == 0 and job.record.kind == "invert" and request.get("image"):
            with contextlib.suppress(InputError):  # it was brought to an earlier studio
                workspace.images.found(request["image"], z[None], result.get("label"))
