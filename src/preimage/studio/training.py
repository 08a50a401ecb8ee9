"""What can be trained on, and how: recipes, folders named at launch, archives that were uploaded.

A page names no path of this machine but below those folders: what it sends is joined to one of
them, resolved, and refused where it leads elsewhere.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from preimage.api.basics import datasets, recipes
from preimage.core import InputError
from preimage.data.archives import ENDINGS, is_archive

if TYPE_CHECKING:
    from preimage.studio.app import Studio

ARCHIVES = 8  # that are kept; the oldest goes when another comes
COMING = 2  # archives that may be on their way at once
LISTED = 500  # entries of a folder
COUNTED = 10_000  # files that are looked at to say how many images there are
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def below(folders: tuple[Path, ...], root: object, path: object) -> Path:
    """A place below one of the folders. Raises InputError where it would be elsewhere."""
    if isinstance(root, bool) or not isinstance(root, int) or not 0 <= root < len(folders):
        raise InputError("no such folder; name it when the studio is started: --folder PATH")
    if not isinstance(path, str) or "\0" in path or "\\" in path:
        raise InputError("this path is none below the folder")
    base = os.path.realpath(folders[root])
    place = os.path.realpath(os.path.join(base, path))
    if os.path.commonpath([base, place]) != base:
        raise InputError("this path leads out of the folder")
    if not os.path.exists(place):
        raise InputError("there is no such folder (any more)")
    return Path(place)


def listing(place: Path) -> dict[str, Any]:
    """The folders and archives in a folder, and how many images are below it."""
    entries = sorted(place.iterdir(), key=lambda entry: entry.name.lower())
    shown = [entry for entry in entries if not entry.name.startswith(".")]
    folders = [entry.name for entry in shown if entry.is_dir()][:LISTED]
    archives = [e.name for e in shown if e.is_file() and e.suffix.lower() in ENDINGS][:LISTED]
    return {"folders": folders, "archives": archives, "images": _pictures(place)}


def _pictures(place: Path) -> int:
    """How many images are below a folder, as far as a quick look shows."""
    return sum(name.lower().endswith(PICTURES) for name in _files(place))


def _files(place: Path) -> Iterator[str]:
    seen = 0
    for _, _, names in os.walk(place):
        for name in names:
            seen += 1
            if seen > COUNTED:
                return
            yield name


def source_of(studio: Studio, body: object) -> tuple[str, str]:
    """A source for `preimage.training` and a name for it. Raises InputError.

    {"root": 0, "path": "faces"} below a folder named at launch, {"archive": id} that was uploaded,
    {"set": name} built in, or {"own": true}: the images of the run that is open.
    """
    asked = body if isinstance(body, dict) else {}
    if asked.get("own"):
        facts = studio.workspace.run.config.get("data", {})
        if not facts.keys() >= {"source", "name"}:
            raise InputError("this run does not say what it was trained on; choose a folder")
        return facts["source"], facts["name"]
    if asked.get("set") is not None:
        if asked["set"] not in sets():
            raise InputError("no built-in images of that name")
        return asked["set"], asked["set"].partition(":")[0]
    if asked.get("archive") is not None:
        path = folder(studio) / f"{asked['archive']}.zip"
        if not _is_id(asked["archive"]) or not path.is_file():
            raise InputError("this archive is no longer there; upload it again")
        return str(path), "images"
    place = below(studio.folders, asked.get("root"), asked.get("path", ""))
    return str(place), place.stem


def sets() -> list[str]:
    """Images that need no download."""
    return [one.name for one in datasets() if one.ships]


def folder(studio: Studio) -> Path:
    """Where uploaded archives are."""
    return next(iter(studio.workspaces.values())).folder / "archives"


def _is_id(name: object) -> bool:
    return isinstance(name, str) and len(name) == 16 and all(c in "0123456789abcdef" for c in name)


def router(studio: Studio) -> APIRouter:
    made = APIRouter(prefix="/api")
    studio.panels["train"] = True
    coming: set[str] = set()

    @made.get("/train")
    def about() -> dict[str, Any]:
        known = recipes().items()
        return {
            "recipes": [{"name": name, "about": one.summary} for name, one in known],
            "folders": [place.name or str(place) for place in studio.folders],
            "sets": sets(),
            "own": studio.workspace.run.config.get("data", {}).get("name", ""),
        }

    @made.get("/train/folders")
    def folders(root: int, path: str = "") -> dict[str, Any]:
        place = below(studio.folders, root, path)
        if not place.is_dir():
            raise InputError("this is no folder")
        return {"root": root, "path": path, **listing(place)}

    @made.post("/archives")
    async def upload(request: Request) -> dict[str, Any]:
        """An archive of images: counted by the guard as it comes, checked before it is named."""
        place = folder(studio)
        place.mkdir(parents=True, exist_ok=True)
        name = secrets.token_hex(8)
        aside, size = place / f".{name}.part", 0
        if len(coming) >= COMING:
            raise InputError("other archives are still on their way; bring this one after them")
        coming.add(name)
        try:
            with aside.open("wb") as file:
                async for part in request.stream():
                    size += len(part)
                    await run_in_threadpool(file.write, part)
            if not await run_in_threadpool(is_archive, aside):
                raise InputError("this is no archive; bring a zip or tar of images")
            aside.rename(place / f"{name}.zip")
        finally:
            coming.discard(name)
            aside.unlink(missing_ok=True)
        _tidy(place)
        return {"id": name, "bytes": size}

    return made


def _tidy(place: Path) -> None:
    """Keep the latest few, and nothing that was cut short an hour ago."""
    kept = sorted(place.glob("*.zip"), key=lambda file: file.stat().st_mtime)
    for file in kept[:-ARCHIVES]:
        file.unlink(missing_ok=True)
    for aside in place.glob(".*.part"):
        if time.time() - aside.stat().st_mtime > 3600:
            aside.unlink(missing_ok=True)
