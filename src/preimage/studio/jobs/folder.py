"""A job on disk: one folder that holds what was asked, how far it is, and what came of it.

    job.json        what was asked and how it stands; the queue alone writes it
    inputs          files that the job works on: images, masks, latents
    progress.jsonl  a line a step; a kill cuts at most the last one
    log             all that its process printed
    preview.png     what it looks like now
    outcome.json    the result, or what went wrong; of which attempt; written last
    the files that the result names

Every file but the lines of progress and log is replaced at once, so a kill at any moment leaves a
job that can be begun again.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from preimage.core import InputError
from preimage.runs.files import read_json, readable_errors, write_bytes, write_json

IDS = re.compile(r"[0-9a-f]{16}")
FILES = re.compile(r"[a-z0-9][a-z0-9-]*\.(?:png|safetensors|json)")  # what a page may ask for
ENDED = ("done", "failed", "cancelled")
TAIL = 4000  # letters of the log that are shown


@dataclass(frozen=True)
class Record:
    """What job.json holds."""

    id: str
    kind: str
    title: str  # for a person
    created: float  # seconds since 1970
    request: dict[str, Any] = field(default_factory=dict)
    status: str = "queued"
    message: str = ""  # what went wrong, in a line
    attempt: int = 0  # how often it was begun


class JobFolder:
    """`JobFolder.create` makes one; `JobFolder(path)` is one that is there."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(
        cls,
        parent: Path,
        kind: str,
        title: str,
        request: dict[str, Any],
        inputs: Mapping[str, bytes],
    ) -> JobFolder:
        """A new folder below `parent`, which is there in full or not at all."""
        name = secrets.token_hex(8)
        aside = parent / f".{name}.part"
        with readable_errors(parent):
            aside.mkdir(parents=True)
        try:
            for file, content in inputs.items():
                write_bytes(aside / file, content)
            record = Record(name, kind, title, time.time(), request)
            write_json(aside / "job.json", asdict(record))
            with readable_errors(parent):
                aside.rename(parent / name)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        return cls(parent / name)

    @property
    def record(self) -> Record:
        """Raises InputError where job.json is missing or broken."""
        try:
            return Record(**read_json(self.path / "job.json"))
        except TypeError:
            raise InputError(f"{self.path}/job.json is none of this version") from None

    def write(self, record: Record) -> None:
        write_json(self.path / "job.json", asdict(record))

    def outcome(self, attempt: int) -> dict[str, Any] | None:
        """{"result": …} or {"error": …}; None before that attempt ends.

        A worker that outlives its studio may still end an earlier one.
        """
        path = self.path / "outcome.json"
        found = read_json(path) if path.is_file() else {}
        return found if found.get("attempt") == attempt else None

    def end(self, attempt: int, **outcome: Any) -> None:
        write_json(self.path / "outcome.json", {"attempt": attempt, **outcome})

    def file(self, name: str) -> Path:
        """A file of the job. Raises InputError for a name that is none of one."""
        path = self.path / name
        if not FILES.fullmatch(name) or not path.is_file():
            raise InputError(f"this job has no file {name[:60]!r}")
        return path

    def log_tail(self) -> str:
        path = self.path / "log"
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode(errors="replace")


class Lines:
    """The lines of progress, read as they come."""

    def __init__(self, path: Path):
        self.path, self._place = path, 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Those since the last call; one that is still being written is left for the next."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._place)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._place += len(line)
                try:
                    found = json.loads(line)
                except ValueError:
                    continue  # a kill cut it short, and another attempt wrote on
                if isinstance(found, dict):
                    yield found
