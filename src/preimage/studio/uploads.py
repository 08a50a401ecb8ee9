"""Images that a person brings, over HTTP: raw bytes in, an id out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from preimage.pictures import png, sheet
from preimage.studio.gone import Gone
from preimage.studio.images import Upload

if TYPE_CHECKING:
    from preimage.studio.app import Studio


def about(upload: Upload) -> dict[str, Any]:
    known = upload.latent is not None
    return {"id": upload.id, "width": upload.width, "height": upload.height, "latent": known}


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api/images")
    turn = asyncio.Lock()  # threads that wait for the one that decodes would be missed elsewhere

    @made.post("")
    async def add(request: Request) -> dict[str, Any]:
        images = studio.workspace.images
        images.check_room()
        content = await request.body()  # the guard has counted it
        async with turn:
            return about(await run_in_threadpool(images.add, content))

    @made.get("")
    def all() -> list[dict[str, Any]]:
        return [about(upload) for upload in studio.workspace.images]

    @made.get("/{name}")
    def image(name: str) -> Response:
        return Response(png(sheet(held(name).x, scale=1)), media_type="image/png")

    @made.get("/{name}/original")
    def original(name: str) -> FileResponse:
        return FileResponse(held(name).original, media_type="image/png")

    @made.delete("/{name}")
    def remove(name: str) -> dict[str, Any]:
        held(name)
        studio.workspace.images.remove(name)
        return {}

    def held(name: str) -> Upload:
        if name not in studio.workspace.images:
            raise Gone("there is no such image")
        return studio.workspace.images[name]

    return made
