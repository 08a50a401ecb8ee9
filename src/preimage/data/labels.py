"""Class labels and attributes from a CSV or JSON-lines file beside the images."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from preimage.core import InputError
from preimage.core.words import counted

FILE_COLUMNS = ("file", "filename", "file_name", "name", "path", "image", "image_id")
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target")
UNLABELLED = "unlabelled"  # the class of images that the file says nothing of
_MISSING = ("", None)
SILENT = ("", UNLABELLED)  # words that say nothing


@dataclass
class Table:
    """What a labels file says of the images of one data set."""

    labels: np.ndarray | None = None  # (N,) int64
    classes: tuple[str, ...] = ()
    attributes: dict[str, np.ndarray] = field(default_factory=dict)  # name → (N,) float32
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(path: Path, names: list[str]) -> Table:
    """Match the rows of a labels file to images by name.

    A row names its image by path below the source, by the end of that path, or by the file's name
    with or without its ending. Columns of numbers become attributes as they are (a missing one is
    NaN), columns of text become codes with their categories.

    Raises InputError where the file cannot be read or no row matches an image.
    """
    rows = _rows(path)
    if not rows:
        raise InputError(f"{path} has no rows; give one line an image, with a header line first")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lower = {str(column).lower().strip(): column for column in reversed(columns)}
    file_column = next((lower[c] for c in FILE_COLUMNS if c in lower), columns[0])
    label_column = next((lower[c] for c in LABEL_COLUMNS if c in lower), None)

    index = _index(names)
    matched: list[dict[str, Any] | None] = [None] * len(names)
    absent, contradicted = [], []
    for row in rows:
        name = str(row.get(file_column) or "").replace("\\", "/").removeprefix("./")
        places = index.get(name, ())
        for place in places:
            if matched[place] not in (None, row):
                contradicted.append(names[place])
            matched[place] = row
        if not places:
            absent.append(name)
    found = sum(row is not None for row in matched)
    if not found:
        example = f"it has '{absent[0]}', the data '{names[0]}'"
        raise InputError(
            f"{path}: no row matches an image by its column '{file_column}' ({example})"
        )

    table = Table()
    if absent:
        rows = counted(len(absent), "row")
        table.notes.append(f"{path.name}: {rows} without an image here, such as {absent[0]}.")
    if contradicted:
        rows = counted(len(contradicted), "row")
        table.notes.append(
            f"{path.name}: {rows} in the place of another of the same image, such as "
            f"{contradicted[0]}; the last one counts."
        )
    if found < len(names):
        first = names[matched.index(None)]
        without = counted(len(names) - found, "image")
        table.notes.append(f"{path.name}: {without} without a row, such as {first}.")
    for column in columns:
        values = [_MISSING[0] if row is None else row.get(column) for row in matched]
        if column == label_column:
            texts = [UNLABELLED if value in _MISSING else str(value) for value in values]
            table.classes, codes = _codes(texts)
            table.labels = codes
        elif column != file_column:
            _add_attribute(table, str(column), values)
    return table


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"labels file {path} cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"labels file {path} is not UTF-8 text: {error}; save it as UTF-8"
        ) from None
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        try:
            whole = path.suffix.lower() == ".json" and text.lstrip().startswith("[")
            lines = [line for line in text.splitlines() if line.strip()]
            rows = json.loads(text) if whole else [json.loads(line) for line in lines]
        except ValueError as error:
            raise InputError(f"labels file {path} is not JSON lines: {error}") from None
        except RecursionError:
            raise InputError(f"labels file {path} is nested too deeply") from None
        if not all(isinstance(row, dict) for row in rows):
            raise InputError(f"labels file {path}: every line must be one JSON object")
        return rows
    delimiter = max(",;\t", key=text.lstrip().partition("\n")[0].count)
    file = io.StringIO(text)  # not its lines: what is quoted may hold several
    try:
        return list(
            csv.DictReader(file, delimiter=delimiter, restkey="more", skipinitialspace=True)
        )
    except csv.Error as error:
        raise InputError(f"labels file {path} is not CSV: {error}") from None


def _index(names: list[str]) -> dict[str, list[int]]:
    """Every way to name an image → the images it means; a shorter way only where it is unique."""
    index: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        path = PurePosixPath(name)
        tails = ["/".join(path.parts[i:]) for i in range(len(path.parts))]
        for way in (*tails, path.stem, str(path.with_suffix(""))):
            if place not in (known := index.setdefault(way, [])):
                known.append(place)
    whole = {name: place for place, name in enumerate(names)}
    unique = {way: places for way, places in index.items() if len(places) == 1}
    return {**unique, **{name: [place] for name, place in whole.items()}}


def _codes(texts: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    def key(text: str) -> tuple[bool, int, float, str]:
        number = _number(text)
        return text == UNLABELLED, number is None, number or 0.0, text

    classes = tuple(sorted(set(texts), key=key))
    index = {name: code for code, name in enumerate(classes)}
    return classes, np.array([index[text] for text in texts], np.int64)


def _add_attribute(table: Table, name: str, values: list[Any]) -> None:
    numbers = [math.nan if value in _MISSING else _number(value) for value in values]
    if all(number is not None for number in numbers):
        table.attributes[name] = np.array(numbers, np.float32)
        return
    texts = ["" if value in _MISSING else str(value) for value in values]
    categories, codes = _codes(texts)
    if len(categories) <= len(texts) / 2:  # else it is a name or a remark, not a category
        table.attributes[name] = codes.astype(np.float32)
        table.categories[name] = categories


def known_codes(codes: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """Codes (N,) of words, NaN where the word says nothing."""
    silent = [code for code, word in enumerate(words) if word in SILENT]
    return np.where(np.isin(codes, silent), np.nan, codes)


def _number(value: Any) -> float | None:
    if isinstance(value, (list, dict)):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):  # an integer of 400 digits is a name
        return None
