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

A run may come from a stranger, jobs and all: what was asked bears a mark that only this user's
studio can make, and a job without it is not touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from preimage.core import InputError
from preimage.data import cache as store
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
    mark: str = ""  # of what was asked, by the user who did

    def marked(self) -> Record:
        return replace(self, mark=self._mark())

    @property
    def own(self) -> bool:
        """Whether this user has asked for it, and for just that."""
        return hmac.compare_digest(str(self.mark).encode(), self._mark().encode())

    def _mark(self) -> str:
        asked = json.dumps([self.id, self.kind, self.request], sort_keys=True)
        return hmac.new(_secret(), asked.encode(), hashlib.sha256).hexdigest()


def _secret() -> bytes:
    """Made once for each user."""
    path = store.root() / "kept" / "jobs.key"
    with readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(made, "wb") as file:
                file.write(secrets.token_bytes(32))
        return path.read_bytes()


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
            record = Record(name, kind, title, time.time(), request).marked()
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

    @property
    def own(self) -> bool:
        """Whether this user's studio made it, and nothing in it leads elsewhere."""
        entries = (self.path, *self.path.iterdir())
        record = self.record
        return (
            record.own
            and record.id == self.path.name
            and not any(entry.is_symlink() for entry in entries)
        )

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
                    found = json.loads(line, parse_constant=lambda name: None)  # NaN and such
                except ValueError:
                    continue  # a kill cut it short, and another attempt wrote on
                if isinstance(found, dict):
                    yield found
