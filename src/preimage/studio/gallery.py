"""What was kept: arguments with a title and a thumbnail, in RUN/studio/gallery."""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Response
from fastapi.responses import FileResponse

from preimage.core import InputError
from preimage.pictures import png
from preimage.runs.files import read_json, write_json, write_out
from preimage.studio.args import (
    IDENTIFIER,
    NAMES,
    Args,
    ArgsError,
    Base,
    Latent,
    Picture,
    Place,
    parse,
    to_json,
)
from preimage.studio.exports import picture
from preimage.studio.gone import Gone
from preimage.studio.render import find, render
from preimage.studio.workspace import Workspace

if TYPE_CHECKING:
    from preimage.studio.app import Studio

MOST = 1000  # kept of a run
TITLE = 200  # letters


def entries(workspace: Workspace) -> list[dict[str, Any]]:
    """All that was kept of a run, the newest first."""
    found = []
    for path in _folder(workspace).glob("*.json"):
        if not IDENTIFIER.fullmatch(path.stem):
            continue
        try:
            known = read_json(path)
            parse(known["args"])
            if math.isfinite(known["time"]) and isinstance(known["title"], str):
                kept = {name: known[name] for name in ("args", "title", "time")}
                found.append(kept | {"id": path.stem})
        except (InputError, KeyError, TypeError):
            continue  # somebody else's file, or a broken one
    return sorted(found, key=lambda entry: -entry["time"])


def keep(workspace: Workspace, args: Args, title: str) -> dict[str, Any]:
    """Keep what is seen, such that it can be seen again when the studio is started anew."""
    if len(entries(workspace)) >= MOST:
        raise InputError(f"{MOST} pictures are kept already; remove some first")
    pixels = render(workspace, args, exact=True).pixels
    args = replace(args, base=_lasting(workspace, args.base))
    name = secrets.token_hex(8)
    entry = {"args": to_json(args), "title": title, "time": time.time()}
    write_out(_folder(workspace) / f"{name}.png", png(picture(pixels)))
    write_json(_folder(workspace) / f"{name}.json", entry)
    return entry | {"id": name}


def remove(workspace: Workspace, name: str) -> None:
    path = _path(workspace, name)
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _lasting(workspace: Workspace, base: Base) -> Base:
    """The same base without what ends with the session: images that were brought, and latents;
    and places of a map, which a later map would have elsewhere.
    """
    if isinstance(base, Picture | Latent | Place):
        found = find(workspace, Args(base))
        return Latent(workspace.store(found.z, found.label))
    parts = {part.name: getattr(base, part.name) for part in fields(base)}
    inner = {k: _lasting(workspace, v) for k, v in parts.items() if type(v) in NAMES}
    return replace(base, **inner)


def _folder(workspace: Workspace) -> Path:
    return workspace.folder / "gallery"


def _path(workspace: Workspace, name: str) -> Path:
    path = _folder(workspace) / f"{name}.png"
    if not IDENTIFIER.fullmatch(name) or not path.is_file():
        raise Gone("this is no longer in the gallery")
    return path


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api/gallery")

    @made.get("")
    def all() -> list[dict[str, Any]]:
        return entries(studio.workspace)

    @made.post("")
    def add(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        title = body.get("title", "")
        if not isinstance(title, str) or len(title) > TITLE:
            raise ArgsError(f"must be a text of at most {TITLE} letters", "title")
        return keep(studio.workspace, parse(body.get("args")), title)

    @made.get("/{name}/thumbnail")
    def thumbnail(name: str) -> Response:
        return FileResponse(_path(studio.workspace, name), media_type="image/png")

    @made.delete("/{name}")
    def delete(name: str) -> dict[str, Any]:
        _path(studio.workspace, name)
        remove(studio.workspace, name)
        return {}

    return made
