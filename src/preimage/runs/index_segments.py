"""An index as files of ours: parts that never change, and a manifest that names them.

Parts are merged while the last is at least half of the one before it, so there are few, and each
image is written again a few times at most (a log-structured merge: O'Neil et al. 1996). From
100,000 images on, inverted lists take over from comparing with every vector; what was added since
they were made is compared with one by one, until it is a tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from preimage.applications.filters import Condition
from preimage.applications.retrieval import EXACT, merged, nearest
from preimage.core import InputError
from preimage.runs.index_files import Arrays, File, write_arrays
from preimage.runs.index_manifest import Manifest, commit, read_manifest, sweep
from preimage.runs.index_parts import (
    OpenLists,
    OpenPart,
    Part,
    Vectors,
    joined,
    lists_possible,
    write_lists,
    write_part,
)
from preimage.runs.index_store import Entry, Rows

LARGEST = 100_000  # images of a merged part
STALE = 0.1  # of the images in lists: as many new or removed ones, and they are made anew
SMALL = 64_000_000  # bytes: an index of fewer is read whole when it is opened, to see that it is
TRIES = 5  # at opening, while another process replaces what the manifest names


class Segments:
    """The images of an index, as `index_store.Store` has it."""

    def __init__(self, folder: Path, d: int, width: int, vectors: Vectors | None):
        """d, width: numbers of a latent, and of a vector, which `vectors` makes of latents."""
        self.folder, self.d, self.width, self._vectors = folder, d, width, vectors
        for left in reversed(range(TRIES)):
            try:
                self._load(last=not left)
                break
            except FileNotFoundError:
                continue

    def _load(self, *, last: bool) -> None:
        """Raises FileNotFoundError where a file has just been replaced, but for the last try."""
        said, notes = read_manifest(self.folder)
        self.manifest: Manifest = said
        self.parts: list[OpenPart] = []
        self.lists: OpenLists | None = None
        self.covered = 0  # parts whose vectors are in lists
        lost: list[str] = []
        parts = [Part.from_json(part) for part in said["parts"]]
        listed = None if said["lists"] is None else File.from_json(said["lists"])
        files = [file for part in parts for file in part.files]
        if sum(file.size for file in files) < SMALL:
            damaged = {file.name for file in files if not self._is_whole(file, last)}
        else:
            damaged = set()
        if listed is not None:
            try:
                self.lists = self._lists(listed)
            except (InputError, FileNotFoundError) as error:
                if isinstance(error, FileNotFoundError) and not last:
                    raise
                lost.append(str(error))
        first = 0
        for part in parts:
            try:
                for file in part.files:
                    if file.name in damaged:
                        file.check(self.folder)
                found = OpenPart.open(self.folder, part, first, self.d, self.width)
                if found.vectors is None and not self._listed(found):
                    found = self._without_lists(found)
            except (InputError, FileNotFoundError) as error:
                if isinstance(error, FileNotFoundError) and not last:
                    raise
                lost.append(f"{error}; its {part.count:,} images are left out")
                continue
            finally:
                first += part.count
            self.parts.append(found)
        self.positions = first
        self.covered = 0 if self.lists is None else self.lists.count
        self.notes = (*notes, *lost)
        self._index(self._removed(last))

    def _is_whole(self, file: File, last: bool) -> bool:
        try:
            file.check(self.folder)
        except InputError:
            if not (self.folder / file.name).exists() and not last:
                raise FileNotFoundError(file.name) from None
            return False
        return True

    def _lists(self, file: File) -> OpenLists:
        if damage := file.damage(self.folder):
            raise InputError(damage)
        return OpenLists(Arrays.open(self.folder / file.name), self.width)

    def _listed(self, part: OpenPart) -> bool:
        return self.lists is not None and part.first + part.part.count <= self.lists.count

    def _without_lists(self, part: OpenPart) -> OpenPart:
        if self._vectors is None:
            raise InputError(f"{part.images.path}: the vectors were in the damaged lists")
        vectors = self._vectors(np.asarray(part.images["latents"]))
        return replace(part, vectors=vectors)

    def _removed(self, last: bool) -> np.ndarray:
        """The ids that are gone, ascending."""
        if self.manifest["removed"] is None:
            return np.empty(0, np.int64)
        file = File.from_json(self.manifest["removed"])
        try:
            file.check(self.folder)
            return Arrays.open(self.folder / file.name)["ids"]
        except (InputError, FileNotFoundError) as error:
            if not (self.folder / file.name).exists() and not last:
                raise FileNotFoundError(file.name) from None
            self.notes = (*self.notes, f"{error}; images that were removed are back")
            return np.empty(0, np.int64)

    def _index(self, removed: np.ndarray) -> None:
        """Where each image stands among all positions, and which are there."""
        self.removed = removed
        positions = [part.first + np.arange(part.part.count) for part in self.parts]
        ids = [np.asarray(part.images["ids"]) for part in self.parts]
        at = np.concatenate(positions) if positions else np.empty(0, np.int64)
        every = np.concatenate(ids) if ids else np.empty(0, np.int64)
        there = ~np.isin(every, removed) if len(removed) else np.ones(len(every), bool)
        self._live: np.ndarray | None = None  # (positions,) bool; None where all are
        if not there.all() or len(every) < self.positions:
            self._live = np.zeros(self.positions, bool)
            self._live[at[there]] = True
        self.ids, self._at = every[there], at[there]
        self._id_at = np.full(self.positions, -1, np.int64)
        self._id_at[at] = every
        hashes = [np.asarray(part.images["hashes"]) for part in self.parts]
        self.hashes = (np.concatenate(hashes) if hashes else np.empty(0, np.uint64))[there]

    @property
    def recall(self) -> float | None:
        return None if self.lists is None else self.lists.recall

    def known(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for part in self.parts:
            for name, column in part.columns.items():
                found[name] = tuple(dict.fromkeys([*found.get(name, ()), *column.categories]))
        return found

    def names(self) -> list[str]:
        return [entry for part in self.parts for entry in self._live_names(part)]

    def _live_names(self, part: OpenPart) -> list[str]:
        names = part.names()
        if self._live is None:
            return names
        live = self._live[part.first : part.first + part.part.count]
        return [name for name, there in zip(names, live, strict=True) if there]

    def entries(self, ids: Sequence[int]) -> list[Entry]:
        return [part.entry(row) for part, row in self._found(ids)]

    def vectors(self, ids: Sequence[int]) -> np.ndarray:
        rows = [self._vectors_of(part, [row]) for part, row in self._found(ids)]
        return np.concatenate(rows) if rows else np.empty((0, self.width), np.float32)

    def _found(self, ids: Sequence[int]) -> list[tuple[OpenPart, int]]:
        """The part of each, and the row in it."""
        found = []
        for one in ids:
            i = int(np.searchsorted(self.ids, one))
            if i == len(self.ids) or self.ids[i] != one:
                raise InputError(f"{self.folder} has no image with the id {one}")
            position = int(self._at[i])
            part = next(p for p in reversed(self.parts) if p.first <= position)
            found.append((part, position - part.first))
        return found

    def search(
        self, queries: np.ndarray, k: int, where: Condition | None = None, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        queries = np.ascontiguousarray(queries, np.float32)
        keep = self._live if where is None else self._wanted(where)
        found = []
        if self.lists is not None:
            kept = None if keep is None else keep[: self.covered]
            found.append(self.lists.search(queries, k, kept, exact))
        for part in self.parts:
            if part.vectors is None:
                continue
            kept = None if keep is None else keep[part.first : part.first + part.part.count]
            rows = None if kept is None or kept.all() else np.flatnonzero(kept)
            distances, at = nearest(queries, part.vectors, k, rows)
            found.append((distances, at + part.first))
        if not found:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        distances, at = merged(found, k)
        there = (at >= 0) & (at < self.positions)
        distances = np.where(there, np.sqrt(np.maximum(distances, 0)), np.inf)
        return distances, np.where(there, self._id_at[np.where(there, at, 0)], -1)

    def _wanted(self, where: Condition) -> np.ndarray:
        keep = np.zeros(self.positions, bool)
        for part in self.parts:
            keep[part.first : part.first + part.part.count] = part.holds(where)
        return keep if self._live is None else keep & self._live

    def add(self, rows: Rows) -> np.ndarray:
        self._repair()
        first = int(self.manifest["next"])
        ids = np.arange(first, first + len(rows))
        made = write_part(self.folder, self._number(), rows, ids)
        parts = [part.part for part in self.parts]
        self._commit([*parts, made], next=first + len(rows))
        while len(self.parts) > 1 and self._mergeable(*self.parts[-2:]):
            self._merge(self.parts[-2:])
        return ids

    def remove(self, ids: np.ndarray) -> None:
        self._repair()
        gone = np.union1d(self.removed, np.asarray(ids, np.int64))
        path = self.folder / f"{self._number():06d}.removed.safetensors"
        file = write_arrays(path, {"ids": gone}, {})
        self._commit([part.part for part in self.parts], removed=file.to_json())

    def settle(self) -> None:
        """Make inverted lists, where there are enough images, or too many changes since."""
        self._repair()
        n, gone = len(self.ids), self.positions - len(self.ids)
        if gone > STALE * self.positions:
            self._rewrite()
        fresh = sum(part.part.count for part in self.parts if part.vectors is not None)
        if not lists_possible() or n < EXACT or fresh <= STALE * self.covered:
            return
        vectors = np.concatenate([self._vectors_of(part) for part in self.parts])
        file = write_lists(self.folder, self._number(), vectors)
        parts = [Part(part.part.count, part.part.images, None) for part in self.parts]
        self._commit(parts, lists=file.to_json())

    def check(self) -> None:
        if self.notes:
            raise InputError(self.notes[0])
        said = [self.manifest[name] for name in ("lists", "removed")]
        files = [file for part in self.parts for file in part.part.files]
        for file in (*files, *(File.from_json(one) for one in said if one is not None)):
            file.check(self.folder)

    def _vectors_of(self, part: OpenPart, rows: Sequence[int] | None = None) -> np.ndarray:
        some = np.arange(part.part.count) if rows is None else np.asarray(rows)
        if part.vectors is not None:
            return part.vectors[some]
        assert self.lists is not None
        return self.lists.vectors(part.first + some)

    def _rows(self, part: OpenPart) -> Rows:
        """What is left of a part."""
        n = part.part.count
        live = np.ones(n, bool) if self._live is None else self._live[part.first : part.first + n]
        return part.rows(self._vectors_of(part), live)

    def _mergeable(self, a: OpenPart, b: OpenPart) -> bool:
        n, m = a.part.count, b.part.count
        return a.vectors is not None and 2 * m >= n and n + m <= LARGEST and self._alike(a, b)

    def _alike(self, *parts: OpenPart) -> bool:
        kinds: dict[str, bool] = {}
        return all(
            kinds.setdefault(name, bool(column.categories)) == bool(column.categories)
            for part in parts
            for name, column in part.columns.items()
        )

    def _merge(self, two: Sequence[OpenPart]) -> None:
        rows = joined([self._rows(part) for part in two])
        ids = np.concatenate([self._live_ids(part) for part in two])
        made = [write_part(self.folder, self._number(), rows, ids)] if len(rows) else []
        self._commit([*(part.part for part in self.parts[:-2]), *made])

    def _repair(self) -> None:
        """Leave out for good what is damaged: lists count through all images there ever were."""
        if self.notes:
            self._rewrite()

    def _rewrite(self) -> None:
        """All parts without what was removed; lists, which count through all, are made anew."""
        made = []
        for part in self.parts:
            rows, number = self._rows(part), self._number() + len(made)
            if len(rows):
                made.append(write_part(self.folder, number, rows, self._live_ids(part)))
        self._commit(made, lists=None, removed=None)

    def _live_ids(self, part: OpenPart) -> np.ndarray:
        ids = np.asarray(part.images["ids"])
        return ids[~np.isin(ids, self.removed)]

    def _number(self) -> int:
        return int(self.manifest["number"]) + 1

    def _commit(self, parts: Sequence[Part], **changes: object) -> None:
        numbers = [int(file.name.split(".")[0]) for part in parts for file in part.files]
        said = {
            **self.manifest,
            "parts": [part.to_json() for part in parts],
            "number": max([self._number(), *numbers]),
            **changes,
        }
        del said["format"], said["preimage"]
        commit(self.folder, said)
        named = [file.name for part in parts for file in part.files]
        named += [said[key]["name"] for key in ("lists", "removed", "likeness") if said[key]]
        sweep(self.folder, named)
        self._load(last=True)
