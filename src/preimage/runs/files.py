"""Files that are whole or not there: written aside, flushed, and renamed into place."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from preimage.core import InputError


@contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Turns the system's refusals to write below `path` into one line for the user."""
    try:
        yield
    except OSError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot write {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and go on with --resume"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "no permission; choose another folder with --out"
    if error.errno == errno.EFBIG:
        return "the file would be larger than the system allows; raise the limit"
    return f"{error.strerror or error}; choose another folder with --out"


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at once: a reader sees the old content or the new, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with readable_errors(path):
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def write_out(path: Path, content: bytes) -> Path:
    """`write_bytes`, to a folder that is made where it is not there yet."""
    with readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return path


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    # What is not Unicode in a file's name becomes an escape that JSON reads back as it was.
    write_bytes(path, (text + "\n").encode(errors="backslashreplace"))


def read_json(path: Path) -> Any:
    """The JSON of a file; raises InputError where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from None
    except RecursionError:
        raise InputError(f"{path} is not valid JSON of ours: it is nested too deeply") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def check_free(folder: Path, mend: str = "choose another --out") -> None:
    """Raises InputError, with the mend, where there is something already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already; {mend}")


def check_no_links(*paths: Path) -> None:
    """Raises InputError where one of them is a link."""
    for path in paths:
        if path.is_symlink():
            raise InputError(f"{path} is a link, which is not written through; put a copy there")


def check_makeable(folder: Path) -> None:
    """Raises InputError where the folder cannot be made or written to; leaves nothing behind."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with readable_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()
        finally:
            for path in made:  # the innermost first
                with suppress(OSError):
                    path.rmdir()


def unused_folder(name: str, recipe: str) -> Path:
    """`runs/NAME-RECIPE`, with a number where that is taken."""
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in name).strip("-") or "images"
    base = Path("runs") / f"{stem}-{recipe}"
    path, number = base, 2
    while path.exists():
        path, number = base.with_name(f"{base.name}-{number}"), number + 1
    return path
