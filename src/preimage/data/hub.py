"""Image data sets of the Hugging Face hub, through its own library (the extra `hub`).

`hf:owner/name`, or `hf:owner/name:configuration`. Images are taken as the bytes they are stored
as, and decoded where all other files are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from preimage.core import InputError
from preimage.data.archives import Item, removed_after

if TYPE_CHECKING:
    from preimage.data.assemble import Raw
    from preimage.data.source import Reading

TRAIN = ("train",)
HELD = ("test", "validation", "valid", "val")


@dataclass
class HubSource:
    """A data set on the hub, or in a local folder in the hub's layout."""

    text: str  # "hf:owner/name"
    _splits: Any = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.text.removeprefix("hf:").rpartition("/")[2].replace(":", "-")

    @property
    def where(self) -> str:
        return self.text

    @property
    def splits(self) -> dict[str, Any]:
        """The splits by name, each a `datasets.Dataset`."""
        if self._splits is None:
            self._splits = _load(self.text)
        return self._splits

    @property
    def stamp(self) -> Any:
        return {
            name: getattr(part, "_fingerprint", len(part)) for name, part in self.splits.items()
        }

    def read(self, reading: Reading) -> tuple[Raw, Any]:
        from preimage.data.decoding import decode_files

        sides = _sides(self.splits, reading.options.split, self.text)
        items: list[Item] = []
        rows: list[tuple[str, dict[str, Any]]] = []
        first = next(iter(sides.values()))
        image, label, others = _columns(first, self.text)
        with removed_after(reading.folder / "members.bin") as members:
            with members.open("wb") as out:
                for side, part in sides.items():
                    for i, row in enumerate(_undecoded(part, image)):
                        stored = row[image] or {}
                        name = f"{side}/{i:06d}"
                        if (data := stored.get("bytes")) is not None:
                            items.append(Item(name, str(members), out.tell(), len(data)))
                            out.write(data)
                        else:
                            items.append(Item(name, stored.get("path") or ""))
                        rows.append((side, row))
            stamps = [(0, 0)] * len(items)
            try:
                decoded = decode_files(
                    items,
                    stamps,
                    reading.options,
                    reading.folder,
                    skipped=[],
                    workers=reading.workers,
                    progress=reading.progress,
                )
            except InputError as error:
                raise InputError(f"{self.text} {error}") from None
        raw, kept = decoded.raw, [rows[i] for i in decoded.items]
        if len(sides) > 1:
            raw.sides = [side for side, _ in kept]
        if label is not None:
            values = np.array([row[label] for _, row in kept])
            known = getattr(first.features[label], "names", None)
            unique, codes = np.unique(values, return_inverse=True)
            raw.labels = values.astype(np.int64) if known else codes.reshape(-1).astype(np.int64)
            raw.classes = tuple(known or map(str, unique))
        for column in others:
            raw.attributes[column] = np.array([row[column] for _, row in kept], np.float32)
        return raw, None


def _load(text: str) -> dict[str, Any]:
    try:
        import datasets
    except ImportError:
        raise InputError(f"{text} needs the extra 'hub': pip install 'preimage[hub]'") from None
    name, _, configuration = text.removeprefix("hf:").partition(":")
    try:
        found = datasets.load_dataset(name, configuration or None)
    except Exception as error:  # the library and the network have many ways to fail
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{text} cannot be loaded: {why}") from None
    return dict(found.items()) if hasattr(found, "items") else {"train": found}


def _sides(splits: dict[str, Any], split: str | None, text: str) -> dict[str, Any]:
    """The parts to train on and to hold out, where both are there; else all there is."""
    train = next((splits[name] for name in TRAIN if name in splits), None)
    held = next((splits[name] for name in HELD if name in splits), None)
    sides = {"train": train, "test": held}
    if split is not None:
        if sides[split] is None:
            raise InputError(f"{text} has no split '{split}'; it has: {', '.join(splits)}")
        return {split: sides[split]}
    known = {side: part for side, part in sides.items() if part is not None}
    return known or {"train": next(iter(splits.values()))}


def _columns(part: Any, text: str) -> tuple[str, str | None, list[str]]:
    """The columns of images, of class labels, and of other numbers."""
    kinds = {name: type(feature).__name__ for name, feature in part.features.items()}
    image = next((name for name, kind in kinds.items() if kind == "Image"), None)
    if image is None:
        raise InputError(f"{text} has no column of images, but: {', '.join(kinds)}")
    label = next((name for name, kind in kinds.items() if kind == "ClassLabel"), None)
    label = label or next((name for name in ("label", "labels", "class") if name in kinds), None)
    numbers = [
        name
        for name, feature in part.features.items()
        if name not in (image, label)
        and str(getattr(feature, "dtype", "")).startswith(("int", "uint", "float", "bool"))
    ]
    return image, label, numbers


def _undecoded(part: Any, column: str) -> Any:
    import datasets

    return part.cast_column(column, datasets.Image(decode=False))
