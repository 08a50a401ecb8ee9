"""A folder of images: which files are candidates, and what their places in it say of them."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from preimage.core.words import counted
from preimage.data.archives import Item, Skipped

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation", "heldout", "held-out")
NOISE = {"thumbs.db", "desktop.ini", "__macosx"}


@dataclass
class Structure:
    """What folders say: sides and class labels of images, where they say anything."""

    sides: list[str] | None = None  # "train" or "test" of each image
    labels: np.ndarray | None = None  # (N,) int64
    classes: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def scan(folder: Path) -> tuple[list[Item], list[tuple[int, int]], Skipped]:
    """Every regular file below a folder in order of name, its (size, mtime), and what is none.

    Links to files and folders are followed, each folder once. Runs below it are passed over: their
    pictures are made, and training that writes here would change its own images.
    """
    found: list[tuple[Item, tuple[int, int]]] = []
    skipped: Skipped = []
    seen: set[tuple[int, int]] = set()

    def unreadable(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder)
        skipped.append((name, error.strerror or "cannot be read"))

    for where, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        status = os.stat(where)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(f for f in folders if not _noise(f))
        inside = PurePath(os.path.relpath(where, folder))
        before = "" if inside == PurePath(".") else f"{inside.as_posix()}/"
        if before and "checkpoints" in folders and _is_run(os.path.join(where, "config.json")):
            folders.clear()
            skipped.append((inside.as_posix(), "a run, not images"))
            continue
        for file in sorted(files):
            path = os.path.join(where, file)
            name = before + file
            if _noise(file):
                continue
            try:
                status = os.stat(path)
            except OSError as error:
                skipped.append((name, error.strerror or "cannot be read"))
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((Item(name, path), (status.st_size, status.st_mtime_ns)))
            else:
                skipped.append((name, "not a regular file"))
    found.sort(key=lambda pair: pair[0].name)
    return [item for item, _ in found], [stamp for _, stamp in found], skipped


def _is_run(config: str) -> bool:
    """Whether this is the config of a run of ours."""
    try:
        with open(config, encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(known, dict) and {"format", "plan"} <= known.keys()


def _noise(name: str) -> bool:
    return name.startswith(".") or name.lower() in NOISE


def structure(names: list[str]) -> Structure:
    """Sides from top-level folders `train` and `test`, labels from the next level of folders.

    Folders that all images share say nothing and are passed over.
    """
    places = _without_common([PurePosixPath(name).parts[:-1] for name in names])
    found = Structure()
    tops = {place[0].lower() if place else "" for place in places}
    if tops & set(TRAIN) and tops & set(TEST) and tops <= {*TRAIN, *TEST}:
        found.sides = ["train" if p[0].lower() in TRAIN else "test" for p in places]
        places = _without_common([place[1:] for place in places])
    firsts = [place[0] if place else "" for place in places]
    classes = tuple(sorted(set(firsts), key=_natural))
    if "" in classes or len(classes) < 2:
        if len(classes) > 1:
            loose = counted(firsts.count(""), "image")
            found.notes.append(f"Subfolders are no class labels: {loose} beside them.")
    elif len(classes) > len(names) / 2:
        found.notes.append(f"{len(classes)} subfolders for {len(names)} images: no class labels.")
    else:
        index = {name: i for i, name in enumerate(classes)}
        found.classes = classes
        found.labels = np.array([index[first] for first in firsts], np.int64)
    return found


def side(name: str) -> str:
    """ "train" or "test" where a folder in the path says so, else ""."""
    for part in PurePosixPath(name).parts[:-1]:
        if part.lower() in TRAIN:
            return "train"
        if part.lower() in TEST:
            return "test"
    return ""


def _without_common(places: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    depth = 0
    while places and all(len(p) > depth and p[depth] == places[0][depth] for p in places):
        depth += 1
    return [place[depth:] for place in places]


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Sort key under which s2 comes before s10."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p] + [(2, name)]
