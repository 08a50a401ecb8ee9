"""An index of images by their latents, in a folder: whose model, how it compares, what it has.

index.json says all of it and names the other files. A reader sees what was committed when it opened
the index, though another process be writing; one process writes at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preimage.applications.filters import check, parse
from preimage.applications.likeness import KINDS, Likeness
from preimage.core import InputError
from preimage.core.errors import nearest_name
from preimage.runs.files import check_free
from preimage.runs.index_files import Arrays, File, write_arrays
from preimage.runs.index_manifest import MANIFEST, commit, locked, only_ours, read_manifest
from preimage.runs.index_segments import Segments
from preimage.runs.index_store import Entry, Rows, Store

BACKENDS = ("files", "lance")


@dataclass(frozen=True)
class About:
    """Whose images an index holds."""

    model: str  # fingerprint of the model that found the latents
    run: str | None  # where the model lay
    latent: tuple[int, ...]  # shape
    image: str  # size and channels, for people

    @property
    def d(self) -> int:
        return int(np.prod(self.latent))


def check_new(path: Path, backend: str) -> None:
    """Raises InputError where there is something already, or no such backend."""
    if backend not in BACKENDS:
        raise InputError(f"no backend '{backend}'; {nearest_name(backend, BACKENDS)}")
    if backend == "lance":
        _tables(path)  # or say that it is not installed
    if not only_ours(path):
        check_free(path)


def create(path: Path, about: About, likeness: Likeness, backend: str = "files") -> None:
    """An empty index. Raises InputError as `check_new` does, and where another process made one."""
    if not is_index(path):
        check_new(path, backend)
    with locked(path):
        if is_index(path):
            raise InputError(f"{path} exists already; choose another --out, or index again")
        file = write_arrays(
            path / "000000.likeness.safetensors",
            {"mean": likeness.mean, "matrix": likeness.matrix},
            {"kind": likeness.kind},
        )
        said = {
            "backend": backend,
            "model": about.model,
            "run": about.run,
            "latent": list(about.latent),
            "image": about.image,
            "likeness": file.to_json(),
            "next": 0,
            "number": 0,
            "parts": [],
            "lists": None,
            "removed": None,
        }
        commit(path, said)


def is_index(path: Path) -> bool:
    return (path / MANIFEST).is_file()


class Index:
    """An index as it was committed when it was opened."""

    def __init__(self, path: str | Path):
        """Raises InputError where there is no index, or none that this version can read."""
        self.path = Path(path)
        said, _ = read_manifest(self.path)
        try:
            latent = tuple(map(int, said["latent"]))
            run = None if said["run"] is None else str(said["run"])
            self.about = About(str(said["model"]), run, latent, str(said["image"]))
            self.backend = str(said["backend"])
            self.likeness = self._likeness(File.from_json(said["likeness"]))
            self._store: Store = self._opened()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.path} is no index that this version can read") from None

    def _likeness(self, file: File) -> Likeness:
        """Raises InputError where it is damaged: nothing else says how vectors are compared."""
        try:
            file.check(self.path)
        except InputError as error:
            raise InputError(
                f"{error}; nothing can be compared without it, so make the index anew, in another "
                "--out"
            ) from None
        arrays = Arrays.open(self.path / file.name)
        mean, matrix = np.array(arrays["mean"]), np.array(arrays["matrix"])
        likeness = Likeness(str(arrays.said["kind"]), mean, matrix)
        if likeness.kind not in KINDS:
            raise InputError(f"{self.path} compares by '{likeness.kind}'; upgrade preimage")
        width = len(mean) if likeness.of_features else self.about.d
        if mean.shape != (width,) or matrix.ndim != 2 or len(matrix) != width:
            raise InputError(f"{arrays.path} does not hold what the index says")
        return likeness

    def _opened(self) -> Store:
        width = self.likeness.matrix.shape[1]
        if self.backend == "lance":
            return _tables(self.path)(self.path, self.about.d, width)
        if self.backend != "files":
            raise InputError(f"{self.path} has the backend '{self.backend}'; upgrade preimage")
        remade: Callable | None = None if self.likeness.of_features else self.likeness
        return Segments(self.path, self.about.d, width, remade)

    def __len__(self) -> int:
        return len(self.ids)

    def __str__(self) -> str:
        return f"{self.path}: {len(self):,} images, {self.about.image}, by {self.likeness.kind}"

    @property
    def ids(self) -> np.ndarray:
        """(N,) int64, ascending."""
        return self._store.ids

    @property
    def hashes(self) -> np.ndarray:
        """(N,) uint64, of the contents of the same images."""
        return self._store.hashes

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: files that are damaged, and what was left out for it."""
        return self._store.notes

    @property
    def recall(self) -> float | None:
        """Of the ten nearest, the share that a search finds; None where it is exact."""
        return self._store.recall

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """What may be asked for, and of attributes of words all words there are."""
        return self._store.known()

    @property
    def names(self) -> list[str]:
        """Where each image lay when it was added, in the order of `ids`."""
        return self._store.names()

    def entries(self, ids: Sequence[int]) -> list[Entry]:
        """What is known of images. Raises InputError for an id that there is none of."""
        return self._store.entries(ids)

    def vectors(self, ids: Sequence[int]) -> np.ndarray:
        """What is compared of images, (B, d), as `likeness` made it."""
        return self._store.vectors(ids)

    def search(
        self,
        vectors: np.ndarray,  # (B, d), as `likeness` makes them
        k: int,
        *,
        where: str | None = None,
        exact: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distances (B, k), ascending, and ids (B, k) of the nearest images.

        where: a condition on attributes, as `applications/filters.py` reads it.
        exact: compare with every image, though there be many.

        Fewer columns than k where there are fewer images; an id of −1 where one query found fewer
        than others. Raises InputError for a condition that makes no sense.
        """
        condition = None if where is None else parse(where)
        if condition is not None and where is not None:
            check(where, condition, self.attributes)
        return self._store.search(vectors, k, condition, exact=exact)

    def check(self) -> None:
        """Read all files. Raises InputError, in one line, where one is not what was written."""
        self._store.check()


class Writer:
    """`with Writer(path) as writer:` holds an index for writing."""

    def __init__(self, path: Path):
        self.index, self._lock = Index(path), locked(path)

    def __enter__(self) -> Writer:
        self._lock.__enter__()
        self.index = Index(self.index.path)  # as it is now that nobody else writes
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(None, None, None)

    def add(self, rows: Rows) -> np.ndarray:
        """Commit images; their ids (N,)."""
        return self.index._store.add(rows)

    def remove(self, ids: np.ndarray) -> None:
        self.index._store.remove(ids)

    def settle(self) -> None:
        """After the last change: what makes searches quick."""
        self.index._store.settle()


def _tables(path: Path) -> type:
    """LanceDB's store. Raises InputError where the extra is not installed."""
    try:
        from preimage.runs.index_lance import Tables
    except ImportError:
        raise InputError(
            f"{path}: the backend lance needs an extra: pip install 'preimage[scale]'"
        ) from None
    return Tables
