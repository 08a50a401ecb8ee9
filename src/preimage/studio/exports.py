"""What is seen, to take away: a picture, a moving one, latents, or the command that shows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from fastapi import APIRouter, Body, Response
from PIL import Image

from preimage.core.errors import nearest_name
from preimage.pictures import animation, png
from preimage.pictures.frames import FASTEST, FORMATS, check_format
from preimage.runs.pictures import latents_bytes
from preimage.studio.args import Args, ArgsError, parse
from preimage.studio.command import command
from preimage.studio.render import find, render
from preimage.studio.workspace import Workspace

if TYPE_CHECKING:
    from preimage.studio.app import Studio

MOST = 600  # frames
FPS = 24.0
KINDS = ("png", *FORMATS, "latents", "command")
TYPES = {"png": "image/png", "gif": "image/gif", "webp": "image/webp", "mp4": "video/mp4"}


def picture(pixels: np.ndarray) -> Image.Image:
    """(H, W, C) uint8 as a picture, grey where it has one channel."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def export(workspace: Workspace, kind: str, frames: list[Args], fps: float) -> bytes:
    """The bytes of a file. Raises InputError for what cannot be made."""
    if kind == "latents":
        z = torch.cat([find(workspace, args).z for args in frames])
        return latents_bytes(model=workspace.model, latents=z)
    if kind == "png":
        return png(picture(render(workspace, frames[0], exact=True).pixels))
    check_format(kind, fps)
    drawn = [picture(render(workspace, args, exact=True).pixels) for args in frames]
    return animation(drawn, kind, fps=fps)


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api")

    @made.post("/render")
    def one(body: Annotated[dict[str, Any], Body()]) -> Response:
        if body.get("format", "png") != "png":
            raise ArgsError("pictures are rendered as png", "format")
        content = export(studio.workspace, "png", [parse(body.get("args"))], FPS)
        return Response(content, media_type=TYPES["png"])

    @made.post("/latents")
    def latents(body: Annotated[dict[str, Any], Body()]) -> dict[str, str]:
        """The latent that arguments stand for, with all moves in it, as a place to begin from."""
        found = find(studio.workspace, parse(body.get("args")))
        return {"id": studio.workspace.keep(found.z, found.label)}

    @made.post("/export", response_model=None)
    def several(body: Annotated[dict[str, Any], Body()]) -> Response | dict[str, Any]:
        workspace, kind = studio.workspace, body.get("kind")
        if kind not in KINDS:
            raise ArgsError(f"no kind of file '{kind}'; {nearest_name(str(kind), KINDS)}", "kind")
        frames = _frames(body)
        if kind == "command":
            return command(workspace, frames[0]).to_json()
        fps = body.get("fps", FPS)
        number = isinstance(fps, int | float) and not isinstance(fps, bool)
        if not number or not 0 < fps <= max(FASTEST.values()):
            raise ArgsError("must be a number of frames a second", "fps")
        content = export(workspace, kind, frames, float(fps))
        ending = "npz" if kind == "latents" else kind
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", workspace.name).strip("-") or "preimage"
        named = {"content-disposition": f'attachment; filename="{stem}.{ending}"'}
        return Response(
            content, media_type=TYPES.get(kind, "application/octet-stream"), headers=named
        )

    return made


def _frames(body: dict[str, Any]) -> list[Args]:
    if "frames" not in body:
        return [parse(body.get("args"))]
    given = body["frames"]
    if not isinstance(given, list) or not 0 < len(given) <= MOST:
        raise ArgsError(f"must be a list of 1 to {MOST} arguments", "frames")
    return [parse(args) for args in given]
