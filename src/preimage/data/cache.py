"""Decoded data sets on disk: written aside, renamed whole, opened as memory maps.

An entry is a folder: `images.npy`, the map; `meta.json` and small arrays, what is known of the
images; `manifest.json`, the files it came from with size and time; `skipped.jsonl`, the files left
out and why. Its name holds a hash of the source, the manifest and the options, so an entry that
can be found is one that fits. `splits/` remembers which images of a source were held out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1  # of an entry; raised whenever what is written, or how images are decoded, changes
_STAGING = "staging-"
_ASIDE = r"(\.[0-9a-f]{8})?"  # what a killed process had not renamed yet
_NAMES = {
    "data": rf"{_STAGING}.+-\d+-[0-9a-f]{{8}}|[\w.-]+-[0-9a-f]{{12}}-[0-9a-f]{{12}}",
    "splits": rf"[0-9a-f]{{32}}\.json{_ASIDE}",
    "statistics": rf"[0-9a-f]{{32}}\.safetensors{_ASIDE}",
    "studio": "[0-9a-f]{32}",
}
"""What each folder of a cache holds, by the names that are given there."""


@dataclass(frozen=True)
class Entry:
    """One decoded data set in the cache."""

    path: Path
    name: str
    source: str
    images: int
    shape: tuple[int, ...]
    bytes: int


def root(cache: str | os.PathLike[str] | None = None) -> Path:
    """The cache folder: the one given, or $PREIMAGE_CACHE, or the platform's usual place."""
    if cache is None:
        cache = os.environ.get("PREIMAGE_CACHE")
    if cache:
        return Path(cache).expanduser()
    import pooch

    return Path(pooch.os_cache("preimage"))


def entries(cache: str | os.PathLike[str] | None = None) -> list[Entry]:
    """What the cache holds, by name."""
    found = []
    for meta in sorted(root(cache).glob("data/*/meta.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(meta.read_text("utf-8"))
            size = sum(file.stat().st_size for file in meta.parent.iterdir())
            shape = tuple(known["spec"]["shape"])
            count = int(known["count"])
            found.append(Entry(meta.parent, known["name"], known["source"], count, shape, size))
    return found


def clear(cache: str | os.PathLike[str] | None = None, *, downloads: bool = False) -> int:
    """Delete all decoded data sets, and downloads too if asked; the bytes that were freed.

    Whatever else lies there stays: the cache may be in a folder that holds other work.
    """
    freed, base = 0, root(cache)
    for path in [*_made(base), *(_downloaded(base) if downloads else ())]:
        files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
        freed += sum(file.lstat().st_size for file in files if file.is_file())
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # a file, or a link
        for folder in path.parents[: len(path.relative_to(base).parts) - 1]:
            with contextlib.suppress(OSError):
                folder.rmdir()  # unless something else is in it
    return freed


def _made(base: Path) -> list[Path]:
    """The files and folders of a cache whose names only it gives."""
    return [
        path
        for kind, name in _NAMES.items()
        for path in (base / kind).glob("*")
        if re.fullmatch(name, path.name)
    ]


def _downloaded(base: Path) -> list[Path]:
    from preimage.data.named import DATASETS

    places = [
        base / "downloads" / one.name / file for one in DATASETS.values() for file, _ in one.files
    ]
    return [path for path in places if path.is_file()]


def digest(value: Any, size: int = 16) -> str:
    """A hash of anything JSON can hold."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def entry_path(base: Path, name: str, key: str) -> Path:
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:40] or "data"
    return base / "data" / f"{slug}-{key}"


@contextlib.contextmanager
def staging(base: Path) -> Iterator[Path]:
    """A folder to write an entry in; removed at the end unless it was published."""
    data = base / "data"
    data.mkdir(parents=True, exist_ok=True)
    _sweep(data)
    name = f"{_STAGING}{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder = data / name
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, final: Path) -> None:
    """Give a finished entry its name, unless another process finished the same one first."""
    try:
        folder.rename(final)
    except OSError:
        if not (final / "meta.json").is_file():
            raise


def remove(folders: Iterable[Path]) -> None:
    """Delete entries that a newer one of the same source replaces; open maps stay readable."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(data: Path) -> None:
    """Remove what killed processes of this machine left behind."""
    start = f"{_STAGING}{socket.gethostname()}-"
    for folder in data.glob(f"{start}*"):
        pid = folder.name.removeprefix(start).split("-")[0]
        if pid.isdecimal() and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def new_map(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    """A memory map on disk with its space already taken: a full disk says so here, in one error,
    and not later as a signal in the middle of a write."""
    images = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with path.open("r+b") as file:
        size = path.stat().st_size
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.seek(images.offset)
            for _ in range(images.offset, size, 1 << 24):
                file.write(bytes(min(1 << 24, size - file.tell())))
    return images


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), "utf-8")


def read_json(path: Path) -> Any:
    """The JSON in a file, or None where there is none that can be read."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


# --- which images of a source were held out ------------------------------------------------------


def split_from_json(value: Any) -> dict[int, bool]:
    """Hash of an image → whether it is held out."""
    return {
        int(image, 16): held
        for side, held in (("train", False), ("heldout", True))
        for image in value.get(side, ())
    }


def split_to_json(split: Mapping[int, bool]) -> dict[str, list[str]]:
    sides: dict[str, list[str]] = {"train": [], "heldout": []}
    for image, held in split.items():
        sides["heldout" if held else "train"].append(f"{image:016x}")
    return sides


def remembered_split(base: Path, source: str) -> dict[int, bool]:
    """Hash of an image → whether it was held out when this source was last read."""
    return split_from_json(read_json(_split_path(base, source)) or {})


def remember_split(base: Path, source: str, split: Mapping[int, bool]) -> None:
    path = _split_path(base, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    write_json(aside, {"source": source, **split_to_json(split)})
    aside.replace(path)


def _split_path(base: Path, source: str) -> Path:
    return base / "splits" / f"{digest(source)}.json"
