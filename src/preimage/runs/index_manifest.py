"""The one file that says what an index holds: replaced at once, so a change is there or not.

`index.json` names the files and carries a checksum of its own; `index.previous.json` is the one
before it, read where `index.json` is damaged. Files that neither names are left over from a writer
that was killed, and the next one deletes them.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import preimage
from preimage.core import InputError
from preimage.runs.files import read_json, readable_errors, write_bytes, write_json

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

MANIFEST, PREVIOUS, LOCK = "index.json", "index.previous.json", ".lock"
FORMAT = 1
OURS = re.compile(r"\d{6,}\.(?:images|vectors|lists|removed|likeness)\.safetensors")
PART = re.compile(r"\.index(?:\.previous)?\.json\.\d+\.part")  # of a manifest

Manifest = dict[str, Any]


def read_manifest(folder: Path) -> tuple[Manifest, tuple[str, ...]]:
    """What an index holds, and what a person should know of it.

    Raises InputError where there is none, none that is whole, or one of a newer version.
    """
    if not folder.exists():
        raise InputError(f"{folder} is no index: there is no such folder")
    if not (folder / MANIFEST).exists():
        raise InputError(
            f"{folder} is no index: it has no {MANIFEST}; make one with: preimage index"
        )
    try:
        return _whole(folder / MANIFEST), ()
    except InputError as error:
        try:
            before = _whole(folder / PREVIOUS)
        except InputError:
            raise error from None
        return before, (f"{error}; what was committed before it is read",)


def _whole(path: Path) -> Manifest:
    said = read_json(path)
    if not isinstance(said, dict) or "checksum" not in said:
        raise InputError(f"{path} is not the manifest of an index")
    if said.get("format") != FORMAT:
        raise InputError(
            f"{path} is of format {said.get('format')!r}, and this version reads {FORMAT}; "
            "upgrade preimage"
        )
    if said.pop("checksum") != _checksum(said):
        raise InputError(f"{path} is damaged: its checksum is of something else")
    return said


def commit(folder: Path, said: Mapping[str, Any]) -> Manifest:
    """Replace the manifest. From here on the index holds what it says."""
    said = {"format": FORMAT, "preimage": preimage.__version__, **said}
    try:
        _whole(folder / MANIFEST)
        write_bytes(folder / PREVIOUS, (folder / MANIFEST).read_bytes())
    except InputError:
        pass  # there is none yet, or a damaged one, which must not take the place of a whole one
    write_json(folder / MANIFEST, {**said, "checksum": _checksum(said)})
    return dict(said)


def only_ours(folder: Path) -> bool:
    """Whether all that a folder holds was left by a writer killed before its first commit."""
    if not folder.is_dir() or (folder / MANIFEST).exists():
        return False
    return all(_left_over(path.name) or path.name == LOCK for path in folder.iterdir())


def _left_over(name: str) -> bool:
    return OURS.fullmatch(name) is not None or PART.fullmatch(name) is not None


def sweep(folder: Path, named: Iterable[str]) -> None:
    """Delete files of ours that neither manifest names; the writer's lock must be held."""
    kept = set(named)
    with suppress(OSError, UnicodeDecodeError):  # there may be none yet
        kept |= set(re.findall(OURS, (folder / PREVIOUS).read_text("utf-8")))
    with readable_errors(folder):
        for path in folder.iterdir():
            if _left_over(path.name) and path.name not in kept:
                path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the index for writing. Raises InputError where another process does."""
    with readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file: io.TextIOWrapper = (folder / LOCK).open("w")
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(f"{folder} is being written by another process") from None
        yield


def _checksum(said: Mapping[str, Any]) -> str:
    text = json.dumps(said, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
