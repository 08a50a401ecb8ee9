"""Images inside a zip or tar: spans of bytes in a file of our own, never files of their names.

An archive nobody vouches for may name paths that climb out of it, links, devices, or unpack to far
more than it weighs. So nothing is extracted by name: members are streamed, counted, into one file,
and an image is an offset and a length in it.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from preimage.core import InputError

MEMBERS = 5_000_000  # an archive may hold
MEMBER_BYTES = 1 << 29  # one member may have; a larger one is skipped
TOTAL_BYTES = 1 << 38  # all may have
BOMB_RATIO, BOMB_BYTES = 200, 1 << 28  # unpacked ÷ packed that is suspicious, from this size on
ENDINGS = (".zip", ".tar", ".tgz", ".gz", ".xz", ".bz2")
COMPRESSIONS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_BLOCK = 1 << 20
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    IndexError,  # a name of no letters
    NotImplementedError,  # a version or a compression that is none
    OverflowError,
    UnicodeDecodeError,
)
"""What readers of archives raise on bytes that make no sense."""


@dataclass(frozen=True)
class Item:
    """Where the bytes of one image are."""

    name: str  # its path below the source
    path: str  # the file that holds it
    offset: int = 0
    length: int = -1  # the whole file


Skipped = list[tuple[str, str]]


def is_archive(path: Path) -> bool:
    """Whether it begins as one: no more is unpacked, since a header may name any size."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with _tar_stream(path) as stream:
            head = stream.read(tarfile.BLOCKSIZE)
        if head != bytes(tarfile.BLOCKSIZE):  # which is an empty tar
            tarfile.TarInfo.frombuf(head, tarfile.ENCODING, "surrogateescape")
        return True
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, zlib.error):
        return False


def _tar_stream(path: Path) -> IO[bytes]:
    """A tar, unpacked as it is read."""
    with path.open("rb") as file:
        begin = file.read(max(map(len, COMPRESSIONS)))
    opened = next((o for magic, o in COMPRESSIONS.items() if begin.startswith(magic)), open)
    return opened(path, "rb")


def unpack(path: Path, into: Path) -> tuple[list[Item], Skipped]:
    """Copy the members of an archive, one after the other, into the file `into`.

    Raises InputError where a member's path climbs out, or the whole looks like a bomb.
    """
    items: list[Item] = []
    skipped: Skipped = []
    budget = _Budget(path)
    opened = _zip_members if zipfile.is_zipfile(path) else _tar_members
    try:
        with into.open("wb") as out:
            for name, size, stream, problem in opened(path, budget):
                budget.member()
                if not problem and size > MEMBER_BYTES:
                    problem = f"{size / 2**20:.0f} MiB, more than one image may have"
                start = out.tell()
                if stream is not None and not problem:
                    problem = _copy(stream, out)
                if problem:
                    out.seek(start)
                    out.truncate()
                    skipped.append((name, problem))
                else:
                    place = str(PurePosixPath(name.replace("\\", "/")))
                    items.append(Item(place, str(into), start, out.tell() - start))
    except DAMAGE as error:
        raise InputError(f"{path} is a damaged archive: {error}") from None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        # No fault of the disk: gzip and bz2 say so that their data are damaged, and a zip's offset
        # may lie before the file.
        raise InputError(f"{path} is a damaged archive: {error}") from None
    return items, skipped


_Member = tuple[str, int, IO[bytes] | None, str]  # name, declared size, stream, problem


def _zip_members(path: Path, budget: _Budget) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
        budget.check(sum(m.file_size for m in members))  # `open` reads no more than it declares
        for member in members:
            _check_path(member.filename, path)
        for member in members:
            name = member.filename
            if (member.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                yield name, 0, None, "a link or device, not a file"
            elif member.flag_bits & 1:
                yield name, member.file_size, None, "encrypted"
            elif not _hidden(name):
                try:
                    with archive.open(member) as stream:
                        yield name, member.file_size, stream, ""
                except DAMAGE as error:
                    yield name, 0, None, str(error)


def _tar_members(path: Path, budget: _Budget) -> Iterator[_Member]:
    with _tar_stream(path) as stream:
        counted: Any = _Counted(stream, budget)
        with tarfile.open(fileobj=counted, mode="r|") as archive:
            for member in archive:
                _check_path(member.name, path)
                if member.isdir():
                    continue
                if not member.isfile():
                    yield member.name, 0, None, "a link or device, not a file"
                elif not _hidden(member.name):
                    yield member.name, member.size, archive.extractfile(member), ""


def _copy(stream: IO[bytes], out: IO[bytes]) -> str:
    """Copy a member; the reason where it cannot be read, or is more than one image may have."""
    copied = 0
    while True:
        try:
            block = stream.read(_BLOCK)
        except DAMAGE as error:
            return f"damaged in the archive: {error}"
        if not block:
            return ""
        copied += len(block)
        if copied > MEMBER_BYTES:
            return "more bytes than one image may have"
        out.write(block)


def _check_path(name: str, archive: Path) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or ".." in path.parts or drive:
        raise InputError(f"{archive} holds a path that climbs out of it: {name!r}; not opened")


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") for part in parts)


class _Budget:
    """How much an archive may still unpack to."""

    def __init__(self, path: Path):
        self.path, self.packed = path, max(1, path.stat().st_size)
        self.members = 0

    def member(self) -> None:
        self.members += 1
        if self.members > MEMBERS:
            raise InputError(f"{self.path} holds more than {MEMBERS:,} files; split it")

    def check(self, total: int) -> None:
        """Raises InputError where this many unpacked bytes are too many for the packed ones."""
        if total > TOTAL_BYTES or (total > BOMB_BYTES and total > BOMB_RATIO * self.packed):
            times = total / self.packed
            raise InputError(f"{self.path} unpacks {times:.0f}-fold: it looks like a bomb")


class _Counted:
    """A stream that counts what is read of it: a tar's padding and links are unpacked too."""

    def __init__(self, stream: Any, budget: _Budget):
        self.stream, self.budget, self.read_bytes = stream, budget, 0

    def read(self, size: int = -1) -> bytes:
        block = self.stream.read(size)
        self.read_bytes += len(block)
        self.budget.check(self.read_bytes)
        return block


@contextlib.contextmanager
def removed_after(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
