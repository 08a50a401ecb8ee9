"""An index as a LanceDB table (extra: preimage[scale]), which can lie on object storage too.

A table of LanceDB is versioned: a change is a new version, committed at once, and readers keep the
one they opened. Attributes are columns of their own by number, so that conditions become SQL in
which no word of a person's stands unquoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfPq

from preimage.applications.filters import PATH, Both, Column, Condition, Not, Test, number
from preimage.applications.retrieval import ASKED, EXACT, NEAREST, RECALL, nearest
from preimage.core import InputError
from preimage.runs.files import read_json, write_json
from preimage.runs.index_store import Entry, Rows

FOLDER, TABLE, COLUMNS = "lance", "images", "columns.json"
STALE = 0.1  # of the images indexed: as many new ones, and the index is made anew
REFINED = 10  # times as many candidates compared exactly, since lists hold rounded vectors
Words = dict[str, tuple[str, ...]]


class Tables:
    """The images of an index, as `index_store.Store` has it."""

    def __init__(self, folder: Path, d: int, width: int):
        self.folder, self.d, self.width = folder, d, width
        self.notes: tuple[str, ...] = ()
        try:
            self._database = lancedb.connect(str(folder / FOLDER))
            there = TABLE in self._database.list_tables().tables
            self._table = self._database.open_table(TABLE) if there else None
            self._load()
        except (OSError, RuntimeError, ValueError, pa.ArrowInvalid) as error:
            if isinstance(error, InputError):
                raise
            what = str(error).splitlines()[0][:200]
            raise InputError(f"{folder / FOLDER} cannot be read by LanceDB: {what}") from None

    def _load(self) -> None:
        path = self.folder / COLUMNS
        said = read_json(path) if path.exists() else {"attributes": [], "tuned": None}
        self._columns: dict[str, bool] = {str(n): bool(words) for n, words in said["attributes"]}
        self._tuned: dict[str, Any] | None = said["tuned"]
        if self._table is None:
            self._there: set[str] = set()
            self.ids, self.hashes = np.empty(0, np.int64), np.empty(0, np.uint64)
            return
        self._there = set(self._table.schema.names)
        table = self._read(["id", "hash"])
        ids = table["id"].to_numpy()
        order = np.argsort(ids)
        self.ids = ids[order]
        self.hashes = table["hash"].to_numpy()[order].view(np.uint64)

    def _read(self, columns: Sequence[str], where: str | None = None) -> pa.Table:
        assert self._table is not None
        query = self._table.search().select(list(columns))
        if where is not None:
            query = query.where(where)
        return query.limit(max(1, self._table.count_rows())).to_arrow()

    @property
    def recall(self) -> float | None:
        return None if self._tuned is None else float(self._tuned["recall"])

    def names(self) -> list[str]:
        if self._table is None:
            return []
        table = self._read(["id", "name"])
        names = dict(zip(table["id"].to_pylist(), table["name"].to_pylist(), strict=True))
        return [names[one] for one in self.ids.tolist()]

    def known(self) -> Words:
        found: Words = {}
        for i, (name, words) in enumerate(self._columns.items()):
            if (column := f"attribute_{i}") not in self._there:
                continue  # whoever would have added it was killed
            said = self._read([column])[column].unique().to_pylist() if words else []
            found[name] = tuple(sorted(word for word in said if word is not None))
        return found

    def entries(self, ids: Sequence[int]) -> list[Entry]:
        wanted = [int(one) for one in ids]
        for one in wanted:
            if one not in self.ids:
                raise InputError(f"{self.folder} has no image with the id {one}")
        if not wanted:
            return []
        assert self._table is not None
        chosen = ", ".join(map(str, sorted(set(wanted))))
        names = {f"attribute_{i}": name for i, name in enumerate(self._columns)}
        names = {column: name for column, name in names.items() if column in self._there}
        columns = ["id", "name", "latent", "thumbnail", *names]
        rows = {r["id"]: r for r in self._read(columns, f"id IN ({chosen})").to_pylist()}
        return [_entry(rows[one], names) for one in wanted]

    def vectors(self, ids: Sequence[int]) -> np.ndarray:
        self.entries(ids)  # or say which is not there
        if not len(ids):
            return np.empty((0, self.width), np.float32)
        chosen = ", ".join(str(int(one)) for one in ids)
        rows = self._read(["id", "vector"], f"id IN ({chosen})").to_pylist()
        vectors = {row["id"]: row["vector"] for row in rows}
        return np.array([vectors[int(one)] for one in ids], np.float32)

    def add(self, rows: Rows) -> np.ndarray:
        said = {name: bool(column.categories) for name, column in rows.attributes.items()}
        for name, words in said.items():
            if self._columns.setdefault(name, words) != words:
                raise InputError(
                    f"'{name}' is numbers of some images and words of others; rename one of them"
                )
        first = self._next()
        ids = np.arange(first, first + len(rows))
        self._write_columns(first + len(rows))  # first: no id is given twice
        table = self._arrow(rows, ids)
        if self._table is None:
            self._table = self._database.create_table(TABLE, table)
        else:
            if new := [field for field in table.schema if field.name not in self._there]:
                self._table.add_columns(pa.schema(new))
            self._table.add(table)
        self._load()
        return ids

    def _next(self) -> int:
        path = self.folder / COLUMNS
        return int(read_json(path)["next"]) if path.exists() else 0

    def _write_columns(self, following: int) -> None:
        attributes = [[name, words] for name, words in self._columns.items()]
        said = {"attributes": attributes, "tuned": self._tuned, "next": following}
        write_json(self.folder / COLUMNS, said)

    def _arrow(self, rows: Rows, ids: np.ndarray) -> pa.Table:
        arrays = {
            "id": pa.array(ids, pa.int64()),
            "hash": pa.array(np.asarray(rows.hashes, np.uint64).view(np.int64), pa.int64()),
            "name": pa.array([_text(name) for name in rows.names], pa.string()),
            "latent": _vectors(rows.latents),
            "vector": _vectors(rows.vectors),
            "thumbnail": pa.array(list(rows.thumbnails), pa.binary()),
        }
        for i, (name, words) in enumerate(self._columns.items()):
            column = rows.attributes.get(name)
            kind = pa.string() if words else pa.float32()
            values = [None] * len(rows) if column is None else _values(column)
            arrays[f"attribute_{i}"] = pa.array(values, kind)
        return pa.table(arrays)

    def remove(self, ids: np.ndarray) -> None:
        if self._table is not None and len(ids):
            self._table.delete(f"id IN ({', '.join(str(int(one)) for one in ids)})")
            self._load()

    def settle(self) -> None:
        """Make LanceDB's index of vectors, where there are enough, and see how much it finds."""
        n = len(self.ids)
        if self._table is None or n < EXACT:
            return
        if self._tuned is not None and abs(n - self._tuned["of"]) <= STALE * n:
            self._table.optimize()
            return
        parts = {"num_partitions": round(n**0.5), "num_sub_vectors": max(1, self.width // 4)}
        self._table.create_index("vector", config=IvfPq(distance_type="l2", **parts))
        self._tuned = self._measured(n)
        self._write_columns(self._next())

    def _measured(self, n: int) -> dict[str, Any]:
        """The fewest lists that find enough of the true ten nearest."""
        table = self._read(["id", "vector"])
        vectors = np.stack(table["vector"].to_numpy(zero_copy_only=False)).astype(np.float32)
        ids = table["id"].to_numpy()
        asked = np.random.default_rng(0).permutation(n)[:ASKED]
        true = ids[nearest(vectors[asked], vectors, NEAREST)[1]]
        probe, recall = 1, 0.0
        while recall < RECALL and probe < round(n**0.5):
            probe *= 2
            self._tuned = {"probe": probe, "recall": 0.0, "of": n}
            _, found = self.search(vectors[asked], NEAREST)
            hits = [
                len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True)
            ]
            recall = sum(hits) / true.size
        return {"probe": probe, "recall": recall, "of": n}

    def search(
        self, queries: np.ndarray, k: int, where: Condition | None = None, *, exact: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._table is None:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        k = min(k, len(self.ids))
        distances = np.full((len(queries), k), np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        numbers = {name: f"attribute_{i}" for i, name in enumerate(self._columns)}
        for row, query in enumerate(np.asarray(queries, np.float32)):
            search: Any = self._table.search(query, vector_column_name="vector").limit(k)
            search = search.distance_type("l2").select(["id", "_distance"])
            if exact or self._tuned is None:
                search = search.bypass_vector_index()
            else:
                search = search.nprobes(self._tuned["probe"]).refine_factor(REFINED)
            if where is not None:
                search = search.where(_sql(where, numbers, self._columns), prefilter=True)
            found = search.to_arrow()
            d, i = found["_distance"].to_numpy(), found["id"].to_numpy()
            order = np.lexsort((i, d))
            distances[row, : len(d)] = np.sqrt(np.maximum(d[order], 0))
            ids[row, : len(i)] = i[order]
        widest = int((ids >= 0).sum(1).max(initial=0))
        return distances[:, :widest], ids[:, :widest]

    def check(self) -> None:
        if self._table is None:
            return
        try:
            n = self._read(["id", "vector", "latent", "thumbnail", "name"]).num_rows
        except (OSError, RuntimeError, ValueError, pa.ArrowInvalid) as error:
            what = str(error).splitlines()[0][:200]
            raise InputError(f"{self.folder / FOLDER} is damaged: {what}") from None
        if n != len(self.ids):
            raise InputError(f"{self.folder / FOLDER} is damaged: {n} rows of {len(self.ids)}")


def _vectors(x: np.ndarray) -> pa.FixedSizeListArray:
    x = np.ascontiguousarray(x, np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])


def _text(name: str) -> str:
    """Bytes of a name that are no UTF-8 cannot stand in a table."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _values(column: Column) -> list[float | str | None]:
    if not column.categories:
        return [float(v) if np.isfinite(v) else None for v in column.values]
    return [column.categories[int(v)] if np.isfinite(v) else None for v in column.values]


def _entry(row: Mapping[str, Any], names: Mapping[str, str]) -> Entry:
    known = {name: row[c] for c, name in names.items() if row[c] is not None}
    latent = np.array(row["latent"], np.float32)
    return Entry(row["id"], row["name"], latent, known, row["thumbnail"])


def _sql(where: Condition, numbers: Mapping[str, str], words: Mapping[str, bool]) -> str:
    """The condition in SQL; of what is not known nothing holds, and `not` of it does."""
    if isinstance(where, Not):
        return f"(NOT {_sql(where.of, numbers, words)})"
    if not isinstance(where, Test):
        join = " AND " if isinstance(where, Both) else " OR "
        return "(" + join.join(_sql(part, numbers, words) for part in where.parts) + ")"
    column = "name" if where.name == PATH else numbers[where.name]
    if where.name == PATH or words[where.name]:
        if where.operator == "~":
            compared = f"contains(lower({column}), {_quoted(where.value.lower())})"
        else:
            compared = f"{column} {where.operator} {_quoted(where.value)}"
    else:
        compared = f"{column} {where.operator} CAST({number(where.value)!r} AS FLOAT)"
    return f"coalesce({compared}, false)"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
