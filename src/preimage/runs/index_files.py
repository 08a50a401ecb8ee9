"""Files of an index: arrays that are mapped from the disk, never loaded, with a checksum each.

The format is safetensors, read by its own description: eight bytes that say how long the header
is, the header as JSON, the arrays one after another. Nothing in it can run, and a file that says
what is not so (offsets beyond its end, lengths that do not match) is refused before it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preimage.core import InputError
from preimage.runs.files import readable_errors

TYPES = {"U8": "u1", "U64": "<u8", "I64": "<i8", "F32": "<f4"}
HEADER = 100_000_000  # bytes at most, as safetensors has it
CHUNK = 1 << 22


@dataclass(frozen=True)
class File:
    """A file that the index names, and what it must be."""

    name: str
    size: int  # bytes
    hash: str  # of all of them

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "bytes": self.size, "hash": self.hash}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> File:
        """Raises ValueError, TypeError or KeyError for what is no such thing."""
        name = str(said["name"])
        if Path(name).name != name or name.startswith("."):  # beside the index, nowhere else
            raise ValueError
        return cls(name, int(said["bytes"]), str(said["hash"]))

    def damage(self, folder: Path) -> str | None:
        """What is wrong with it at a glance; FileNotFoundError where it is not there."""
        size = (folder / self.name).stat().st_size
        if size == self.size:
            return None
        what = "is cut short" if size < self.size else "was written to"
        return f"{folder / self.name} {what}: {size:,} of {self.size:,} bytes"

    def check(self, folder: Path) -> None:
        """Read all of it. Raises InputError where it is not what was written."""
        try:
            found = hashed(folder / self.name)
        except OSError as error:
            raise InputError(f"{folder / self.name} cannot be read: {error.strerror}") from None
        if found != self.hash:
            raise InputError(self.damage(folder) or f"{folder / self.name} is damaged")


def hashed(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], said: Mapping[str, Any]) -> File:
    """Write a new file, and have it on the disk before anything names it."""
    kinds = {np.dtype(kind): name for name, kind in TYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"index": json.dumps(said, ensure_ascii=False)}}
    at = 0
    for name, array in arrays.items():
        span = [at, at + array.nbytes]
        shape = list(array.shape)
        header[name] = {"dtype": kinds[array.dtype], "shape": shape, "data_offsets": span}
        at = span[1]
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.blake2b(digest_size=16)
    with readable_errors(path), path.open("wb") as file:
        bodies = (
            np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays.values()
        )
        for piece in (len(text).to_bytes(8, "little"), text, *bodies):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return File(path.name, 8 + len(text) + at, digest.hexdigest())


@dataclass(frozen=True)
class Arrays:
    """A file's arrays as read-only memory maps, and what was said of them."""

    path: Path
    maps: Mapping[str, np.ndarray]
    offsets: Mapping[str, int]  # bytes from the file's start
    said: Mapping[str, Any]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.maps[name]

    @classmethod
    def open(cls, path: Path) -> Arrays:
        """Raises InputError where it is no such file, FileNotFoundError where it is gone."""
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                length = int.from_bytes(file.read(8), "little")
                if not 0 < length <= min(HEADER, size - 8):
                    raise ValueError
                header = json.loads(file.read(length))
            said = json.loads(header.pop("__metadata__")["index"])
            whole = np.memmap(path, np.uint8, mode="r")
            maps, offsets = {}, {}
            for name, facts in header.items():
                kind, shape = np.dtype(TYPES[facts["dtype"]]), tuple(map(int, facts["shape"]))
                first, last = (8 + length + int(at) for at in facts["data_offsets"])
                n = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
                if not (8 + length <= first <= last <= size and last - first == n >= 0):
                    raise ValueError
                maps[name] = whole[first:last].view(kind).reshape(shape)
                offsets[name] = first
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InputError(f"{path} is no file of an index that this version can read") from None
        return cls(path, maps, offsets, said)


def packed(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Byte strings one after another, (bytes,) uint8, and where each ends, (N,) int64."""
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), ends


def unpacked(blob: np.ndarray, ends: np.ndarray, row: int) -> bytes:
    """The byte string of a row; empty where the file says what cannot be."""
    first = int(ends[row - 1]) if row else 0
    return blob[max(first, 0) : max(int(ends[row]), 0)].tobytes()
