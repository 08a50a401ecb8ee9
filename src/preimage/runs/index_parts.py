"""A part of an index: images that were committed together, in files that never change again.

NNNNNN.images.safetensors holds what is known of them, NNNNNN.vectors.safetensors what is searched,
NNNNNN.lists.safetensors what is searched of many parts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from preimage.applications.filters import Column, Condition, holds
from preimage.applications.retrieval import make_lists, nearest
from preimage.core import InputError
from preimage.runs.index_files import Arrays, File, packed, unpacked, write_arrays
from preimage.runs.index_store import Entry, Rows

FEW = 10_000  # images of which a condition holds, compared one by one though there are lists
NUMBER = 8  # bytes of an image's number in a list


@dataclass(frozen=True)
class Part:
    """Images that were committed together."""

    count: int
    images: File
    vectors: File | None  # none where lists hold them

    def to_json(self) -> dict[str, Any]:
        files = {"images": self.images, "vectors": self.vectors}
        named = {key: None if file is None else file.to_json() for key, file in files.items()}
        return {"count": self.count, **named}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Part:
        vectors = None if said["vectors"] is None else File.from_json(said["vectors"])
        return cls(int(said["count"]), File.from_json(said["images"]), vectors)

    @property
    def files(self) -> list[File]:
        return [self.images, *([] if self.vectors is None else [self.vectors])]


def write_part(folder: Path, number: int, rows: Rows, ids: np.ndarray) -> Part:
    names, name_ends = packed([name.encode("utf-8", "surrogateescape") for name in rows.names])
    thumbnails, thumbnail_ends = packed(list(rows.thumbnails))
    columns = {
        f"attribute-{i}": np.asarray(column.values, np.float32)
        for i, column in enumerate(rows.attributes.values())
    }
    images = write_arrays(
        folder / f"{number:06d}.images.safetensors",
        {
            "ids": np.asarray(ids, np.int64),
            "hashes": np.asarray(rows.hashes, np.uint64),
            "latents": np.asarray(rows.latents, np.float32),
            "names": names,
            "name_ends": name_ends,
            "thumbnails": thumbnails,
            "thumbnail_ends": thumbnail_ends,
            **columns,
        },
        {"attributes": [[name, list(c.categories)] for name, c in rows.attributes.items()]},
    )
    path = folder / f"{number:06d}.vectors.safetensors"
    vectors = write_arrays(path, {"vectors": np.asarray(rows.vectors, np.float32)}, {})
    return Part(len(rows), images, vectors)


@dataclass(frozen=True)
class OpenPart:
    """A part, mapped from its files."""

    part: Part
    first: int  # position of its first image among those of all parts
    images: Arrays
    vectors: np.ndarray | None  # (count, d'); none where lists hold them
    columns: dict[str, Column]

    @classmethod
    def open(cls, folder: Path, part: Part, first: int, d: int, width: int) -> OpenPart:
        """Raises InputError where its files are not as they were written."""
        for file in part.files:
            if damage := file.damage(folder):
                raise InputError(damage)
        images, n = Arrays.open(folder / part.images.name), part.count
        layout: Layout = {
            "ids": (np.int64, (n,)),
            "hashes": (np.uint64, (n,)),
            "latents": (np.float32, (n, d)),
            "name_ends": (np.int64, (n,)),
            "thumbnail_ends": (np.int64, (n,)),
        }
        right = _laid_out(images, layout) and {"names", "thumbnails"} <= images.maps.keys()
        columns = _columns_of(images, n)
        vectors = None
        if part.vectors is not None:
            searched = Arrays.open(folder / part.vectors.name)
            right &= _laid_out(searched, {"vectors": (np.float32, (n, width))})
            vectors = searched.maps.get("vectors")
        if columns is None or not right:
            raise InputError(f"{images.path} does not hold what the index says")
        return cls(part, first, images, vectors, columns)

    def name(self, row: int) -> str:
        blob = unpacked(self.images["names"], self.images["name_ends"], row)
        return blob.decode("utf-8", "surrogateescape")

    def names(self) -> list[str]:
        return [self.name(row) for row in range(self.part.count)]

    def thumbnail(self, row: int) -> bytes:
        return unpacked(self.images["thumbnails"], self.images["thumbnail_ends"], row)

    def entry(self, row: int) -> Entry:
        known: dict[str, float | str] = {}
        for name, column in self.columns.items():
            value = float(column.values[row])
            if np.isfinite(value):
                known[name] = column.categories[int(value)] if column.categories else value
        return Entry(
            int(self.images["ids"][row]),
            self.name(row),
            np.array(self.images["latents"][row]),
            known,
            self.thumbnail(row),
        )

    def holds(self, where: Condition) -> np.ndarray:
        return holds(where, self.columns, self.names, self.part.count)

    def rows(self, vectors: np.ndarray, kept: np.ndarray) -> Rows:
        """The rows (count,) bool that are kept, to be written anew."""
        some = np.flatnonzero(kept).tolist()
        return Rows(
            [self.name(row) for row in some],
            self.images["hashes"][some],
            self.images["latents"][some],
            vectors[some],
            [self.thumbnail(row) for row in some],
            {name: replace(c, values=c.values[some]) for name, c in self.columns.items()},
        )


Layout = dict[str, tuple[type, tuple[int, ...]]]  # name of an array → its numbers and shape


def _laid_out(arrays: Arrays, layout: Layout) -> bool:
    return all(
        name in arrays.maps and (arrays[name].dtype, arrays[name].shape) == (kind, shape)
        for name, (kind, shape) in layout.items()
    )


def _columns_of(images: Arrays, n: int) -> dict[str, Column] | None:
    """What a part says that it knows of its n images; None where it does not hold that."""
    columns = {}
    try:
        for i, (name, words) in enumerate(images.said["attributes"]):
            values = images[f"attribute-{i}"]
            codes = values[np.isfinite(values)] if words else values[:0]
            right = isinstance(name, str) and all(isinstance(word, str) for word in words)
            right &= (values.dtype, values.shape) == (np.float32, (n,))
            if not right or not ((codes >= 0) & (codes < len(words))).all():
                return None
            columns[name] = Column(values, tuple(words))
    except (KeyError, TypeError, ValueError):
        return None
    return columns


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows after one another; what is known of some only is unknown of the others."""
    names = dict.fromkeys(name for rows in parts for name in rows.attributes)
    return Rows(
        [name for rows in parts for name in rows.names],
        np.concatenate([rows.hashes for rows in parts]),
        np.concatenate([rows.latents for rows in parts]),
        np.concatenate([rows.vectors for rows in parts]),
        [thumbnail for rows in parts for thumbnail in rows.thumbnails],
        {
            name: _column([(rows.attributes.get(name), len(rows)) for rows in parts])
            for name in names
        },
    )


def _column(pieces: Sequence[tuple[Column | None, int]]) -> Column:
    words = tuple(dict.fromkeys(w for c, _ in pieces if c is not None for w in c.categories))
    values = []
    for column, n in pieces:
        if column is None:
            values.append(np.full(n, np.nan, np.float32))
        elif column.categories:
            codes = np.array([words.index(word) for word in column.categories], np.float32)
            known = np.isfinite(column.values)
            there = codes[np.where(known, column.values, 0).astype(np.int64)]
            values.append(np.where(known, there, np.nan).astype(np.float32))
        else:
            values.append(np.asarray(column.values))
    return Column(np.concatenate(values), words)


def write_lists(folder: Path, number: int, vectors: np.ndarray) -> File:
    """Inverted lists of vectors (N, d), each list's vectors and then their numbers."""
    made = make_lists(vectors)
    pieces, places, at = [], np.empty(len(vectors), np.int64), 0
    for rows in np.split(made.order, np.cumsum(made.sizes)[:-1]):
        piece = np.ascontiguousarray(vectors[rows])
        places[rows] = at + np.arange(len(rows)) * piece.itemsize * piece.shape[1]
        pieces += [piece.view(np.uint8).ravel(), rows.astype("<i8").view(np.uint8)]
        at += piece.nbytes + NUMBER * len(rows)
    return write_arrays(
        folder / f"{number:06d}.lists.safetensors",
        {
            "centroids": made.centroids,
            "sizes": made.sizes.astype(np.int64),
            "places": places,
            "lists": np.concatenate(pieces),
        },
        {"probe": made.probe, "recall": made.recall, "asked": made.asked},
    )


class OpenLists:
    """Inverted lists that faiss reads from the file, none of it loaded.

    What faiss would read of its own index files is more than numbers, and a stranger's could do
    harm; here it is told where lists begin by us, who have counted.
    """

    def __init__(self, arrays: Arrays, width: int):
        self.count, L = arrays["places"].size, arrays["sizes"].size
        each = 4 * width + NUMBER
        layout: Layout = {
            "centroids": (np.float32, (L, width)),
            "sizes": (np.int64, (L,)),
            "places": (np.int64, (self.count,)),
            "lists": (np.uint8, (self.count * each,)),
        }
        if not _laid_out(arrays, layout):
            raise InputError(f"{arrays.path} does not hold what the index says")
        lists, sizes, centroids = arrays["lists"], np.array(arrays["sizes"]), arrays["centroids"]
        places, last = arrays["places"], (self.count - 1) * each
        counted = ((sizes >= 0) & (sizes <= self.count)).all()  # or their sum could wrap around
        found = ((places >= 0) & (places <= last)).all()
        if not (counted and found and sizes.sum() == self.count):
            raise InputError(f"{arrays.path} does not hold what the index says")
        self.width, self._places = width, places
        self._floats = lists.view("<f4")
        self.recall = float(arrays.said["recall"])
        self._quantizer = faiss.IndexFlatL2(width)
        self._quantizer.add(np.ascontiguousarray(centroids))
        facts = np.zeros((L, 3), np.uint64)  # of each list: vectors, room, where it begins
        facts[:, 0] = facts[:, 1] = sizes
        facts[:, 2] = arrays.offsets["lists"] + (np.cumsum(sizes) - sizes) * each
        stored: Any = faiss.OnDiskInvertedLists(L, 4 * width, "")
        stored.filename, stored.read_only = str(arrays.path), True
        stored.totsize = arrays.path.stat().st_size
        stored.prefetch_nthread = 0  # one thread more would only wait for the disk
        faiss.memcpy(stored.lists.data(), faiss.swig_ptr(facts), facts.nbytes)
        stored.do_mmap()
        self._stored = stored  # faiss holds no reference
        self._index = faiss.IndexIVFFlat(self._quantizer, width, L, faiss.METRIC_L2)
        self._index.replace_invlists(stored, False)
        self._index.ntotal, self._index.is_trained = self.count, True
        self._index.nprobe = max(1, min(L, int(arrays.said["probe"])))

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """(B,) → (B, width)."""
        first = np.asarray(self._places[positions]) // 4
        return self._floats[first[:, None] + np.arange(self.width)]

    def search(
        self, queries: np.ndarray, k: int, keep: np.ndarray | None, exact: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances and positions (B, k) of those that are kept, (count,) bool."""
        kept = self.count if keep is None else int(keep.sum())
        if exact or kept <= FEW:
            rows = np.arange(self.count) if keep is None else np.flatnonzero(keep)
            distances, found = nearest(queries, self.vectors(rows), k)
            return distances, rows[found]
        L, probe = self._index.nlist, self._index.nprobe
        library: Any = faiss  # whose stubs know neither options nor selectors
        options = library.SearchParametersIVF(nprobe=min(L, -(-probe * self.count // kept)))
        if keep is not None:
            bits = np.packbits(keep, bitorder="little")
            options.sel = selector = library.IDSelectorBitmap(bits)  # noqa: F841  # must live on
        return self._index.search(queries, min(k, kept), params=options)


def lists_possible() -> bool:
    """Where faiss cannot map lists from a file (Windows), all is searched exactly."""
    return hasattr(faiss, "OnDiskInvertedLists")


Vectors = Callable[[np.ndarray], np.ndarray]  # latents (N, d) → what is searched, (N, d')
